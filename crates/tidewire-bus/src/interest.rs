//! Which patterns are subscribed, what of the window matches each, and whom an event wakes.
//! Shape: one [`Interest`] for each distinct pattern, whatever number of sessions share it; [`tree`]
//! finds those that match a topic.
//! Bound: an interest has 8 bytes for each event of the window that it matches, [`PLACES_MAX`] of them;
//! once all together have [`PLACES_TOTAL_MAX`], each keeps [`PLACES_MIN`]. An interest that nobody has
//! any more stays for a while, so that the next poll of the same pattern finds it.
//! Failure: what has left the window is no longer in it; [`Interest::read`] says so.

pub(crate) mod recent;
pub(crate) mod subscribers;
mod tree;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use slab::Slab;
use tidewire_protocol::{Pattern, Topic};

use crate::events::Events;
use recent::{BatchBounds, Recent};
use subscribers::Subscribers;
use tree::PatternTree;

/// Names an interest while a session holds it.
pub(crate) type InterestId = usize;

/// One subscribed pattern.
#[derive(Debug)]
pub(crate) struct Interest {
    pattern: Pattern,
    /// Places in the window that match, in log order.
    places: VecDeque<u64>,
    /// Every matching event after this place is in `places`.
    complete_after: u64,
    /// The newest matching place that retention has let go of since the interest was made.
    lost_to: u64,
    subscribers: Arc<Subscribers>,
    /// Sessions that hold it.
    sessions: usize,
    /// What some of them have just read.
    recent: Recent,
    /// The rounds of sweeping that it has seen without a subscriber.
    idle_rounds: u32,
    /// It is on the list of those to wake.
    is_touched: bool,
}

/// What an interest has after a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// So many places, appended to the reader's list.
    Complete,
    /// Something may have left the window: only the engine knows.
    Behind,
}

impl Interest {
    /// Collects at most `max` places after `after`, up to and with `to`.
    pub(crate) fn read(
        &self,
        after: u64,
        to: u64,
        max: usize,
        window_oldest: u64,
        places: &mut Vec<u64>,
    ) -> Found {
        if after < self.complete_after {
            return Found::Behind;
        }
        let first = self.places.partition_point(|&place| place <= after);
        let mut matching = self.places.range(first..).copied();
        if self
            .places
            .get(first)
            .is_some_and(|&place| place < window_oldest)
        {
            return Found::Behind;
        }
        places.extend(matching.by_ref().take_while(|&place| place <= to).take(max));
        Found::Complete
    }

    /// The newest place that matches and that it still has.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.places.back().copied()
    }

    /// The place before the first that a reader after `after` gets.
    fn before(&self, after: u64) -> u64 {
        let first = self.places.partition_point(|&place| place <= after);
        let before = first
            .checked_sub(1)
            .and_then(|index| self.places.get(index));
        before.copied().unwrap_or(self.complete_after)
    }

    /// Whether a reader who begins after this place has missed nothing that matches.
    pub(crate) fn has_all_after(&self, after: u64, window_oldest: u64) -> bool {
        let is_kept = match self
            .places
            .get(self.places.partition_point(|&place| place <= after))
        {
            Some(&first) => first >= window_oldest,
            None => true,
        };
        after >= self.complete_after && after >= self.lost_to && is_kept
    }

    /// Notes a place; gives how many more are noted than before.
    fn push(&mut self, place: u64, window_oldest: u64, max: usize) -> isize {
        self.places.push_back(place);
        1 - self.trim(window_oldest, max)
    }

    /// Lets go of what has left the window, and of what is over the bound. Gives how many went.
    fn trim(&mut self, window_oldest: u64, max: usize) -> isize {
        let before = self.places.len();
        while let Some(&place) = self.places.front()
            && (place < window_oldest || self.places.len() > max)
        {
            self.places.pop_front();
            self.complete_after = place;
        }
        (before - self.places.len()).cast_signed()
    }
}

/// Every interest.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    all: Slab<Interest>,
    patterns: PatternTree,
    idle: usize,
    /// Places that are noted, over all.
    places: usize,
    /// Bytes of the recent batches, over all.
    recent_bytes: AtomicUsize,
}

impl Interests {
    /// One more session holds the interest of a pattern, which is made if need be. `head`: it is complete after this
    /// place. The session is to be added to its subscribers.
    pub(crate) fn hold(&mut self, pattern: &Pattern, head: u64) -> (InterestId, Arc<Subscribers>) {
        let id = match self.patterns.find(pattern) {
            Some(id) => id,
            None => self.make(pattern, head),
        };
        let interest = &mut self.all[id];
        if interest.idle_rounds > 0 {
            self.idle -= 1;
        }
        interest.idle_rounds = 0;
        interest.sessions += 1;
        (id, Arc::clone(&interest.subscribers))
    }

