//! The flags of `tidewire bench`.
//!
//! Shape: a flag that is not given takes what makes sense for the scenario. Unit: times as `10s`, rates in events a second.
//! Failure: a transport, a time or a mix that cannot be read is refused by clap with the accepted form.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use tidewire_bench::{plan::Scenario, tidewire::Transport};

use crate::config::EngineKind;

/// Load on a gateway: throughput, latency, memory and CPU of each transport
///
/// Without arguments it measures 500 subscribers on each transport in turn, 50 events a second, in about half a minute: at
/// the gateway on https://localhost:8443 if one runs there, else at one that it starts for each run (memory engine, a free
/// port, a temporary folder) and ends afterwards.
///
/// Latency counts from the time when an event should have been sent to its arrival. CPU is user and system time of the
/// server's processes, memory what they hold beyond what they had before the first connection; both need the server on
/// this machine. Generator and server then share its cores: compare ratios within one run.
///
/// It ends with 1 when a delivery was lost.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Address of the gateway [default: https://localhost:8443 if it answers, else as with --start]
    #[arg(long, conflicts_with = "start", help_heading = "Gateway")]
    pub(super) url: Option<String>,
    /// Start a gateway for each run and end it afterwards; TIDEWIRE_… variables configure it
    #[arg(long, help_heading = "Gateway")]
    pub(super) start: bool,
    /// The engine of a gateway that is started
    #[arg(long, value_enum, default_value = "memory", help_heading = "Gateway")]
    pub(super) engine: EngineKind,
    /// Certificate to trust [default: ./tidewire-data/tls/cert.pem]
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub(super) ca: Option<PathBuf>,
    /// Trust any certificate; for gateways on this machine only
    #[arg(long, conflicts_with = "ca", help_heading = "Gateway")]
    pub(super) insecure: bool,
    /// API key
    #[arg(
        long,
        env = "TIDEWIRE_TOKEN",
        hide_env_values = true,
        help_heading = "Gateway"
    )]
    pub(super) token: Option<String>,
    /// Process of the server, for CPU and memory; may be repeated, children count [default: who listens at the address]
    #[arg(long, value_name = "PID", help_heading = "Gateway")]
    pub(super) pid: Vec<u32>,

    /// What happens
    #[arg(long, value_enum, default_value = "fan-out", help_heading = "Load")]
    pub(super) scenario: Kind,
    /// Transports to measure one after the other: websocket, sse, sse-h2, long-poll, poll [default: all]
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        help_heading = "Load"
    )]
    pub(super) transport: Vec<Transport>,
    /// Transports to measure at the same time, each with its number of subscribers: websocket=5000,sse=5000
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',', value_parser = part, conflicts_with_all = ["transport", "subscribers"], help_heading = "Load")]
    pub(super) mix: Vec<(Transport, usize)>,
    /// Subscribers of each transport [default: 500; idle: 2000; storm: 1000]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) subscribers: Option<usize>,
    /// Topics; subscribers take one each, in turn
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    pub(super) topics: usize,
    /// Bytes of a payload, at least 40
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 128,
        help_heading = "Load"
    )]
    pub(super) payload: usize,
    /// Events a second of each topic, by schedule [default: 50; mix: 1]
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "outstanding",
        help_heading = "Load"
    )]
    pub(super) rate: Option<f64>,
    /// Full speed instead of a rate: the next event is sent when the one N before it has reached all
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) outstanding: Option<u32>,
    /// How to publish: one request at a time, or a stream of frames [default: rest; with --outstanding: websocket]
    #[arg(long, value_enum, help_heading = "Load")]
    pub(super) publish: Option<Way>,
    /// Publishers, a connection each
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    pub(super) publishers: usize,
    /// The measured part [default: 3s; mix: 60s]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Load")]
    pub(super) duration: Option<Duration>,
    /// The part before the measured one
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s", help_heading = "Load")]
    pub(super) warm_up: Duration,
    /// Connections a second [default: as fast as they are taken]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) ramp: Option<f64>,
    /// Connections that are being made at a time; after the cut of a storm all are
    #[arg(long, value_name = "N", default_value_t = 128, help_heading = "Load")]
    pub(super) handshakes: usize,
    /// Streams on one connection of sse-h2
    #[arg(long, value_name = "N", default_value_t = 100, help_heading = "Load")]
    pub(super) streams: usize,
    /// From an answer to the next request of poll
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s", help_heading = "Load")]
    pub(super) poll_interval: Duration,
    /// Threads that subscribe; 0: one for each core
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Load")]
    pub(super) threads: usize,
    /// For the filler of payloads
    #[arg(
        long,
        value_name = "N",
        env = "TIDEWIRE_SEED",
        default_value_t = 1,
        help_heading = "Load"
    )]
    pub(super) seed: u64,

    /// Write all figures as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) json: Option<PathBuf>,
    /// Write a page with table and charts that needs nothing around it
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) html: Option<PathBuf>,
    /// No progress and no advice on standard error
    #[arg(long, short, help_heading = "Output")]
    pub(super) quiet: bool,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Subscribe, publish, count
    FanOut,
    /// Subscribe and wait until the server's memory has settled: bytes for each connection
    Idle,
    /// As fan-out; halfway all are cut at once and resume by their cursors: time until all have caught up
    Storm,
}

