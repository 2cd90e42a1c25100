//! Latencies, and counts that belong to one thread until the run ends.
//!
//! Unit: microseconds from the time when an event should have been sent to the time when its bytes were read.
//! Bound: from 1 µs to 10 minutes with three digits; what is longer counts as the longest.

use hdrhistogram::Histogram;

/// What one thread has of one group.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Of the measured part.
    pub(crate) latency: Histogram<u64>,
    /// From the beginning of a connection to the subscription.
    pub(crate) connect: Histogram<u64>,
    /// From the cut to the last event that was missed.
    pub(crate) catch_up: Histogram<u64>,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    pub(crate) foreign: u64,
    pub(crate) damaged: u64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            latency: histogram(),
            connect: histogram(),
            catch_up: histogram(),
            lost: 0,
            repeated: 0,
            reordered: 0,
            foreign: 0,
            damaged: 0,
        }
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.connect, &other.connect),
            (&mut self.catch_up, &other.catch_up),
        ] {
            mine.add(theirs).expect("all have the same bounds");
        }
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
        self.damaged += other.damaged;
    }
}

/// For times in microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("these bounds are valid")
}

/// Adds a time in nanoseconds.
pub(crate) fn record(histogram: &mut Histogram<u64>, nanoseconds: u64) {
    histogram.saturating_record((nanoseconds / 1000).max(1));
}

const LONGEST_US: u64 = 600_000_000;
