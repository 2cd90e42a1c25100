//! What an engine should be: a vector, and what retention has taken from it.
//! Shape: five topics, each with a rule of its own; keys that are told apart by each of their parts.
//! Unit: places, milliseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tidewire_protocol::{Cursor, Epoch, Event, EventBody, Pattern, Topic};

use crate::{IdempotencyKey, Retention, RetentionRule, RetentionTable};

/// `a.x` keeps 2 events, `a.y` 3 and none that is too old, `b` 40 bytes, `keep` everything, `old` what
/// is not too old.
pub(super) const TOPICS: [&str; 5] = ["a.x", "a.y", "b", "keep", "old"];

/// Which of them loses nothing.
pub(super) const KEEP: usize = 3;

/// Topics, patterns that overlap, one that matches everything and two that match nothing.
pub(super) const PATTERNS: [&str; 10] = [
    "a.x", "a.*", ">", "b", "keep", "*", "old", "a.>", "nobody", "none.*",
];

/// Publisher, key, element. No two of them are the same, however they are written one after the other.
pub(super) const KEYS: [(&str, &str, Option<usize>); 6] = [
    ("p", "k", None),
    ("q", "k", None),
    ("p", "k", Some(0)),
    ("p", "k", Some(1)),
    ("p", "k0", None),
    ("pk", "", None),
];

/// Of the keys.
pub(super) const WINDOW: Duration = Duration::from_secs(120);

/// Of `old` and `a.y`; all steps of a sequence that move the clock by a part of the window take less.
pub(super) const MAX_AGE: Duration = Duration::from_secs(3_600_000);

pub(super) fn retention() -> RetentionTable {
    let unbounded = Retention {
        max_events: None,
        max_bytes: None,
        max_age: None,
    };
    let rules = TOPICS.map(|name| {
        let mut limits = unbounded;
        match name {
            "a.x" => limits.max_events = Some(2),
            "a.y" => (limits.max_events, limits.max_age) = (Some(3), Some(MAX_AGE)),
            "b" => limits.max_bytes = Some(40),
            "old" => limits.max_age = Some(MAX_AGE),
            _ => {}
        }
        let topics = pattern(name);
        RetentionRule { topics, limits }
    });
    RetentionTable::new(rules.into(), unbounded)
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::parse(name).expect("a topic")
}

pub(super) fn pattern(name: &str) -> Pattern {
    Pattern::parse(name).expect("a pattern")
}

pub(super) fn key(index: usize) -> IdempotencyKey {
    let (publisher, key, element) = KEYS[index];
    IdempotencyKey {
        publisher: publisher.into(),
        key: key.into(),
        element,
    }
}

/// Ten to twelve bytes.
pub(super) fn body(data: u32) -> EventBody {
    EventBody::from_stored(Bytes::from(format!(",\"data\":{}}}", 10_u64.pow(data))))
}

/// One event as it must always be read.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) place: u64,
    pub(super) topic: &'static str,
    pub(super) time_ms: u64,
    pub(super) json: Bytes,
    name: Topic,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct First {
    place: u64,
    data: u32,
    time_ms: u64,
}

