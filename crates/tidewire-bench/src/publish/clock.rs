//! When events are due, exactly: timers of the runtime round to a millisecond, a sleeping thread does not.
//!
//! Shape: a thread sleeps from event to event and wakes the publisher whose turn it is.
//! Unit: nanoseconds since the run began. Bound: one atomic; what is late is caught up with at once.

use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
    thread,
    time::{Duration, Instant},
};

use crate::board::Board;

/// How far the schedule is.
#[derive(Debug)]
pub(super) struct Clock {
    /// When it began, in nanoseconds since the run did; 0: not yet.
    pub(super) began: AtomicU64,
    /// Events that are due, over all publishers.
    pub(super) due: AtomicU64,
}

/// When each event should be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events {
    per_second: f64,
    began: u64,
}

impl Events {
    pub(super) fn new(per_second: f64, began: u64) -> Events {
        Events { per_second, began }
    }

    pub(super) fn time(self, number: u64) -> u64 {
        self.began + (number as f64 * 1e9 / self.per_second) as u64
    }

    pub(super) fn before(self, length: Duration) -> u64 {
        (length.as_secs_f64() * self.per_second).round() as u64
    }
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            began: AtomicU64::new(0),
            due: AtomicU64::new(0),
        }
    }

    /// Events may be sent from now on; the first is due at this time.
    pub(super) fn begin(&self, at: u64) {
        self.began.store(at, Release);
    }

    /// Sleeps from event to event; catches up when it was late.
    pub(super) fn tick(&self, board: &Board, events: Events, total: u64) {
        let publishers = board.gate.wakers.len() as u64;
        for number in 0..total {
            let due = board.instant(events.time(number));
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait);
            }
            if board.stop.load(Acquire) {
                return;
            }
            self.due.store(number + 1, Release);
            board.gate.wakers[(number % publishers) as usize].wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_has_no_drift() {
        let events = Events::new(3.0, 1_000);
        assert_eq!(events.time(0), 1_000);
        assert_eq!(events.time(3), 1_000_001_000);
        assert_eq!(events.time(3_000_000), 1_000_000_000_001_000);
        assert_eq!(events.before(Duration::from_secs(2)), 6);
    }
}