    /// A session no longer holds the interest.
    pub(crate) fn release(&mut self, id: InterestId) {
        let interest = &mut self.all[id];
        interest.sessions -= 1;
        if interest.sessions > 0 {
            return;
        }
        interest.recent.clear(&self.recent_bytes);
        if self.idle >= IDLE_MAX {
            self.remove(id);
        } else {
            interest.idle_rounds = 1;
            self.idle += 1;
        }
    }

    /// Takes the interests away that nobody has had for a whole round.
    pub(crate) fn sweep(&mut self, window_oldest: u64) {
        let mut gone = Vec::new();
        let max = self.places_max();
        for (id, interest) in &mut self.all {
            let trimmed = interest.trim(window_oldest, max);
            self.places = self.places.saturating_add_signed(-trimmed);
            // After a burst the room is given back too.
            if interest.places.capacity() > 2 * interest.places.len() + 16 {
                interest.places.shrink_to_fit();
            }
            interest.recent.clear(&self.recent_bytes);
            match interest.idle_rounds {
                0 => {}
                1 => interest.idle_rounds = 2,
                _ => gone.push(id),
            }
        }
        for id in gone {
            self.idle -= 1;
            self.remove(id);
        }
    }

    pub(crate) fn get(&self, id: InterestId) -> &Interest {
        &self.all[id]
    }

    /// What another session that stands at this place has just read: everything after it that fits into a batch.
    pub(crate) fn recent(
        &self,
        id: InterestId,
        after: u64,
        bounds: BatchBounds,
        window_oldest: u64,
    ) -> Option<Events> {
        let interest = &self.all[id];
        let newest = interest.newest()?;
        if interest.sessions < 2 || after < interest.complete_after || newest <= after {
            return None;
        }
        let (recent, total) = (&interest.recent, &self.recent_bytes);
        recent.take(after, bounds, newest, window_oldest, total)
    }

