//! The loads: each is one table and at least one panel of the picture.
//!
//! Unit: events a second into one topic that all subscribers take, 128 bytes each.

use crate::peer::Peer;
use crate::results::Figures;
use crate::transport::Transport;

/// One load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// 50 events a second.
    Calm,
    /// 500 events a second: 500,000 deliveries, more than most can.
    Busy,
    /// As fast as a bounded number of events outstanding allows.
    Full,
    /// Long-poll, 5 events a second.
    Poll,
    /// Nothing is published.
    Idle,
}

/// A figure that tables and picture show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) of: fn(&Figures) -> Option<f64>,
    /// What is best stands first.
    pub(crate) more_is_better: bool,
    /// It spans powers of ten from server to server.
    pub(crate) is_logarithmic: bool,
}

impl Scenario {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 5] = [Self::Calm, Self::Busy, Self::Full, Self::Poll, Self::Idle];

    /// As `--scenario` takes it, and as the results have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calm => "50",
            Self::Busy => "500",
            Self::Full => "full",
            Self::Poll => "poll",
            Self::Idle => "idle",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Calm => "50 events a second",
            Self::Busy => "500 events a second",
            Self::Full => "Full speed",
            Self::Poll => "Long-poll, 5 events a second",
            Self::Idle => "Idle connections",
        }
    }

    /// Events a second; none where there is no schedule.
    pub(crate) fn rate(self) -> Option<f64> {
        match self {
            Self::Calm => Some(50.0),
            Self::Busy => Some(500.0),
            Self::Poll => Some(5.0),
            Self::Full | Self::Idle => None,
        }
    }

    /// Whether this server is measured over this transport in it.
    ///
    /// A poll at more than a few events a second measures requests; what waits for events to come has no part in idling.
    pub(crate) fn takes(self, peer: Peer, transport: Transport) -> bool {
        match self {
            Self::Idle => !matches!(peer, Peer::TidewireDisk | Peer::TidewireFlush),
            Self::Poll => transport == Transport::Poll,
            Self::Calm | Self::Busy | Self::Full => transport != Transport::Poll,
        }
    }

    /// What its panels show. The first is the one that rows are sorted by.
    pub(crate) fn panels(self) -> &'static [Column] {
        match self {
            Self::Calm | Self::Poll => &[CPU],
            Self::Busy => &[CPU, P99],
            Self::Full => &[RATE, CPU],
            Self::Idle => &[MEMORY],
        }
    }

    /// What its table shows.
    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Self::Idle => &[MEMORY],
            Self::Calm | Self::Busy | Self::Full | Self::Poll => {
                &[CPU, RATE, P50, P99, P999, WIRE, TOOL]
            }
        }
    }
}

const CPU: Column = Column {
    title: "CPU-seconds per million deliveries",
    of: |figures| Some(figures.cpu_seconds_per_million),
    more_is_better: false,
    is_logarithmic: true,
};
const RATE: Column = Column {
    title: "deliveries a second",
    of: |figures| Some(figures.deliveries_per_second),
    more_is_better: true,
    is_logarithmic: false,
};
const P50: Column = Column {
    title: "p50, ms",
    of: |figures| figures.p50_ms,
    more_is_better: false,
    is_logarithmic: true,
};
const P99: Column = Column {
    title: "p99, ms",
    of: |figures| figures.p99_ms,
    more_is_better: false,
    is_logarithmic: true,
};
const P999: Column = Column {
    title: "p99.9, ms",
    of: |figures| figures.p999_ms,
    more_is_better: false,
    is_logarithmic: true,
};
const WIRE: Column = Column {
    title: "bytes a delivery",
    of: |figures| Some(figures.bytes_per_delivery),
    more_is_better: false,
    is_logarithmic: false,
};
const TOOL: Column = Column {
    title: "cores of the load tool",
    of: |figures| Some(figures.tool_cores),
    more_is_better: false,
    is_logarithmic: false,
};
const MEMORY: Column = Column {
    title: "KiB a connection",
    of: |figures| Some(figures.idle_kib_per_connection),
    more_is_better: false,
    is_logarithmic: false,
};
