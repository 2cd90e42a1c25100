//! What a resume costs: from the request on an open connection until the last event that was missed has come.
//! From memory: somebody else holds the pattern, so the window knows what matches. From disk: other events have pushed
//! those that were missed out of the window.

use std::time::Instant;

use tidewire_tests::{Engine, Executable};

use crate::connection::{Connection, Target};
use crate::process::Cost;
use crate::{Failure, ROUNDS, load, median, percentile, row, table};

pub(crate) async fn measure() -> Result<(), Failure> {
    table(
        "Resume over SSE, 128 bytes of data each, disk engine",
        &[
            "events back",
            "from",
            "p50, ms (median of three)",
            "p99, ms",
            "CPU, ms for each resume",
        ],
    );
    let folder = Executable::folder();
    let gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
    let target = Target::of(&gateway)?;
    let mut holder = target.connect(0).await?;
    holder.get("/sse?topic=resume.a", "").await?;
    holder.head().await?;
    let mut cursors = Vec::new();
    for missed in MISSED {
        // Each is published alone, so that a cursor lies exactly so far back.
        let cursor = head(&target).await?;
        load::publish(&target, missed, |_| "resume.a".to_owned()).await?;
        let last = head(&target).await?;
        cursors.push((missed, cursor, last.clone()));
        rows(
            &target,
            &gateway,
            "memory",
            cursors.last().ok_or("no cursor")?,
        )
        .await?;
    }
    load::publish(&target, PAST_THE_WINDOW, |event| {
        format!("other.{}", event % 100)
    })
    .await?;
    for cursor in &cursors {
        rows(&target, &gateway, "disk", cursor).await?;
    }
    Ok(())
}

async fn rows(
    target: &Target,
    gateway: &Executable,
    from: &str,
    (missed, cursor, last): &(u64, String, String),
) -> Result<(), Failure> {
    eprintln!("  {missed} back, from {from}");
    let (mut p50s, mut p99s, mut cpus) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let before = Cost::of(gateway)?;
        let mut waits = Vec::new();
        for number in 0..RESUMES {
            let connection = target.connect(number).await?;
            waits.push(resume(connection, cursor, last).await?);
        }
        let cpu = Cost::of(gateway)?.cpu_seconds - before.cpu_seconds;
        cpus.push(cpu * 1e3 / RESUMES as f64);
        p50s.push(percentile(&mut waits, 50));
        p99s.push(percentile(&mut waits, 99));
    }
    row(&[
        &missed.to_string(),
        from,
        &format!("{:.2}", median(&mut p50s)),
        &format!("{:.2}", median(&mut p99s)),
        &format!("{:.2}", median(&mut cpus)),
    ]);
    Ok(())
}

/// In milliseconds.
async fn resume(mut connection: Connection, cursor: &str, last: &str) -> Result<f64, Failure> {
    let wanted = format!("id: {last}");
    let asked = Instant::now();
    connection
        .get(&format!("/sse?topic=resume.a&after={cursor}"), "")
        .await?;
    connection.head().await?;
    loop {
        let line = connection.line().await?;
        if line.starts_with("event: gap") {
            return Err("what was missed is lost".into());
        }
        if line.trim_end() == wanted {
            return Ok(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
}

/// The cursor of now.
async fn head(target: &Target) -> Result<String, Failure> {
    let mut connection = target.connect(0).await?;
    connection.get("/sse?topic=resume.a", "").await?;
    connection.head().await?;
    loop {
        if let Some(id) = connection.line().await?.strip_prefix("id: ") {
            return Ok(id.trim_end().to_owned());
        }
    }
}

const MISSED: [u64; 2] = [100, 10_000];
const RESUMES: usize = 100;
/// More than the window has by default.
const PAST_THE_WINDOW: u64 = 100_000;