    /// Keeps what was read after this place for the other sessions of the interest.
    pub(crate) fn keep(&self, id: InterestId, after: u64, bounds: BatchBounds, events: &Events) {
        let interest = &self.all[id];
        let others = interest.sessions.saturating_sub(1);
        if others > 0 && !events.is_empty() {
            let (recent, total) = (&interest.recent, &self.recent_bytes);
            recent.keep(events, interest.before(after), bounds, others, total);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// An event got its place: notes it, and puts whom it wakes on the list.
    pub(crate) fn push(
        &mut self,
        topic: &Topic,
        place: u64,
        evicted_to: u64,
        window_oldest: u64,
        touched: &mut Vec<InterestId>,
    ) {
        for id in self.patterns.matching(topic) {
            let max = self.places_max();
            let interest = &mut self.all[id];
            let more = interest.push(place, window_oldest, max);
            self.places = self.places.saturating_add_signed(more);
            interest.lost_to = interest.lost_to.max(evicted_to);
            if !interest.is_touched {
                interest.is_touched = true;
                touched.push(id);
            }
        }
    }

    /// The topic has lost its events up to and with this place.
    pub(crate) fn lose(&mut self, topic: &Topic, evicted_to: u64) {
        for id in self.patterns.matching(topic) {
            let interest = &mut self.all[id];
            interest.lost_to = interest.lost_to.max(evicted_to);
        }
    }

    /// The topic's events up to this place are delivered to nobody any more: whoever has not had
    /// them reads the engine, and is told there.
    pub(crate) fn forget(&mut self, topic: &Topic, evicted_to: u64) -> Vec<Arc<Subscribers>> {
        self.lose(topic, evicted_to);
        let ids = self.patterns.matching(topic);
        let forget = |id: InterestId| {
            let interest = &mut self.all[id];
            let to = interest
                .places
                .partition_point(|&place| place <= evicted_to);
            interest.places.drain(..to);
            interest.recent.clear(&self.recent_bytes);
            self.places -= to;
            interest.complete_after = interest.complete_after.max(evicted_to);
            Arc::clone(&interest.subscribers)
        };
        ids.into_iter().map(forget).collect()
    }

    /// Whom the touched interests wake.
    pub(crate) fn take_touched(&mut self, touched: &[InterestId]) -> Vec<Arc<Subscribers>> {
        let take = |&id: &InterestId| {
            self.all[id].is_touched = false;
            Arc::clone(&self.all[id].subscribers)
        };
        touched.iter().map(take).collect()
    }

    /// Sessions that would get an event of this topic; one that has it twice counts twice.
    pub(crate) fn subscribers(&self, topic: &Topic) -> usize {
        let ids = self.patterns.matching(topic).into_iter();
        ids.map(|id| self.all[id].sessions).sum()
    }

    fn make(&mut self, pattern: &Pattern, head: u64) -> InterestId {
        let id = self.all.insert(Interest {
            pattern: pattern.clone(),
            places: VecDeque::new(),
            complete_after: head,
            lost_to: 0,
            subscribers: Arc::default(),
            sessions: 0,
            recent: Recent::default(),
            idle_rounds: 0,
            is_touched: false,
        });
        self.patterns.insert(pattern, id);
        id
    }

    /// What one interest may note now.
    fn places_max(&self) -> usize {
        if self.places < PLACES_TOTAL_MAX {
            PLACES_MAX
        } else {
            PLACES_MIN
        }
    }

    fn remove(&mut self, id: InterestId) {
        let interest = self.all.remove(id);
        self.places -= interest.places.len();
        interest.recent.clear(&self.recent_bytes);
        self.patterns.remove(&interest.pattern);
    }
}

/// Interests without a subscriber that are kept for the next poll; one more goes at once.
const IDLE_MAX: usize = 1_024;
/// Places that one interest notes; a session further behind reads the engine.
const PLACES_MAX: usize = 8_192;
/// The same once there are too many over all.
const PLACES_MIN: usize = 64;
/// Places over all interests, 8 bytes each: 32 MiB.
const PLACES_TOTAL_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(interests: &mut Interests, pattern: &str) -> InterestId {
        interests.hold(&Pattern::parse(pattern).unwrap(), 0).0
    }

    #[test]
    fn an_event_touches_exactly_the_patterns_that_match_it() {
        let patterns = [
            "a.b", "a.*", "a.>", ">", "*.b", "*", "a", "b.>", "$p.a", "$p.>", "a.b.c", "*.*",
        ];
        let mut interests = Interests::default();
        let ids: Vec<_> = patterns
            .iter()
            .map(|pattern| hold(&mut interests, pattern))
            .collect();
        for topic in ["a.b", "a", "b.x.y", "$p.a", "$p.a.b", "a.b.c", "c"] {
            let topic = Topic::parse(topic).unwrap();
            let mut touched = Vec::new();
            interests.push(&topic, 1, 0, 0, &mut touched);
            interests.take_touched(&touched);
            let mut expected: Vec<_> = patterns
                .iter()
                .zip(&ids)
                .filter(|(pattern, _)| Pattern::parse(pattern).unwrap().matches(&topic))
                .map(|(_, id)| *id)
                .collect();
            expected.sort_unstable();
            touched.sort_unstable();
            assert_eq!(touched, expected, "{topic}");
        }
    }

    #[test]
    fn a_released_interest_stays_for_a_round_and_then_leaves_nothing_behind() {
        let mut interests = Interests::default();
        for pattern in ["a.*.c", "a.>", "x"] {
            let id = hold(&mut interests, pattern);
            interests.release(id);
        }
        interests.sweep(0);
        assert_eq!(interests.len(), 3);
        let again = hold(&mut interests, "x");
        interests.sweep(0);
        assert_eq!(interests.len(), 1, "only the one in use stays");
        interests.release(again);
        interests.sweep(0);
        interests.sweep(0);
        assert!(interests.len() == 0 && interests.patterns.is_empty());
        assert_eq!(interests.idle, 0);
    }

    #[test]
    fn a_reader_whose_events_have_left_the_window_is_sent_to_the_engine() {
        let mut interests = Interests::default();
        let id = hold(&mut interests, "a");
        let topic = Topic::parse("a").unwrap();
        let mut touched = Vec::new();
        for place in [3, 5, 8] {
            interests.push(&topic, place, 0, 0, &mut touched);
        }
        let read = |interests: &Interests, after, window_oldest| {
            let mut places = Vec::new();
            let found = interests
                .get(id)
                .read(after, u64::MAX, 10, window_oldest, &mut places);
            (found, places)
        };
        assert_eq!(read(&interests, 0, 1), (Found::Complete, vec![3, 5, 8]));
        assert_eq!(read(&interests, 3, 5), (Found::Complete, vec![5, 8]));
        assert_eq!(read(&interests, 2, 5).0, Found::Behind);
        assert_eq!(read(&interests, 8, 9), (Found::Complete, vec![]));
        interests.sweep(5);
        assert_eq!(read(&interests, 2, 5).0, Found::Behind);
        assert_eq!(read(&interests, 3, 5), (Found::Complete, vec![5, 8]));
    }

    #[test]
    fn an_interest_notes_no_more_than_its_bound_and_says_what_it_let_go() {
        let mut interests = Interests::default();
        let id = hold(&mut interests, "a");
        let topic = Topic::parse("a").unwrap();
        let over = PLACES_MAX as u64 + 10;
        for place in 1..=over {
            interests.push(&topic, place, 0, 0, &mut Vec::new());
        }
        assert_eq!(interests.places, PLACES_MAX);
        let read = |after| {
            let interest = interests.get(id);
            interest.read(after, u64::MAX, 10, 0, &mut Vec::new())
        };
        assert_eq!(read(9), Found::Behind);
        assert_eq!(read(10), Found::Complete);
    }
}
