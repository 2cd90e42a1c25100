//! What is counted, in the text form of OpenMetrics.
//!
//! Shape: one documented field per metric; [`Metrics::encode`] writes them all, with the bus's own numbers read at that
//! moment.
//! Unit: the name says it; `_total` counts up for ever, everything else is how it is now.
//! Bound: labels come from small fixed sets (transport, reason, code). No topic, subject, address or key is a label.
//! Source: house style, names of metrics; hazards part 1 row 26.

use std::{fmt, fs, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tidewire_bus::BusStats;
use tidewire_protocol::{CloseReason, Code, GapReason};

use crate::{limits::limit::Limit, transport::Transport};

/// Every metric of the gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Sessions that are open, by the transport that carries them.
    connections: Family<TransportLabel, Gauge>,
    /// Sockets that are open on the public listeners.
    sockets: Gauge,
    /// Events that the engine has acknowledged to a publisher; repeats of a key not counted.
    published: Counter,
    /// Events that were handed to a subscriber's connection; for each transport, so that no batch looks its own up.
    delivered: [Counter; Transport::ALL.len()],
    /// Gaps that were told to subscribers.
    gaps: Family<ReasonLabel, Counter>,
    /// Events and requests to publish that were refused, by the code of the problem.
    refused: Family<CodeLabel, Counter>,
    /// From the engine being asked until it acknowledged, in seconds.
    append: Histogram,
    /// Sessions that ended, by close code.
    ends: Family<EndLabel, Counter>,
    /// Questions to the user's backend, by hook and what came of them.
    hooks: HookOutcomes,
    /// Panics that were caught: each is a bug.
    panics: Counter,
    /// Connections, sessions, events and frames that met a bound, by its name.
    limited: Family<LimitLabel, Counter>,
    /// Connections that the system could not give us, such as for want of open files.
    accept_failures: Counter,
    /// Changed certificates, by what became of them.
    reloads: Family<OutcomeLabel, Counter>,
    /// What the bus says of itself.
    bus: BusGauges,
    /// Resident memory of the process, in bytes.
    resident: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabel {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What came of a question to the user's backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookOutcome {
    /// The backend said yes.
    Allowed,
    /// The backend said no.
    Refused,
    /// It gave no answer.
    Failed,
}

/// The counter of them. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct HookOutcomes(Family<HookLabel, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabel {
    hook: &'static str,
    outcome: &'static str,
}

impl HookOutcomes {
    /// One more.
    pub(crate) fn count(&self, hook: &'static str, outcome: HookOutcome) {
        let outcome = match outcome {
            HookOutcome::Allowed => "allowed",
            HookOutcome::Refused => "refused",
            HookOutcome::Failed => "failed",
        };
        self.0.get_or_create(&HookLabel { hook, outcome }).inc();
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tidewire");
        let connections = Family::default();
        registry.register(
            "connections",
            "Open sessions by transport",
            connections.clone(),
        );
        let sockets = Gauge::default();
        registry.register(
            "sockets",
            "Open sockets on the public listeners",
            sockets.clone(),
        );
        let published = Counter::default();
        registry.register(
            "events_published",
            "Events acknowledged to publishers",
            published.clone(),
        );
        let delivered = Family::<TransportLabel, Counter>::default();
        registry.register(
            "events_delivered",
            "Events handed to subscribers' connections",
            delivered.clone(),
        );
        let delivered = Transport::ALL.map(|each| delivered.get_or_create(&label(each)).clone());
        let gaps = Family::default();
        registry.register("gaps", "Gaps told to subscribers", gaps.clone());
        let refused = Family::default();
        registry.register(
            "publish_refused",
            "Refused publishes by problem code",
            refused.clone(),
        );
        let append = Histogram::new(exponential_buckets(
            APPEND_FIRST_BUCKET,
            2.0,
            APPEND_BUCKETS,
        ));
        registry.register(
            "append_duration_seconds",
            "From asking the engine until it acknowledged",
            append.clone(),
        );
        let ends = Family::default();
        registry.register("session_ends", "Ended sessions by close code", ends.clone());
        let hooks = HookOutcomes::default();
        registry.register(
            "hooks",
            "Questions to the user's backend by hook and outcome",
            hooks.0.clone(),
        );
        let panics = Counter::default();
        registry.register(
            "panics",
            "Panics that were caught; each is a bug",
            panics.clone(),
        );
        let limited = Family::default();
        registry.register(
            "refused",
            "Refused, cut or told to wait, by the bound of [limits]",
            limited.clone(),
        );
        let accept_failures = Counter::default();
        registry.register(
            "accept_failures",
            "Tries to accept a connection that the system refused",
            accept_failures.clone(),
        );
        let reloads = Family::default();
        registry.register(
            "tls_reloads",
            "Changed certificates by outcome: taken, refused",
            reloads.clone(),
        );
        let resident = Gauge::default();
        registry.register(
            "process_resident_bytes",
            "Resident memory of the process",
            resident.clone(),
        );
        let bus = BusGauges::register(&mut registry);
        Self {
            registry,
            connections,
            sockets,
            published,
            delivered,
            gaps,
            refused,
            append,
            ends,
            hooks,
            panics,
            limited,
            accept_failures,
            reloads,
            bus,
            resident,
        }
    }

