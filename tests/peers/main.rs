//! Tidewire beside its peers: the same load on the same machine, in turn. `tests/peers/run` installs what it needs.
//!
//! Shape: round by round every load, and in each every server that was asked for, freshly started. So what slows the
//! machine down for a while hits all of them.
//! Unit: see [`results`]. Bound: one run takes some ten seconds; a server that hangs ends it within a minute.
//! Failure: a server that cannot be had is told aloud and left out; one that fails under a load has its reason in the table.

mod measure;
mod peer;
mod picture;
mod protocol;
mod results;
mod scenario;
mod server;
mod table;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::measure::{Settings, measure};
use crate::peer::{Peer, Places};
use crate::results::{Outcome, Results, Run};
use crate::scenario::Scenario;
use crate::transport::Transport;

/// Whatever went wrong ends a run.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Tidewire beside its peers: server CPU for each delivery, deliveries a second, latency, memory.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Arguments {
    /// Rounds; in each every server is measured once under every load
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,
    /// Only these servers: tidewire, tidewire-disk, tidewire-flush, nats, nchan, ws, socketio, pushpin
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = peer_named)]
    only: Vec<Peer>,
    /// Only these loads: 50, 500 (events a second), full (as fast as it goes), poll (long-poll, 5 a second), idle (memory)
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = scenario_named)]
    scenario: Vec<Scenario>,
    /// Only these transports: websocket, sse, h2 (SSE over shared HTTP/2), poll
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = transport_named)]
    transport: Vec<Transport>,
    /// Measured part of each run, in seconds; 1 s of warm-up comes before it
    #[arg(long, value_name = "S", default_value_t = 4.0)]
    seconds: f64,
    /// Subscribers of the topic
    #[arg(long, value_name = "N", default_value_t = 1000)]
    subscribers: usize,
    /// Connections of the idle load
    #[arg(long, value_name = "N", default_value_t = 5000)]
    idle: usize,
    /// Folder for results.json, results.md and results.svg
    #[arg(long, value_name = "DIR", default_value = "tests/peers/results")]
    results: PathBuf,
    /// Keep what results.json has of other servers, loads and rounds
    #[arg(long)]
    keep: bool,
    /// Measure nothing: tables and picture from results.json
    #[arg(long)]
    tables: bool,
    /// Folder with cert.pem and key.pem; servers get folders in it
    #[arg(long, value_name = "DIR", default_value = ".")]
    work: PathBuf,
    /// The gateway's binary
    #[arg(long, value_name = "FILE", default_value = "target/release/tidewire")]
    tidewire: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let file = arguments.results.join("results.json");
    std::fs::create_dir_all(&arguments.results)?;
    let known = Results::load(&file)?;
    if arguments.tables {
        return write(&arguments, &known.ok_or("there are no results")?);
    }
    let mut results = known.filter(|_| arguments.keep).unwrap_or_default();
    let mut terminated = signal(SignalKind::terminate())?;
    // Either signal drops what runs, and with it the servers.
    tokio::select! {
        measured = rounds(&arguments, &mut results) => measured?,
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
        _ = terminated.recv() => return Err("terminated".into()),
    }
    print!("{}", table::markdown(&results));
    Ok(())
}

async fn rounds(arguments: &Arguments, results: &mut Results) -> Result<(), Failure> {
    let places = Places {
        sources: std::path::absolute("tests/peers")?,
        work: std::path::absolute(&arguments.work)?,
        tidewire: std::path::absolute(&arguments.tidewire)?,
    };
    let settings = Settings {
        subscribers: arguments.subscribers,
        idle: arguments.idle,
        measured: Duration::try_from_secs_f64(arguments.seconds)?,
    };
    results.command = command();
    results.machine = tidewire_bench::process::machine();
    results.skipped.clear();
    let peers = present(arguments, &places, results).await;
    for round in 1..=arguments.rounds {
        for scenario in chosen(&Scenario::ALL, &arguments.scenario) {
            for peer in &peers {
                for transport in chosen(peer.transports(), &arguments.transport) {
                    if !scenario.takes(*peer, transport) {
                        continue;
                    }
                    let what = format!("{}, {}", peer.title(), transport.title());
                    eprintln!("round {round}, {}: {what}", scenario.title());
                    let run = measure(*peer, transport, scenario, &settings, &places).await;
                    let outcome = match run {
                        Ok(figures) => Outcome::Figures(Box::new(figures)),
                        Err(why) => {
                            eprintln!("  FAILED: {why}");
                            Outcome::Failure(why.to_string())
                        }
                    };
                    results.take(Run {
                        round,
                        scenario: scenario.name().to_owned(),
                        peer: peer.title().to_owned(),
                        transport: transport.title().to_owned(),
                        publishing: measure::publishing(*peer).describe(),
                        outcome,
                    });
                    results.date = today();
                    // After each run, so that what was measured outlives what comes.
                    write(arguments, results)?;
                }
            }
        }
    }
    Ok(())
}

/// Those that are there; the others are told.
async fn present(arguments: &Arguments, places: &Places, results: &mut Results) -> Vec<Peer> {
    let mut found = Vec::new();
    for peer in chosen(&Peer::ALL, &arguments.only) {
        if let Some(why) = peer.missing(places).await {
            eprintln!("{} is left out: {why}", peer.title());
            results.skipped.insert(peer.title().to_owned(), why);
            continue;
        }
        let version = peer.version(places).await;
        results.versions.insert(peer.title().to_owned(), version);
        found.push(peer);
    }
    found
}

fn write(arguments: &Arguments, results: &Results) -> Result<(), Failure> {
    results.save(&arguments.results.join("results.json"))?;
    std::fs::write(
        arguments.results.join("results.md"),
        table::markdown(results),
    )?;
    std::fs::write(arguments.results.join("results.svg"), picture::svg(results))?;
    Ok(())
}

/// As one would type it.
fn command() -> String {
    let mut words = vec!["bash tests/peers/run".to_owned()];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--work" {
            // The run's own.
            arguments.next();
        } else {
            words.push(argument);
        }
    }
    words.join(" ")
}

/// In UTC.
fn today() -> String {
    let date = std::process::Command::new("date")
        .args(["-u", "+%-d %B %Y"])
        .output();
    let date = date.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&date).trim().to_owned()
}

/// Those that were asked for, in the order of all; all where none was.
fn chosen<T: Copy + PartialEq>(all: &[T], asked: &[T]) -> Vec<T> {
    let wanted = |one: &T| asked.is_empty() || asked.contains(one);
    all.iter().copied().filter(wanted).collect()
}

fn peer_named(name: &str) -> Result<Peer, String> {
    named(&Peer::ALL, Peer::name, name)
}

fn scenario_named(name: &str) -> Result<Scenario, String> {
    named(&Scenario::ALL, Scenario::name, name)
}

fn transport_named(name: &str) -> Result<Transport, String> {
    named(&Transport::ALL, Transport::name, name)
}

fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, wanted: &str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name(*one) == wanted);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        format!("accepted are {}", names.join(", "))
    })
}
