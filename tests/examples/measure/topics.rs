//! One event in each of very many topics, and then again: what idle topics cost in memory and on disk.

use std::time::Instant;

use tidewire_tests::{Engine, Executable};

use crate::connection::Target;
use crate::process::{Cost, folder_bytes, mebibytes};
use crate::{Failure, load, row, table};

pub(crate) async fn measure(topics: u64) -> Result<(), Failure> {
    table(
        &format!("One event of 128 bytes in each of {topics} topics"),
        &[
            "when",
            "resident, MiB",
            "folder, MiB",
            "CPU, s",
            "wall time, s",
        ],
    );
    let folder = Executable::folder();
    let start = async || Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
    let gateway = start().await;
    line("before", &gateway, folder.path(), 0.0)?;
    let target = Target::of(&gateway)?;
    // The window is full afterwards in any case, so what it has is told apart from what topics cost.
    let started = Instant::now();
    load::publish(&target, WINDOW, |event| format!("few.{}", event % 100)).await?;
    line(
        "with a full window and 100 topics",
        &gateway,
        folder.path(),
        started.elapsed().as_secs_f64(),
    )?;
    let started = Instant::now();
    load::publish(&target, topics, |event| format!("idle.{event}")).await?;
    line(
        "one event in each",
        &gateway,
        folder.path(),
        started.elapsed().as_secs_f64(),
    )?;
    gateway.stop().await;
    let started = Instant::now();
    let gateway = start().await;
    line(
        "started again",
        &gateway,
        folder.path(),
        started.elapsed().as_secs_f64(),
    )?;
    gateway.stop().await;
    Ok(())
}

fn line(
    when: &str,
    gateway: &Executable,
    folder: &std::path::Path,
    seconds: f64,
) -> Result<(), Failure> {
    let cost = Cost::of(gateway)?;
    row(&[
        when,
        &mebibytes(cost.resident_bytes),
        &mebibytes(folder_bytes(folder)?),
        &format!("{:.1}", cost.cpu_seconds),
        &format!("{seconds:.1}"),
    ]);
    Ok(())
}

/// More than the window has by default.
const WINDOW: u64 = 100_000;
