//! `tidewire bench`: load on a gateway, and honest figures.
//!
//! Shape: arguments become one plan for each transport (or one for a mix), run one after the other; progress goes to standard
//! error, the table to standard output, the rest to files. The measuring is the crate `tidewire-bench`.
//! Failure: what cannot work is refused before a connection is made; lost deliveries end it non-zero.
//! Source: BENCHMARKING.md says what the figures mean.

mod arguments;
mod gateway;
mod plans;
mod progress;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use tidewire_bench::report::{Report, page, table};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::arguments::Arguments;
use self::{gateway::Server, progress::Progress};
use crate::{command::Outcome, output};

pub(crate) async fn run(arguments: Arguments) -> Result<Outcome> {
    // A run holds its thread until it is over; a signal ends the process and a gateway that was started for it.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = tokio::task::spawn_blocking(move || measure(&arguments));
    let number = tokio::select! {
        outcome = running => return outcome?,
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    };
    gateway::stop_started();
    std::process::exit(128 + number)
}

fn measure(arguments: &Arguments) -> Result<Outcome> {
    let server = Server::choose(arguments)?;
    let mut runs = Vec::new();
    for set in plans::sets(arguments) {
        let gateway = server.gateway(arguments)?;
        let plan = set.plan(arguments, &gateway);
        let mut progress = Progress::new(&plan.name, arguments.quiet);
        let run = tidewire_bench::run(&plan, &mut |step| progress.show(step));
        progress.end();
        runs.push(run.with_context(|| format!("{} at {}", plan.name, gateway.url))?);
    }
    let report = Report::new(runs);
    write(arguments.json.as_deref(), || {
        Ok(serde_json::to_string_pretty(&report)? + "\n")
    })?;
    write(arguments.html.as_deref(), || Ok(page(&report)))?;
    output::print(&table(&report))?;
    if !arguments.quiet {
        eprintln!("\n{}", arguments.next());
    }
    let lost: u64 = report
        .runs
        .iter()
        .flat_map(|run| &run.groups)
        .map(|group| group.lost)
        .sum();
    Ok(if lost == 0 {
        Outcome::Done
    } else {
        Outcome::Refused
    })
}

fn write(path: Option<&Path>, text: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    fs::write(path, text()?).with_context(|| format!("cannot write {}", path.display()))
}
