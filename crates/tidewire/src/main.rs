//! `tidewire`: one realtime push gateway for WebSocket, server-sent events and long-poll.
//!
//! Read in this order: `config.rs`, then one file for each command in `command/`.

mod command;
mod config;
mod log;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::command::{Command, Outcome, bench, check, key, publish, serve, subscribe, token};

/// One realtime push gateway: publish once, deliver over WebSocket, SSE and long-poll, resume on any of them.
///
/// Without a command it serves: https://localhost:8443, log and certificate in ./tidewire-data.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or_default();
    let outcome = match command {
        Command::Serve(flags) => Box::pin(serve::run(&flags)).await,
        Command::Publish(arguments) => Box::pin(publish::run(arguments)).await,
        Command::Subscribe(arguments) => Box::pin(subscribe::run(arguments)).await,
        Command::Bench(arguments) => Box::pin(bench::run(*arguments)).await,
        Command::Check(flags) => check::run(&flags),
        Command::Key(arguments) => key::run(arguments),
        Command::Token(arguments) => Box::pin(token::run(*arguments)).await,
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::FAILURE,
        Err(error) => {
            // The first line on standard error says why; what was logged until now comes after it.
            eprintln!("tidewire: {error:#}");
            log::release();
            ExitCode::FAILURE
        }
    }
}