/// How to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// POST, one request at a time
    Rest,
    /// Frames over a WebSocket, many on their way
    Websocket,
}

impl Arguments {
    pub(super) fn scenario(&self) -> Scenario {
        match self.scenario {
            Kind::FanOut => Scenario::FanOut,
            Kind::Idle => Scenario::Idle,
            Kind::Storm => Scenario::Storm,
        }
    }

    pub(super) fn is_mix(&self) -> bool {
        !self.mix.is_empty()
    }

    /// What to try after this run.
    pub(super) fn next(&self) -> String {
        let mut lines = Vec::new();
        if self.scenario == Kind::FanOut && self.outstanding.is_none() && !self.is_mix() {
            lines.push("--outstanding 64 --transport websocket      how fast it can be");
            lines.push("--scenario idle                             memory for each connection");
            lines.push("--scenario storm --transport websocket,sse  all cut at once");
        } else {
            lines.push("--rate 500 --transport websocket,sse        latency at a given rate");
            lines.push("--mix websocket=2000,sse=2000,long-poll=500 transports at the same time");
        }
        if self.html.is_none() {
            lines
                .push("--html bench.html                           the same as a page with charts");
        }
        format!("Try next: tidewire bench …\n  {}", lines.join("\n  "))
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let parsed = humantime_serde::re::humantime::parse_duration(text);
    parsed.map_err(|error| format!("{error}; accepted is a time such as 500ms, 10s or 2m"))
}

fn part(text: &str) -> Result<(Transport, usize), String> {
    let accepted = || "accepted is a transport and a number, such as websocket=5000".to_owned();
    let (name, count) = text.split_once('=').ok_or_else(accepted)?;
    let transport = name.parse().map_err(|error| format!("{error}"))?;
    match count.parse() {
        Ok(count) if count > 0 => Ok((transport, count)),
        _ => Err(accepted()),
    }
}

const EXAMPLES: &str = "\
Examples:
  tidewire bench                                             all transports, half a minute
  tidewire bench --html bench.html --json bench.json         the same as a page and as data
  tidewire bench --start --engine disk                       a gateway of its own that syncs to disk
  tidewire bench --transport websocket --subscribers 1000 --rate 500 --duration 10s
  tidewire bench --transport websocket --outstanding 64      full speed, 64 events on their way
  tidewire bench --scenario idle --subscribers 5000          memory for each connection
  tidewire bench --scenario storm --subscribers 5000         all cut at once, all resume
  tidewire bench --mix websocket=5000,sse=5000,long-poll=5000 --duration 10m --ramp 500
  tidewire bench --url https://gateway.example:8443 --ca ca.pem --token KEY

Many connections need many open files on both sides (ulimit -n). From this machine, connections come from several
loopback addresses, so that limits for one address do not matter; a publisher may meet [limits] publishes_per_second.";
