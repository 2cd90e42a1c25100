//! Many events through one topic that keeps 10,000 of them: what the folder has then, and how large it was at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidewire_tests::{Engine, Executable};

use crate::connection::Target;
use crate::process::{Cost, folder_bytes, mebibytes};
use crate::{Failure, load, row, table};

pub(crate) async fn measure(events: u64) -> Result<(), Failure> {
    table(
        &format!("{events} events through a topic that keeps {KEPT}, 128 bytes of data each"),
        &[
            "folder, MiB",
            "folder at most, MiB",
            "resident, MiB",
            "CPU, s",
            "wall time, s",
        ],
    );
    let folder = Executable::folder();
    let config = folder.path().join("keep-few.toml");
    std::fs::write(
        &config,
        format!("[[retention]]\ntopics = \"kept\"\nmax_events = {KEPT}\n"),
    )?;
    let config = config.to_string_lossy().into_owned();
    let environment = [("TIDEWIRE_CONFIG", config.as_str())];
    let gateway = Executable::with(folder.path(), Engine::Disk, "127.0.0.1:0", &environment).await;
    let most = Arc::new(AtomicU64::new(0));
    let (path, seen) = (folder.path().to_owned(), Arc::clone(&most));
    let looking = tokio::spawn(async move {
        loop {
            if let Ok(bytes) = folder_bytes(&path) {
                seen.fetch_max(bytes, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let started = Instant::now();
    load::publish(&Target::of(&gateway)?, events, |_| "kept".to_owned()).await?;
    let elapsed = started.elapsed().as_secs_f64();
    let cost = Cost::of(&gateway)?;
    looking.abort();
    gateway.stop().await;
    let bytes = folder_bytes(folder.path())?;
    row(&[
        &mebibytes(bytes),
        &mebibytes(most.load(Ordering::Relaxed).max(bytes)),
        &mebibytes(cost.resident_bytes),
        &format!("{:.1}", cost.cpu_seconds),
        &format!("{elapsed:.1}"),
    ]);
    Ok(())
}

const KEPT: u64 = 10_000;
