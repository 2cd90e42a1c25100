//! The torture: the real server with publishers and subscribers on every transport over TLS, faults drawn at random,
//! and a checker over what both sides wrote down.
//!
//! `bash tests/run torture --minutes N --seed S`. The seed gives the same faults with the same pauses and the same
//! choices of every actor; the moments at which they meet are the machine's, so no two runs are the same to the bit.
//!
//! Read in this order: `faults.rs` (what goes wrong), `crew.rs` with `publisher.rs`, `socket.rs` and `subscriber.rs` (who
//! writes what down), `history.rs` (what that is), `checker.rs` (whether it can have been), `server.rs` and `place.rs`
//! (the process and where it lives), and `run.rs`, the run from its first start to its table.

#![allow(
    clippy::unwrap_used,
    reason = "a torture fails like a test: its panic is the verdict"
)]

mod checker;
mod crew;
mod faults;
mod history;
mod place;
mod publisher;
mod run;
mod server;
mod socket;
mod subscriber;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tidewire_tests::Engine;

/// Faults at random against a real server, and a check of everything that both sides saw.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// How long, in minutes.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// The seed of every random choice; the default is a new one.
    #[arg(long)]
    seed: Option<u64>,
    /// What keeps the log.
    #[arg(long, value_enum, default_value = "disk")]
    engine: Keeps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Keeps {
    Disk,
    Memory,
}

impl From<Keeps> for Engine {
    fn from(engine: Keeps) -> Self {
        match engine {
            Keeps::Disk => Self::Disk,
            Keeps::Memory => Self::Memory,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    place::enter_namespace();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if runtime.block_on(run::run(&arguments)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
