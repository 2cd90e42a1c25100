//! What was measured, as values: the schema of `--json`.
//!
//! Shape: a [`Report`] has [`Run`]s, a run has a [`GroupRun`] for each transport. Programs merge reports by joining `runs`.
//! Unit: stands last in each name: `_seconds`, `_us` (microseconds), `_bytes`; everything else is a count.
//! Failure: what could not be measured is `null` (no process of the server was given), never 0. What makes a figure
//! doubtful stands in `warnings`, in words.

pub mod chart;
mod html;
mod text;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub use self::{
    html::page,
    text::{count, microseconds, table},
};

/// The file of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`]; another text means that names or meanings have changed.
    pub schema: String,
    /// The generator and its version.
    pub tool: String,
    /// Cores, CPU, memory, kernel.
    pub machine: String,
    /// Each run, in the order in which they were made.
    pub runs: Vec<Run>,
}

/// One run: a server under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What it was called.
    pub name: String,
    /// `fan-out`, `idle` or `storm`.
    pub scenario: String,
    /// When it began, in seconds of Unix time.
    pub began_unix_seconds: u64,
    /// The length of the measured part; 0 for `idle`.
    pub measured_seconds: f64,
    /// Whether subscribers came over TLS 1.3.
    pub tls: bool,
    /// Subscribers of all groups.
    pub subscribers: u64,
    /// Topics; subscribers take one each.
    pub topics: u64,
    /// Size of a payload.
    pub payload_bytes: u64,
    /// Events a second of each topic; `null` at full speed.
    pub rate: Option<f64>,
    /// Events of a topic and publisher on their way at full speed; `null` by schedule.
    pub outstanding: Option<u32>,
    /// How it was published.
    pub publishing: String,
    /// Publishers.
    pub publishers: u64,
    /// Each transport.
    pub groups: Vec<GroupRun>,
    /// Deliveries to all groups in the measured part.
    pub deliveries: u64,
    /// The same for a second.
    pub deliveries_per_second: f64,
    /// User and system time of the server in the measured part.
    pub server_cpu_seconds: Option<f64>,
    /// The same for a million deliveries.
    pub server_cpu_seconds_per_million: Option<f64>,
    /// The server's memory.
    pub memory: Option<Memory>,
    /// The publishers' account.
    pub published: PublishedRun,
    /// After a cut.
    pub storm: Option<Storm>,
    /// What the generator itself used.
    pub tool: Tool,
    /// About once a second, from the first connection on.
    pub samples: Vec<Sample>,
    /// Why connections ended, and how often.
    pub faults: Vec<Fault>,
    /// What makes a figure doubtful.
    pub warnings: Vec<String>,
}

/// One transport in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRun {
    /// The server.
    pub server: String,
    /// The transport.
    pub transport: String,
    /// Its subscribers.
    pub subscribers: u64,
    /// Deliveries in the measured part.
    pub deliveries: u64,
    /// Deliveries in the whole run that came for the first time.
    pub deliveries_in_all: u64,
    /// What there should have been: events that were taken × subscribers of their topic.
    pub expected: u64,
    /// Events that never came, over all subscribers.
    pub lost: u64,
    /// Events that came again.
    pub repeated: u64,
    /// Events that came after a later one of the same publisher and topic.
    pub reordered: u64,
    /// Events of topics that were not subscribed, and markers that were damaged. Anything but 0 is a bug.
    pub wrong: u64,
    /// Gaps that the server told.
    pub gaps: u64,
    /// Connections that ended by themselves and were made anew.
    pub reconnects: u64,
    /// From the time when an event should have been sent to its arrival; `null` when none was measured.
    pub latency: Option<Latency>,
    /// Bytes that came from the server under TLS, for each delivery of the measured part.
    pub wire_bytes_per_delivery: Option<f64>,
    /// From the beginning of a connection to the subscription.
    pub connect: Option<Latency>,
    /// Subscriptions a second while connecting, all groups being connected at the same time.
    pub connects_per_second: f64,
}

/// A distribution of times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 90 of 100 are not longer.
    pub p90_us: u64,
    /// 99 of 100 are not longer.
    pub p99_us: u64,
    /// 999 of 1000 are not longer.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// The curve: pairs of a percentile and a time.
    pub curve: Vec<(f64, u64)>,
}

/// Resident memory of the server's processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Before the first connection.
    pub before_bytes: u64,
    /// When all were connected and, in `idle`, it had settled.
    pub connected_bytes: u64,
    /// The difference, for each subscriber.
    pub per_subscriber_bytes: f64,
    /// The most that was seen.
    pub peak_bytes: u64,
    /// At the end, all still connected.
    pub end_bytes: u64,
    /// How long it took to settle after the last connection; only in `idle`.
    pub settled_seconds: Option<f64>,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedRun {
    /// Events that were sent.
    pub sent: u64,
    /// Events that the server took.
    pub accepted: u64,
    /// Refusals; one event may be refused several times.
    pub refused: u64,
    /// How late events were sent.
    pub late: Option<Latency>,
    /// From sending to the answer.
    pub answered: Option<Latency>,
}

/// After all were cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// Subscribers that were cut.
    pub cut: u64,
    /// Those that caught up: they had everything that was published before their subscription stood again.
    pub caught_up: u64,
    /// From the cut until a subscriber had caught up.
    pub catch_up: Option<Latency>,
}

/// What the generator used in the measured part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Threads that subscribed.
    pub threads: u64,
    /// Its user and system time.
    pub cpu_seconds: f64,
    /// The busiest thread: the share of the time that it ran or waited for a core. Near 1, figures are the generator's.
    pub busiest_thread: Option<f64>,
    /// The share of all cores that anybody used.
    pub machine_busy: Option<f64>,
}

/// One moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the run began.
    pub at_seconds: f64,
    /// Subscriptions that stand.
    pub connected: u64,
    /// Deliveries so far.
    pub deliveries: u64,
    /// Events sent so far.
    pub sent: u64,
    /// The server's memory.
    pub resident_bytes: Option<u64>,
    /// The server's user and system time so far.
    pub server_cpu_seconds: Option<f64>,
}

/// Why connections ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// In words.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// The text in [`Report::schema`].
pub const SCHEMA: &str = "tidewire-bench/1";

impl Report {
    /// These runs on this machine.
    #[must_use]
    pub fn new(runs: Vec<Run>) -> Report {
        Report {
            schema: SCHEMA.to_owned(),
            tool: concat!("tidewire-bench ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: crate::process::machine(),
            runs,
        }
    }
}

impl Latency {
    /// What a histogram of microseconds says; `None` when it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        if histogram.is_empty() {
            return None;
        }
        let at = |percentile| histogram.value_at_percentile(percentile);
        let curve = CURVE
            .iter()
            .map(|percentile| (*percentile, at(*percentile)));
        Some(Latency {
            count: histogram.len(),
            mean_us: (histogram.mean() * 10.0).round() / 10.0,
            p50_us: at(50.0),
            p90_us: at(90.0),
            p99_us: at(99.0),
            p999_us: at(99.9),
            max_us: histogram.max(),
            curve: curve.collect(),
        })
    }
}

/// Evenly spaced where the axis is the number of nines.
const CURVE: [f64; 17] = [
    0.0, 10.0, 25.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95,
    99.99, 100.0,
];

#[cfg(test)]
mod tests;
