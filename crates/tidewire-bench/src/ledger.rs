//! What one subscriber has received: exact counts of lost, repeated and reordered events.
//!
//! Shape: for each stream (topic and publisher) the number that comes next, and the numbers before it that are missing.
//! Bound: nothing but one number for each stream while all arrives in order; a range for each hole.
//! Failure: numbers are judged, never trusted. An event of a stream that was not subscribed is foreign.

/// The account of one subscriber.
#[derive(Debug, Clone)]
pub struct Ledger {
    first_stream: u32,
    tracks: Box<[Track]>,
    /// Events that came again.
    pub repeated: u64,
    /// Events that came after a later one.
    pub reordered: u64,
    /// Events of streams that were not subscribed.
    pub foreign: u64,
}

/// What an event was to the subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one with a hole of so many before it.
    New {
        /// Events that are missing before it.
        skipped: u32,
    },
    /// It was missing, and later ones came first.
    Late,
    /// It had come already.
    Repeated,
    /// It was not subscribed.
    Foreign,
}

#[derive(Debug, Clone, Default)]
struct Track {
    next: u32,
    /// Ranges below `next` that have not come, ascending, without touching ones.
    missing: Vec<(u32, u32)>,
}

impl Ledger {
    /// The account of a subscriber of these streams, which begin at 0.
    #[must_use]
    pub fn new(streams: std::ops::Range<u32>) -> Ledger {
        Ledger {
            first_stream: streams.start,
            tracks: streams.map(|_| Track::default()).collect(),
            repeated: 0,
            reordered: 0,
            foreign: 0,
        }
    }

    /// An event has come.
    pub fn take(&mut self, stream: u32, number: u32) -> Arrival {
        let index = stream.wrapping_sub(self.first_stream) as usize;
        let Some(track) = self.tracks.get_mut(index) else {
            self.foreign += 1;
            return Arrival::Foreign;
        };
        if number >= track.next {
            let skipped = number - track.next;
            if skipped > 0 {
                track.missing.push((track.next, number));
            }
            track.next = number.saturating_add(1);
            return Arrival::New { skipped };
        }
        if track.fill(number) {
            self.reordered += 1;
            Arrival::Late
        } else {
            self.repeated += 1;
            Arrival::Repeated
        }
    }

    /// The number that comes next in this stream.
    #[must_use]
    pub fn next(&self, stream: u32) -> u32 {
        let index = stream.wrapping_sub(self.first_stream) as usize;
        self.tracks.get(index).map_or(0, |track| track.next)
    }

    /// Its streams.
    #[must_use]
    pub fn streams(&self) -> std::ops::Range<u32> {
        self.first_stream..self.first_stream + self.tracks.len() as u32
    }

    /// Events that never came, of `published` in this stream, those left out that were refused.
    #[must_use]
    pub fn lost(&self, stream: u32, published: u32, refused: &[u32]) -> u64 {
        let index = stream.wrapping_sub(self.first_stream) as usize;
        let Some(track) = self.tracks.get(index) else {
            return 0;
        };
        let tail = (track.next, published.max(track.next));
        let holes = track.missing.iter().copied().chain([tail]);
        let is_refused = |from, to| {
            refused
                .iter()
                .filter(move |n| (from..to).contains(*n))
                .count()
        };
        holes
            .map(|(from, to)| u64::from(to - from) - is_refused(from, to) as u64)
            .sum()
    }
}

impl Track {
    /// Takes a number out of what is missing. False when it was not missing.
    fn fill(&mut self, number: u32) -> bool {
        let at = self.missing.partition_point(|(_, to)| *to <= number);
        let Some((from, to)) = self.missing.get(at).copied() else {
            return false;
        };
        if number < from {
            return false;
        }
        let left = (from, number);
        let right = (number + 1, to);
        let parts = [left, right].into_iter().filter(|(from, to)| from < to);
        self.missing.splice(at..=at, parts);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_comes_in_order_costs_nothing() {
        let mut ledger = Ledger::new(3..4);
        for number in 0..5 {
            assert_eq!(ledger.take(3, number), Arrival::New { skipped: 0 });
        }
        assert_eq!(ledger.lost(3, 5, &[]), 0);
        assert_eq!(ledger.lost(3, 7, &[]), 2);
        assert_eq!(ledger.lost(3, 7, &[5]), 1);
    }

    #[test]
    fn a_hole_is_lost_until_it_comes_late() {
        let mut ledger = Ledger::new(0..1);
        assert_eq!(ledger.take(0, 4), Arrival::New { skipped: 4 });
        assert_eq!(ledger.lost(0, 5, &[]), 4);
        assert_eq!(ledger.take(0, 1), Arrival::Late);
        assert_eq!(ledger.take(0, 1), Arrival::Repeated);
        assert_eq!(ledger.lost(0, 5, &[]), 3);
        assert_eq!(ledger.lost(0, 5, &[0, 2]), 1);
        assert_eq!((ledger.repeated, ledger.reordered), (1, 1));
    }

    #[test]
    fn a_stream_that_was_not_subscribed_is_foreign() {
        let mut ledger = Ledger::new(2..4);
        assert_eq!(ledger.take(1, 0), Arrival::Foreign);
        assert_eq!(ledger.take(4, 0), Arrival::Foreign);
        assert_eq!(ledger.take(3, 0), Arrival::New { skipped: 0 });
        assert_eq!(ledger.foreign, 2);
    }

    proptest! {
        /// Against a set of what came.
        #[test]
        fn counts_are_those_of_a_set(numbers in prop::collection::vec(0u32..40, 0..120)) {
            let mut ledger = Ledger::new(0..1);
            let mut seen = BTreeSet::new();
            let (mut repeated, mut reordered) = (0, 0);
            for number in &numbers {
                let highest = seen.last().copied();
                if !seen.insert(*number) {
                    repeated += 1;
                } else if highest.is_some_and(|highest| highest > *number) {
                    reordered += 1;
                }
                ledger.take(0, *number);
            }
            prop_assert_eq!((ledger.repeated, ledger.reordered), (repeated, reordered));
            prop_assert_eq!(ledger.lost(0, 40, &[]), 40 - seen.len() as u64);
        }
    }
}
