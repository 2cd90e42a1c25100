//! The newest events of the log, in memory.
//! Shape: a ring in log order; the log appends, sessions read by place. It knows no session.
//! Bound: `max_events`, and `max_bytes` of encoded JSON over all of them.
//! Failure: at a bound the oldest events leave. A session that still needs them reads the engine;
//! only where the engine has forgotten them too is there a gap.
//! Source: protocol sections 3 and 8; architecture, "The one idea".

use std::collections::VecDeque;
use std::sync::Arc;

use tidewire_protocol::Topic;

use crate::encoded::Encoded;

/// See the module.
#[derive(Debug)]
pub(crate) struct Window {
    events: VecDeque<Slot>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    place: u64,
    /// `None` once the event was forgotten.
    event: Option<Arc<Encoded>>,
}

impl Window {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            max_events,
            max_bytes,
        }
    }

    /// Takes in the newest event; the oldest ones leave where a bound asks for it.
    pub(crate) fn push(&mut self, event: Arc<Encoded>) {
        self.bytes += event.json().len();
        self.events.push_back(Slot {
            place: event.place(),
            event: Some(event),
        });
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            let Some(slot) = self.events.pop_front() else {
                break;
            };
            self.bytes -= slot.event.map_or(0, |event| event.json().len());
        }
    }

    /// The event at this place, if it is still here.
    pub(crate) fn get(&self, place: u64) -> Option<&Arc<Encoded>> {
        let first = self.events.front()?.place;
        // Places are mostly dense, so the first guess is mostly right.
        let guess = usize::try_from(place.checked_sub(first)?).unwrap_or(usize::MAX);
        let slot = match self.events.get(guess) {
            Some(slot) if slot.place == place => slot,
            _ => {
                let index = self.events.binary_search_by_key(&place, |slot| slot.place);
                self.events.get(index.ok()?)?
            }
        };
        slot.event.as_ref()
    }

    /// The place of the oldest event here. Nothing before it can be read.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.events.front().map(|slot| slot.place)
    }

    /// Lets go of a topic's events up to this place.
    pub(crate) fn forget(&mut self, topic: &Topic, evicted_to: u64) {
        let to = self.events.partition_point(|slot| slot.place <= evicted_to);
        for slot in self.events.range_mut(..to) {
            let is_topic = |event: &&mut Arc<Encoded>| event.event().topic() == topic;
            if slot.event.as_mut().filter(is_topic).is_some() {
                self.bytes -= slot.event.take().map_or(0, |event| event.json().len());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    fn places(window: &Window, range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        range.filter(|place| window.get(*place).is_some()).collect()
    }

    #[test]
    fn the_oldest_events_leave_at_each_bound() {
        let mut window = Window::new(3, usize::MAX);
        for place in [1, 2, 3, 7, 9] {
            window.push(event("a", place));
        }
        assert_eq!(places(&window, 0..=20), [3, 7, 9]);
        assert_eq!(window.oldest(), Some(3));

        let bytes = event("a", 1).json().len();
        let mut window = Window::new(100, 2 * bytes);
        for place in 1..=5 {
            window.push(event("a", place));
        }
        assert_eq!(places(&window, 0..=20), [4, 5]);
        assert_eq!(window.bytes(), 2 * bytes);
    }

    #[test]
    fn a_forgotten_topic_leaves_and_the_others_stay() {
        let mut window = Window::new(10, usize::MAX);
        for (place, topic) in [(1, "a"), (2, "b"), (3, "a"), (4, "a")] {
            window.push(event(topic, place));
        }
        window.forget(&Topic::parse("a").unwrap(), 3);
        assert_eq!(places(&window, 0..=20), [2, 4]);
        assert_eq!(window.bytes(), 2 * event("a", 1).json().len());
    }
}
