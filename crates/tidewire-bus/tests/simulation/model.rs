//! What is true of one log: every event that was appended, and what retention took of it, when.
//! Shape: a vector by place; evictions are numbered as the engine numbers them, so that "before this
//! page" is a comparison of numbers.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tidewire_bus::{Append, AppendError, Appended, Retention, RetentionRule, RetentionTable};
use tidewire_protocol::Pattern;

use crate::universe::{TOPICS, matches, topic, topic_index};

/// The bounds of a run.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) topics: Vec<Retention>,
    pub(crate) max_bytes: u64,
    pub(crate) key_window: Duration,
}

impl Rules {
    pub(crate) fn table(&self) -> RetentionTable {
        let rule = |(index, &limits)| RetentionRule {
            topics: Pattern::from(topic(index)),
            limits,
        };
        let rules = self.topics.iter().enumerate().map(rule);
        RetentionTable::new(rules.collect(), Retention::default())
    }
}

/// One event.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) topic: usize,
    pub(crate) body: Bytes,
    pub(crate) time_ms: u64,
    /// The number of its eviction.
    pub(crate) gone: Option<u64>,
    /// The step in which forgetting it was answered: no read after it brings the event.
    pub(crate) forgotten: Option<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    places: VecDeque<u64>,
    bytes: u64,
    /// The newest place that it ever had.
    newest: u64,
    /// Place and number of each eviction, both growing.
    gone: Vec<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    sent: Vec<Sent>,
    topics: Vec<Kept>,
    bytes: u64,
    evictions: u64,
    keys: HashMap<(usize, String, String), (u64, u64)>,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            sent: Vec::new(),
            topics: (0..TOPICS.len()).map(|_| Kept::default()).collect(),
            bytes: 0,
            evictions: 0,
            keys: HashMap::new(),
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.sent.len() as u64
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(crate) fn sent(&self, place: u64) -> &Sent {
        &self.sent[place as usize - 1]
    }

    /// Takes in what the engine answered, which must be what it should have.
    pub(crate) fn appended(
        &mut self,
        append: &Append,
        answer: &Result<Appended, AppendError>,
        now_ms: u64,
    ) {
        let index = topic_index(&append.topic);
        let name = append
            .key
            .as_ref()
            .map(|key| (index, key.publisher.clone(), key.key.clone()));
        if let Some(name) = &name
            && let Some(&(place, time_ms)) = self.keys.get(name)
            && now_ms - time_ms <= self.rules.key_window.as_millis() as u64
        {
            if self.sent(place).body != append.body.as_bytes() {
                assert_eq!(*answer, Err(AppendError::KeyReused));
                return;
            }
            let answer = answer.as_ref().expect("a repeat gets the first answer");
            assert!(answer.duplicate, "a repeat is called one");
            assert_eq!((answer.id.place, answer.time_ms), (place, time_ms));
            return;
        }
        let place = self.head() + 1;
        let answer = answer.as_ref().expect("it was appended");
        assert!(!answer.duplicate, "it is new");
        assert_eq!((answer.id.place, answer.time_ms), (place, now_ms));
        let body = append.body.as_bytes().clone();
        self.bytes += body.len() as u64 + EVENT_BYTES;
        self.topics[index].bytes += body.len() as u64;
        self.topics[index].places.push_back(place);
        self.topics[index].newest = place;
        self.sent.push(Sent {
            topic: index,
            body,
            time_ms: now_ms,
            gone: None,
            forgotten: None,
        });
        if let Some(name) = name {
            self.keys.insert(name, (place, now_ms));
        }
        self.enforce(index);
    }

    fn enforce(&mut self, index: usize) {
        let limits = self.rules.topics[index];
        let exceeds = |kept: &Kept| {
            limits
                .max_events
                .is_some_and(|max| kept.places.len() as u64 > max)
                || limits.max_bytes.is_some_and(|max| kept.bytes > max)
        };
        while exceeds(&self.topics[index]) {
            self.evict_oldest(index);
        }
        while self.bytes > self.rules.max_bytes {
            let fronts = self.topics.iter().map(|kept| kept.places.front().copied());
            let oldest = fronts
                .enumerate()
                .filter_map(|(index, front)| Some((front?, index)));
            let (_, oldest) = oldest.min().expect("bytes are of events");
            self.evict_oldest(oldest);
        }
    }

    fn evict_oldest(&mut self, index: usize) -> Option<u64> {
        let kept = &mut self.topics[index];
        let place = kept.places.pop_front()?;
        let gone = &mut self.sent[place as usize - 1];
        self.evictions += 1;
        gone.gone = Some(self.evictions);
        kept.gone.push((place, self.evictions));
        kept.bytes -= gone.body.len() as u64;
        self.bytes -= gone.body.len() as u64 + EVENT_BYTES;
        Some(place)
    }

    /// Gives the newest place that went.
    pub(crate) fn forget(&mut self, index: usize) -> u64 {
        while self.evict_oldest(index).is_some() {}
        // What retention took before may still be in the window.
        let gone = self.topics[index].gone.iter();
        gone.map(|&(place, _)| place).max().unwrap_or(0)
    }

    /// Forgetting was answered in this step.
    pub(crate) fn forgotten(&mut self, index: usize, to: u64, step: u64) {
        let places = self.topics[index].gone.iter().map(|&(place, _)| place);
        for place in places.take_while(|&place| place <= to) {
            self.sent[place as usize - 1].forgotten.get_or_insert(step);
        }
    }

    /// What a sweep at this time lets go.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        for index in 0..TOPICS.len() {
            let Some(max_age) = self.rules.topics[index].max_age else {
                continue;
            };
            let max_age = max_age.as_millis() as u64;
            while let Some(&place) = self.topics[index].places.front()
                && self.sent(place).time_ms + max_age < now_ms
            {
                self.evict_oldest(index);
            }
        }
    }

    /// The newest place that a topic ever had.
    pub(crate) fn newest(&self, index: usize) -> u64 {
        self.topics[index].newest
    }

    /// How many events a topic retains, its oldest and its newest.
    pub(crate) fn retained(&self, index: usize) -> (u64, Option<(u64, u64)>) {
        let places = &self.topics[index].places;
        let range = places.front().copied().zip(places.back().copied());
        (places.len() as u64, range)
    }

    /// Just before the oldest retained event that matches, or before the newest N.
    pub(crate) fn sought(&self, patterns: &[usize], newest: Option<usize>) -> u64 {
        let is_wanted = |index: &usize| patterns.iter().any(|&pattern| matches(pattern, *index));
        let topics = (0..TOPICS.len()).filter(is_wanted);
        let mut places: Vec<u64> = topics
            .flat_map(|index| self.topics[index].places.iter().copied())
            .collect();
        places.sort_unstable();
        let first = newest.map_or(0, |count| places.len().saturating_sub(count));
        places.get(first).map_or(self.head(), |place| place - 1)
    }

    /// Whether a pattern lost an event after this place, in the evictions beyond `known` and up to `now`.
    pub(crate) fn has_lost(&self, pattern: usize, after: u64, known: u64, now: u64) -> bool {
        (0..TOPICS.len())
            .filter(|&index| matches(pattern, index))
            .any(|index| {
                let gone = &self.topics[index].gone;
                let until = gone.partition_point(|&(_, number)| number <= now);
                let newest = until.checked_sub(1).map(|last| gone[last]);
                newest.is_some_and(|(place, number)| place > after && number > known)
            })
    }
}

/// What the engine counts for each event beside its payload, as its configuration says.
const EVENT_BYTES: u64 = 400;