    /// A session has opened.
    pub(crate) fn opened(&self, transport: Transport) {
        self.connections.get_or_create(&label(transport)).inc();
    }

    /// A session has ended.
    pub(crate) fn ended(&self, transport: Transport, reason: CloseReason) {
        self.connections.get_or_create(&label(transport)).dec();
        self.ends
            .get_or_create(&EndLabel {
                code: reason.code(),
            })
            .inc();
    }

    /// Events went to a subscriber.
    pub(crate) fn delivered(&self, transport: Transport, events: usize) {
        if events > 0 {
            self.delivered[transport as usize].inc_by(events as u64);
        }
    }

    /// A gap was told.
    pub(crate) fn gap(&self, reason: GapReason) {
        self.gaps
            .get_or_create(&ReasonLabel {
                reason: reason.as_str(),
            })
            .inc();
    }

    /// Events were acknowledged by the engine.
    pub(crate) fn published(&self, events: u64) {
        self.published.inc_by(events);
    }

    /// The engine took this long.
    pub(crate) fn appended(&self, time: Duration) {
        self.append.observe(time.as_secs_f64());
    }

    /// A publish was refused.
    pub(crate) fn publish_refused(&self, code: Code) {
        self.refused
            .get_or_create(&CodeLabel {
                code: code.as_str(),
            })
            .inc();
    }

    /// The counter of questions to the user's backend.
    pub(crate) fn hooks(&self) -> HookOutcomes {
        self.hooks.clone()
    }

    /// A panic was caught.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Somebody met a bound.
    pub(crate) fn refused(&self, limit: Limit) {
        self.counter(limit).inc();
    }

    /// What counts those who meet this bound.
    pub(crate) fn counter(&self, limit: Limit) -> Counter {
        let limit = limit.name();
        self.limited.get_or_create(&LimitLabel { limit }).clone()
    }

    /// The system gave no connection.
    pub(crate) fn accept_failed(&self) {
        self.accept_failures.inc();
    }

    /// A changed certificate is in use.
    pub(crate) fn certificate_taken(&self) {
        self.reloaded("taken");
    }

    /// A changed certificate cannot be used; the old one stays.
    pub(crate) fn certificate_refused(&self) {
        self.reloaded("refused");
    }

    fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// All of it as text.
    ///
    /// # Errors
    /// Never in practice: writing to a `String` does not fail.
    pub(crate) fn encode(&self, bus: &BusStats, sockets: usize) -> Result<String, fmt::Error> {
        self.bus.set(bus);
        self.sockets.set(count(sockets));
        self.resident.set(resident_bytes());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// What the bus says of itself, copied when somebody asks.
#[derive(Debug, Default)]
struct BusGauges {
    /// Sessions of all transports.
    sessions: Gauge,
    /// Patterns that sessions wait for.
    interests: Gauge,
    /// Events in the window in memory.
    window_events: Gauge,
    /// Their bytes.
    window_bytes: Gauge,
    /// The newest place that the engine acknowledged.
    log_head: Gauge,
    /// The newest place that sessions can see; behind the head while the feed lags.
    log_applied: Gauge,
}

impl BusGauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register(
            "sessions",
            "Sessions of all transports",
            gauges.sessions.clone(),
        );
        registry.register(
            "interests",
            "Patterns that sessions have subscribed",
            gauges.interests.clone(),
        );
        registry.register(
            "window_events",
            "Events in the window in memory",
            gauges.window_events.clone(),
        );
        registry.register(
            "window_bytes",
            "Bytes of the window in memory",
            gauges.window_bytes.clone(),
        );
        registry.register(
            "log_head",
            "Newest place that the engine acknowledged",
            gauges.log_head.clone(),
        );
        registry.register(
            "log_applied",
            "Newest place that sessions can see",
            gauges.log_applied.clone(),
        );
        gauges
    }

    fn set(&self, stats: &BusStats) {
        self.sessions.set(count(stats.sessions));
        self.interests.set(count(stats.interests));
        self.window_events.set(count(stats.window_events));
        self.window_bytes.set(count(stats.window_bytes));
        self.log_head.set(count(stats.head));
        self.log_applied.set(count(stats.applied));
    }
}

fn label(transport: Transport) -> TransportLabel {
    TransportLabel {
        transport: transport.name(),
    }
}

fn count(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// `VmRSS` of `/proc/self/status`; 0 where there is no such file.
fn resident_bytes() -> i64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}

/// 50 microseconds: a memory engine. Doubled to about 13 seconds.
const APPEND_FIRST_BUCKET: f64 = 0.00005;
const APPEND_BUCKETS: u16 = 19;
