//! `tidewire subscribe PATTERN…`: prints each event as it was received, one a line.
//!
//! Shape: events on standard output; connections, gaps and pauses on standard error.
//! Bound: what is ready is written in one go and flushed before waiting.
//! Failure: reconnects for ever by cursor; what cannot get better ends it non-zero. A reader that leaves ends it quietly.
//! Source: protocol sections 3 and 10.

use std::io::{self, BufWriter, Write};

use anyhow::Result;
use clap::{Args, ValueEnum};
use futures_util::FutureExt;
use tidewire_client::{Item, TransportChoice};

use crate::{
    command::{Outcome, Remote},
    output,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Topics and patterns, such as orders.eu.42, orders.* or "orders.>"
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Where to start: a cursor (the id of an event), now or start
    #[arg(long, value_name = "CURSOR", default_value = "now")]
    after: String,
    /// Start with the newest N retained events
    #[arg(long, value_name = "N", conflicts_with = "after")]
    last: Option<u32>,
    /// What carries the session
    #[arg(long, value_enum, default_value = "auto")]
    transport: Carrier,
    /// End after so many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Carrier {
    /// WebSocket, then SSE, then long-poll: the first that works
    Auto,
    /// WebSocket
    Ws,
    /// Server-sent events
    Sse,
    /// Long-poll
    Poll,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Outcome> {
    let client = arguments.remote.client()?;
    let subscription = client
        .subscribe(&arguments.patterns)
        .transport(TransportChoice::from(arguments.transport));
    let mut subscription = match arguments.last {
        Some(count) => subscription.last(count),
        None => subscription.after(&arguments.after),
    }
    .open();
    let mut out = BufWriter::new(io::stdout());
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let ready = subscription.next().now_or_never();
        let item = match ready {
            Some(item) => item,
            None => {
                if !output::open_still(out.flush())? {
                    return Ok(Outcome::Done);
                }
                subscription.next().await
            }
        };
        match item {
            None => break,
            Some(Err(error)) => {
                output::open_still(out.flush())?;
                return Err(arguments.remote.explain(error));
            }
            Some(Ok(Item::Event(event))) => {
                left -= 1;
                if !output::open_still(writeln!(out, "{}", event.json))? {
                    return Ok(Outcome::Done);
                }
            }
            Some(Ok(other)) => eprintln!("tidewire: {}", told(&other)),
        }
    }
    output::open_still(out.flush())?;
    subscription.close().await;
    Ok(Outcome::Done)
}

/// What is not an event, in words.
fn told(item: &Item) -> String {
    match item {
        Item::Event(event) => format!("event {}", event.id),
        Item::Gap(gap) => format!(
            "gap ({}): events of {} after {} are lost; goes on after {}",
            gap.reason,
            gap.topics.join(", "),
            gap.after,
            gap.cursor
        ),
        Item::Connected {
            transport, resumed, ..
        } => {
            let how = if *resumed { "resumed" } else { "connected" };
            format!("{how} over {transport}")
        }
        Item::Disconnected { reason, retry_in } => format!("{reason}; next try in {retry_in:.1?}"),
    }
}

impl From<Carrier> for TransportChoice {
    fn from(carrier: Carrier) -> TransportChoice {
        match carrier {
            Carrier::Auto => TransportChoice::Auto,
            Carrier::Ws => TransportChoice::WebSocket,
            Carrier::Sse => TransportChoice::Sse,
            Carrier::Poll => TransportChoice::Poll,
        }
    }
}
