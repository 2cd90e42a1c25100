//! Acknowledged publishes on the disk engine: how many a second, and how long each is awaited.
//! Every publisher has a connection of its own and awaits its answer before its next event.

use std::time::{Duration, Instant};

use tidewire_tests::{Engine, Executable};
use tokio::task::JoinSet;

use crate::connection::{Connection, Target};
use crate::load::DATA_BYTES;
use crate::process::Cost;
use crate::{Failure, ROUNDS, median, percentile, row, table};

pub(crate) async fn measure() -> Result<(), Failure> {
    table(
        "Acknowledged publishes on disk, 128 bytes of data each",
        &[
            "publishers",
            "events a second (median)",
            "lowest and highest round",
            "p50, ms",
            "p99, ms",
            "CPU, µs for each event",
        ],
    );
    for publishers in [1, 64, 1_000] {
        let folder = Executable::folder();
        let gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
        let target = Target::of(&gateway)?;
        let mut connections = Vec::new();
        for number in 0..publishers {
            connections.push(target.connect(number).await?);
        }
        let (mut rates, mut p50s, mut p99s, mut cpus) = (vec![], vec![], vec![], vec![]);
        for round in 0..ROUNDS {
            eprintln!("  {publishers} publishers, round {}", round + 1);
            let before = Cost::of(&gateway)?;
            let started = Instant::now();
            let (back, mut waits) = round_of(connections).await?;
            connections = back;
            let elapsed = started.elapsed().as_secs_f64();
            let cpu = Cost::of(&gateway)?.cpu_seconds - before.cpu_seconds;
            cpus.push(cpu * 1e6 / waits.len() as f64);
            rates.push(waits.len() as f64 / elapsed);
            p50s.push(percentile(&mut waits, 50));
            p99s.push(percentile(&mut waits, 99));
        }
        let rate = median(&mut rates);
        row(&[
            &publishers.to_string(),
            &format!("{rate:.0}"),
            &format!("{:.0} to {:.0}", rates[0], rates[ROUNDS - 1]),
            &format!("{:.2}", median(&mut p50s)),
            &format!("{:.2}", median(&mut p99s)),
            &format!("{:.0}", median(&mut cpus)),
        ]);
    }
    Ok(())
}

/// Gives the connections back, and how long each answer was awaited, in milliseconds.
async fn round_of(connections: Vec<Connection>) -> Result<(Vec<Connection>, Vec<f64>), Failure> {
    let started = Instant::now();
    let mut publishers = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        publishers.spawn(async move {
            let data = "x".repeat(DATA_BYTES - 2);
            let body = format!("{{\"topic\":\"load.{number}\",\"data\":\"{data}\"}}");
            let mut waits = Vec::new();
            while started.elapsed() < ROUND {
                let asked = Instant::now();
                connection.publish("application/json", &body).await?;
                waits.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, Failure>((connection, waits))
        });
    }
    let (mut connections, mut all) = (Vec::new(), Vec::new());
    while let Some(done) = publishers.join_next().await {
        let (connection, waits) = done??;
        connections.push(connection);
        all.extend(waits);
    }
    Ok((connections, all))
}

const ROUND: Duration = Duration::from_secs(5);
