//! What conflation left out of a session and has not been told yet.
//!
//! Shape: batches add to it, a heartbeat takes it.
//! Unit: events.
//! Bound: told at the latest a heartbeat interval after the first of them was left out, also where events never pause and
//! no heartbeat would come for silence.
//! Failure: what a session has not told when it ends is not told.
//! Source: protocol section 3.3, `hb`.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    events: u64,
    /// When the first of them was left out.
    since: Option<Instant>,
}

impl Skipped {
    /// Of a batch.
    pub(crate) fn add(&mut self, events: u64, now: Instant) {
        if events > 0 {
            self.events += events;
            self.since.get_or_insert(now);
        }
    }

    /// When it must be told; `None`: there is nothing to tell.
    pub(crate) fn due(&self, heartbeat: Duration) -> Option<Instant> {
        self.since.map(|since| since + heartbeat)
    }

    /// For a heartbeat that is sent now.
    pub(crate) fn take(&mut self) -> u64 {
        std::mem::take(self).events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nothing is told twice, and nothing later than a heartbeat. Method: the clock is an argument.
    #[test]
    fn what_was_left_out_is_due_a_heartbeat_after_the_first_and_told_once() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut skipped = Skipped::default();
        skipped.add(0, start);
        assert_eq!(skipped.due(15 * second), None);
        skipped.add(3, start);
        skipped.add(4, start + 10 * second);
        assert_eq!(skipped.due(15 * second), Some(start + 15 * second));
        assert_eq!((skipped.take(), skipped.take()), (7, 0));
        assert_eq!(skipped.due(15 * second), None);
        skipped.add(1, start + 20 * second);
        assert_eq!(skipped.due(15 * second), Some(start + 35 * second));
    }
}
