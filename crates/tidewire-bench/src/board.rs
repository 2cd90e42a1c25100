//! What the threads of a run share: the clock, the measured part, counters, and how far publishing is.
//!
//! Shape: atomics that are added to once for each read, never for each delivery. Unit: nanoseconds since the run began,
//! bytes, counts. Bound: reasons of faults are kept as [`FAULT_KINDS_MAX`] texts with a count each.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::{gate::Gate, protocol::Fault};

/// One for a run.
#[derive(Debug)]
pub(crate) struct Board {
    began: Instant,
    /// Events that should have been sent from here on are measured.
    pub(crate) measured_from: AtomicU64,
    /// Events that should have been sent from here on are not measured any more.
    pub(crate) measured_until: AtomicU64,
    /// No more events.
    pub(crate) stop: AtomicBool,
    /// In the order of the plan.
    pub(crate) groups: Vec<GroupBoard>,
    /// Events that were sent of each stream.
    pub(crate) sent: Vec<AtomicU32>,
    /// What the publishers may send at full speed.
    pub(crate) gate: Gate,
    /// Publishers that may publish.
    pub(crate) publishers_ready: AtomicU64,
    /// When all were cut; 0: never.
    pub(crate) cut_at: AtomicU64,
    faults: Mutex<BTreeMap<String, u64>>,
}

/// The counters of one group of subscribers.
#[derive(Debug, Default)]
pub(crate) struct GroupBoard {
    /// Subscriptions that stand now.
    pub(crate) ready: AtomicU64,
    /// Connections that were made anew without being cut by the run.
    pub(crate) reconnects: AtomicU64,
    /// Events that came for the first time.
    pub(crate) delivered: AtomicU64,
    /// Under TLS.
    pub(crate) bytes_in: AtomicU64,
    /// Under TLS.
    pub(crate) bytes_out: AtomicU64,
    /// Told by the server.
    pub(crate) gaps: AtomicU64,
    /// Subscribers that have caught up after a cut.
    pub(crate) caught_up: AtomicU64,
}

impl Board {
    pub(crate) fn new(groups: usize, streams: usize, gate: Gate) -> Board {
        Board {
            began: Instant::now(),
            measured_from: AtomicU64::new(u64::MAX),
            measured_until: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
            groups: (0..groups).map(|_| GroupBoard::default()).collect(),
            sent: (0..streams).map(|_| AtomicU32::new(0)).collect(),
            gate,
            publishers_ready: AtomicU64::new(0),
            cut_at: AtomicU64::new(0),
            faults: Mutex::new(BTreeMap::new()),
        }
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// The instant that lies so far after the beginning.
    pub(crate) fn instant(&self, nanoseconds: u64) -> Instant {
        self.began + std::time::Duration::from_nanos(nanoseconds)
    }

    /// Whether an event with this stamp is measured.
    pub(crate) fn measures(&self, stamp: u64) -> bool {
        stamp >= self.measured_from.load(Relaxed) && stamp < self.measured_until.load(Relaxed)
    }

    /// The sum over all groups.
    pub(crate) fn sum(&self, counter: impl Fn(&GroupBoard) -> &AtomicU64) -> u64 {
        self.groups
            .iter()
            .map(|group| counter(group).load(Relaxed))
            .sum()
    }

    /// Keeps why a connection ended.
    pub(crate) fn fault(&self, fault: &Fault) {
        let mut text: String = fault.to_string().chars().take(FAULT_TEXT_MAX).collect();
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() >= FAULT_KINDS_MAX && !faults.contains_key(&text) {
            text = "others".to_owned();
        }
        *faults.entry(text).or_default() += 1;
    }

    /// Why connections ended, the most frequent reason first.
    pub(crate) fn faults(&self) -> Vec<(String, u64)> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = faults
            .iter()
            .map(|(text, count)| (text.clone(), *count))
            .collect();
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        list
    }
}

const FAULT_KINDS_MAX: usize = 20;
const FAULT_TEXT_MAX: usize = 200;
