//! Batches of one interest that were read lately, for the next session that stands at the same place.
//! Shape: each is what the window would give again: whoever asks finds it made already, and joined already.
//! Bound: [`KEPT_MAX`] of an interest; over all [`TOTAL_MAX_BYTES`] of JSON, and what their joined forms take. Each goes
//! once as many sessions as the interest has have taken it, and at the latest with the next sweep.
//! Failure: where there is no room, or none that fits, everybody reads for himself.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::events::Events;
use crate::sync::{Mutex, lock};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Std mutex: held to find or to put in one batch.
    kept: Mutex<Vec<Kept>>,
}

/// What a batch may have. Only who asks for the same gets the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchBounds {
    pub(crate) max_events: usize,
    pub(crate) max_bytes: usize,
}

#[derive(Debug)]
struct Kept {
    events: Events,
    /// The place before its first event that the interest matches: who has had this one gets the batch.
    after: u64,
    bounds: BatchBounds,
    bytes: usize,
    /// How many sessions have not taken it, about.
    left: usize,
}

impl Kept {
    fn is_full(&self) -> bool {
        self.events.len() >= self.bounds.max_events || self.bytes >= self.bounds.max_bytes
    }

    fn first(&self) -> u64 {
        self.events.first().map_or(0, |event| event.place())
    }

    fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.place())
    }
}

impl Recent {
    /// The batch of a session that has had everything up to `after`. `newest`: the newest place of the interest;
    /// a batch that does not reach it counts only if no more fits into it.
    pub(super) fn take(
        &self,
        after: u64,
        bounds: BatchBounds,
        newest: u64,
        window_oldest: u64,
        total: &AtomicUsize,
    ) -> Option<Events> {
        let mut all = lock(&self.kept);
        let index = all.iter().position(|kept| {
            kept.after <= after
                && after < kept.first()
                && kept.first() >= window_oldest
                && kept.bounds == bounds
                && (kept.last() == newest || kept.is_full())
        })?;
        let kept = &mut all[index];
        kept.left -= 1;
        if kept.left > 0 {
            return Some(kept.events.clone());
        }
        let kept = all.swap_remove(index);
        total.fetch_sub(kept.bytes, Ordering::Relaxed);
        Some(kept.events)
    }

    /// Keeps a batch for so many others.
    pub(super) fn keep(
        &self,
        events: &Events,
        after: u64,
        bounds: BatchBounds,
        others: usize,
        total: &AtomicUsize,
    ) {
        let kept = Kept {
            after,
            bounds,
            bytes: events.iter().map(|event| event.json().len()).sum(),
            left: others,
            events: events.clone(),
        };
        let mut all = lock(&self.kept);
        // One that ends earlier and has room is of no use any more. Two may have read the same at the same moment.
        all.retain(|old| {
            let is_current = old.last() >= kept.last() || old.is_full();
            let is_same = (old.after, old.bounds) == (kept.after, kept.bounds);
            if !is_current || is_same {
                total.fetch_sub(old.bytes, Ordering::Relaxed);
            }
            is_current && !is_same
        });
        if all.len() >= KEPT_MAX {
            let oldest = all.remove(0);
            total.fetch_sub(oldest.bytes, Ordering::Relaxed);
        }
        if total.load(Ordering::Relaxed) + kept.bytes <= TOTAL_MAX_BYTES {
            total.fetch_add(kept.bytes, Ordering::Relaxed);
            all.push(kept);
        }
    }

    /// Lets go of everything.
    pub(super) fn clear(&self, total: &AtomicUsize) {
        for kept in std::mem::take(&mut *lock(&self.kept)) {
            total.fetch_sub(kept.bytes, Ordering::Relaxed);
        }
    }
}

/// Batches of one interest: sessions that stand at so many places share.
const KEPT_MAX: usize = 4;
/// JSON of all that are kept. Readers that come at the same moment may go over it by a batch each.
const TOTAL_MAX_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    const BOUNDS: BatchBounds = BatchBounds {
        max_events: 3,
        max_bytes: usize::MAX,
    };

    fn batch(places: &[u64]) -> Events {
        places.iter().map(|&place| event("a", place)).collect()
    }

    fn places(events: Option<Events>) -> Vec<u64> {
        let events = events.unwrap_or_default();
        events.iter().map(|event| event.place()).collect()
    }

    #[test]
    fn it_is_given_to_those_who_would_read_the_same() {
        let (recent, total) = (Recent::default(), AtomicUsize::new(0));
        recent.keep(&batch(&[5, 8]), 2, BOUNDS, 100, &total);
        let take =
            |after, newest, oldest| places(recent.take(after, BOUNDS, newest, oldest, &total));
        assert_eq!(take(2, 8, 0), [5, 8]);
        assert_eq!(take(4, 8, 5), [5, 8], "nothing matches between");
        assert!(take(1, 8, 0).is_empty(), "it needs an earlier one too");
        assert!(take(5, 8, 0).is_empty(), "it has had the first");
        assert!(take(2, 9, 0).is_empty(), "more fits into it by now");
        assert!(take(2, 8, 6).is_empty(), "the first has left the window");
        let wider = BatchBounds {
            max_events: 4,
            ..BOUNDS
        };
        assert!(recent.take(2, wider, 8, 0, &total).is_none());
    }

    #[test]
    fn a_full_one_is_good_whatever_came_after_it() {
        let (recent, total) = (Recent::default(), AtomicUsize::new(0));
        recent.keep(&batch(&[5, 8, 9]), 2, BOUNDS, 100, &total);
        recent.keep(&batch(&[12]), 9, BOUNDS, 100, &total);
        assert_eq!(places(recent.take(2, BOUNDS, 12, 0, &total)), [5, 8, 9]);
        assert_eq!(places(recent.take(9, BOUNDS, 12, 0, &total)), [12]);
        recent.clear(&total);
        assert!(recent.take(9, BOUNDS, 12, 0, &total).is_none());
        assert_eq!(total.into_inner(), 0);
    }

    #[test]
    fn it_goes_once_everybody_has_taken_it() {
        let (recent, total) = (Recent::default(), AtomicUsize::new(0));
        recent.keep(&batch(&[5]), 2, BOUNDS, 2, &total);
        assert!(total.load(Ordering::Relaxed) > 0);
        assert_eq!(places(recent.take(2, BOUNDS, 5, 0, &total)), [5]);
        assert_eq!(places(recent.take(2, BOUNDS, 5, 0, &total)), [5]);
        assert!(recent.take(2, BOUNDS, 5, 0, &total).is_none());
        assert_eq!(total.into_inner(), 0);
    }

    #[test]
    fn there_is_room_for_few_and_none_beyond_the_total() {
        let (recent, total) = (Recent::default(), AtomicUsize::new(0));
        for place in (10..100).step_by(3) {
            let full = batch(&[place, place + 1, place + 2]);
            recent.keep(&full, place - 1, BOUNDS, 100, &total);
        }
        assert_eq!(lock(&recent.kept).len(), KEPT_MAX);
        recent.clear(&total);
        total.store(TOTAL_MAX_BYTES, Ordering::Relaxed);
        recent.keep(&batch(&[5]), 2, BOUNDS, 100, &total);
        assert!(lock(&recent.kept).is_empty());
    }
}
