//! Whether what both sides wrote down can have been.
//! Shape: the publications and every sight of them give one log ([`log`]); each subscriber is walked through it
//! once ([`walk`]), so that all who want the same agree with each other, because each agrees with the log.
//! Bound: linear in the entries, beside the sorting of places that come nearly sorted.
//! Failure: the first [`Violation`], with where it was seen. What cannot be decided counts as good: an event that
//! nobody acknowledged and nobody saw may have been evicted unseen.
//! Source: protocol sections 3, 4 and 8; the oracle of the fault list.

mod log;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::AddAssign;

use tidewire_protocol::{Cursor, Pattern};

use self::log::Log;
use crate::history::{Publication, Subscription};

/// What the gateway was told, and so has to keep to.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Topics that keep few events. Of all others nothing is ever lost.
    pub(crate) tight: Pattern,
    /// How many of each.
    pub(crate) tight_max_events: usize,
    /// A restart keeps the log: there is one epoch.
    pub(crate) is_durable: bool,
}

/// What was found, for the table at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) acknowledged: usize,
    pub(crate) duplicates: usize,
    pub(crate) refused: usize,
    /// Never answered, and seen by a subscriber.
    pub(crate) unknown_stored: usize,
    /// Never answered, and never seen.
    pub(crate) unknown_absent: usize,
    pub(crate) delivered: usize,
    pub(crate) repeated: usize,
    pub(crate) gaps: usize,
    /// Events that stand in told gaps.
    pub(crate) lost: usize,
    pub(crate) connections: usize,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) what: String,
    pub(crate) place: Place,
}

/// Where a violation shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The number of a publication: publisher and its entry.
    Publication(usize, usize),
    /// The number of a subscriber, and of its step.
    Step(usize, usize),
}

/// Checks everything. `head`: every subscriber has had what stands up to there; without it the end of their
/// records says nothing.
///
/// # Errors
/// What must not be.
pub(crate) fn check(
    rules: &Rules,
    publishers: &[&[Publication]],
    subscriptions: &[&Subscription],
    head: Option<Cursor>,
) -> Result<Summary, Violation> {
    let (log, mut summary) = Log::build(rules, publishers, subscriptions)?;
    for (number, subscription) in subscriptions.iter().enumerate() {
        summary += walk::walk(&log, number, subscription, head)?;
    }
    Ok(summary)
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.unknown_stored += other.unknown_stored;
        self.unknown_absent += other.unknown_absent;
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.gaps += other.gaps;
        self.lost += other.lost;
        self.connections += other.connections;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("acknowledged events", self.acknowledged),
            ("answers that said duplicate", self.duplicates),
            ("refused, as they had to be", self.refused),
            ("unknown for good, stored", self.unknown_stored),
            ("unknown for good, absent", self.unknown_absent),
            ("connections", self.connections),
            ("delivered events", self.delivered),
            ("repeated after an older cursor", self.repeated),
            ("gaps told", self.gaps),
            ("events in them", self.lost),
        ];
        for (name, number) in rows {
            writeln!(f, "  {name:<32}{number:>10}")?;
        }
        Ok(())
    }
}