/// What a publish must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    New,
    /// The place and the time of the first.
    Duplicate(u64, u64),
    KeyReused,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) epoch: Epoch,
    pub(super) head: u64,
    /// What is retained.
    events: Vec<Kept>,
    /// The same, with what retention has taken but without what was forgotten.
    all: Vec<Kept>,
    /// Topic and place, in order.
    evictions: Vec<(&'static str, u64)>,
    keys: BTreeMap<(&'static str, usize), First>,
}

impl Model {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            head: 0,
            events: Vec::new(),
            all: Vec::new(),
            evictions: Vec::new(),
            keys: BTreeMap::new(),
        }
    }

    pub(super) fn expected(
        &self,
        topic: &'static str,
        data: u32,
        key: Option<usize>,
        now_ms: u64,
    ) -> Expected {
        let known = key.and_then(|key| self.keys.get(&(topic, key)));
        let in_window = |first: &&First| u128::from(now_ms - first.time_ms) <= WINDOW.as_millis();
        match known.filter(in_window) {
            None => Expected::New,
            Some(first) if first.data == data => Expected::Duplicate(first.place, first.time_ms),
            Some(_) => Expected::KeyReused,
        }
    }

    /// Takes in an event that got this place at this time. Gives its JSON.
    pub(super) fn push(
        &mut self,
        place: u64,
        topic_name: &'static str,
        data: u32,
        key: Option<usize>,
        time_ms: u64,
    ) -> Bytes {
        let body = body(data);
        let id = Cursor::new(self.epoch, place);
        let name = topic(topic_name);
        let event = Event::new(id, name.clone(), time_ms, &body);
        let kept = Kept {
            place,
            topic: topic_name,
            time_ms,
            json: event.json().clone(),
            name,
            bytes: body.as_bytes().len(),
        };
        self.head = place;
        self.all.push(kept.clone());
        self.events.push(kept);
        if let Some(key) = key {
            let first = First {
                place,
                data,
                time_ms,
            };
            self.keys.insert((topic_name, key), first);
        }
        while self.exceeds(topic_name) {
            self.evict(topic_name);
        }
        event.json().clone()
    }

    /// The rules of [`retention`].
    fn exceeds(&self, topic: &str) -> bool {
        match topic {
            "a.x" => self.of(topic).len() > 2,
            "a.y" => self.of(topic).len() > 3,
            "b" => {
                self.of(topic)
                    .iter()
                    .map(|event| event.bytes)
                    .sum::<usize>()
                    > 40
            }
            _ => false,
        }
    }

    pub(super) fn of(&self, topic: &str) -> Vec<&Kept> {
        let events = self.events.iter();
        events.filter(|event| event.topic == topic).collect()
    }

    fn evict(&mut self, topic: &'static str) {
        let oldest = self.of(topic)[0].place;
        self.events.retain(|event| event.place != oldest);
        self.evictions.push((topic, oldest));
    }

    /// Gives whether there was anything.
    pub(super) fn forget(&mut self, topic: &'static str) {
        while !self.of(topic).is_empty() {
            self.evict(topic);
        }
        self.all.retain(|event| event.topic != topic);
    }

    /// Lets go of what is too old. Gives the topics that lost something.
    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<&'static str> {
        let mut lost = Vec::new();
        for topic in ["a.y", "old"] {
            let before = self.of(topic).len();
            while let Some(oldest) = self.of(topic).first()
                && u128::from(now_ms - oldest.time_ms) > MAX_AGE.as_millis()
            {
                self.evict(topic);
            }
            if self.of(topic).len() < before {
                lost.push(topic);
            }
        }
        lost
    }

    /// The newest place of the topic that went; 0 for none.
    pub(super) fn evicted_to(&self, topic: &str) -> u64 {
        let mut evictions = self.evictions.iter().rev();
        let newest = evictions.find(|(name, _)| *name == topic);
        newest.map_or(0, |(_, place)| *place)
    }

    /// How many evictions there were.
    pub(super) fn evictions(&self) -> usize {
        self.evictions.len()
    }

    /// Retained, in log order.
    pub(super) fn matching(&self, patterns: &[Pattern], after: u64, before: u64) -> Vec<&Kept> {
        matching(&self.events, patterns, after, before)
    }

    /// Acknowledged and not forgotten, in log order.
    pub(super) fn acknowledged(&self, patterns: &[Pattern], after: u64, before: u64) -> Vec<&Kept> {
        matching(&self.all, patterns, after, before)
    }

    /// Whether an event after this place went that matches, by an eviction later than the told ones.
    pub(super) fn has_lost(&self, pattern: &Pattern, after: u64, told: usize) -> bool {
        let mut later = self.evictions.iter().skip(told);
        later.any(|(name, place)| *place > after && pattern.matches(&topic(name)))
    }
}

fn matching<'a>(
    events: &'a [Kept],
    patterns: &[Pattern],
    after: u64,
    before: u64,
) -> Vec<&'a Kept> {
    let first = events.partition_point(|event| event.place <= after);
    let events = events[first..].iter();
    let matches = |event: &&Kept| patterns.iter().any(|pattern| pattern.matches(&event.name));
    events
        .take_while(|event| event.place < before)
        .filter(matches)
        .collect()
}
