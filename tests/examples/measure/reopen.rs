//! How long the gateway takes from its start until it is ready, with many events on disk: after a drain, and after `kill -9`.

use std::time::Instant;

use tidewire_tests::{Engine, Executable};

use crate::connection::Target;
use crate::process::{Cost, folder_bytes, mebibytes};
use crate::{Failure, ROUNDS, load, median, row, table};

pub(crate) async fn measure(events: u64) -> Result<(), Failure> {
    table(
        &format!("Reopening with {events} events in {TOPICS} topics, 128 bytes of data each"),
        &[
            "after",
            "ready after, s (median of three)",
            "CPU, s",
            "resident, MiB",
            "folder, MiB",
        ],
    );
    let folder = Executable::folder();
    let config = folder.path().join("keep-all.toml");
    std::fs::write(
        &config,
        "[[retention]]\ntopics = \">\"\nmax_events = 100000000\nmax_bytes = \"64GiB\"\n",
    )?;
    let config = config.to_string_lossy().into_owned();
    let environment = [("TIDEWIRE_CONFIG", config.as_str())];
    let start =
        async || Executable::with(folder.path(), Engine::Disk, "127.0.0.1:0", &environment).await;
    let mut gateway = start().await;
    load::publish(&Target::of(&gateway)?, events, |event| {
        format!("kept.{}", event % TOPICS)
    })
    .await?;
    for ending in ["a drain", "`kill -9`"] {
        let (mut seconds, mut cpus, mut resident) = (vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            if ending == "a drain" {
                gateway.stop().await;
            } else {
                gateway.kill().await;
            }
            let started = Instant::now();
            gateway = start().await;
            seconds.push(started.elapsed().as_secs_f64());
            let cost = Cost::of(&gateway)?;
            cpus.push(cost.cpu_seconds);
            resident.push(cost.resident_bytes as f64);
        }
        row(&[
            ending,
            &format!("{:.2}", median(&mut seconds)),
            &format!("{:.2}", median(&mut cpus)),
            &mebibytes(median(&mut resident) as u64),
            &mebibytes(folder_bytes(folder.path())?),
        ]);
    }
    Ok(())
}

const TOPICS: u64 = 1_000;
