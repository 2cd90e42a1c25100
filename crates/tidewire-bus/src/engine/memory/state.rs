//! What the memory engine keeps, behind its one lock.
//! Shape: the events by place, and for each topic its places; evictions are numbered.
//! Bound: as the engine's; [`SCAN_MAX`] and [`SWEEP_EVENTS_MAX`] for one hold of the lock.
//! Failure: a key that was used for another payload refuses that event alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tidewire_protocol::{Cursor, Epoch, Event, Pattern, Topic};

use crate::clock::Now;
use crate::encoded::Encoded;
use crate::engine::feed::FeedItem;
use crate::engine::{
    Append, AppendError, Appended, Page, Read, Retained, Search, Sought, keys_full,
};
use crate::idempotency::{FirstPublish, Keys, Seen};
use crate::retention::RetentionTable;

#[derive(Debug)]
pub(super) struct State {
    epoch: Epoch,
    retention: RetentionTable,
    max_bytes: u64,
    head: u64,
    bytes: u64,
    /// Counts evictions, so that a reader is told of each once.
    evictions: u64,
    /// The newest place of all that was evicted.
    evicted_to: u64,
    events: BTreeMap<u64, Kept>,
    topics: BTreeMap<Topic, TopicState>,
    /// When the oldest event of a topic is too old. One entry for each topic that has events.
    deadlines: BTreeSet<(u64, Topic)>,
    keys: Keys,
}

#[derive(Debug)]
struct Kept {
    event: Arc<Encoded>,
    bytes: u64,
    /// By the steady clock: its age counts from here.
    since_ms: u64,
}

#[derive(Debug, Default)]
struct TopicState {
    places: VecDeque<u64>,
    bytes: u64,
    evicted_to: u64,
    eviction: u64,
}

impl State {
    pub(super) fn new(
        epoch: Epoch,
        max_bytes: u64,
        idempotency_window: Duration,
        retention: RetentionTable,
    ) -> Self {
        Self {
            epoch,
            retention,
            max_bytes,
            head: 0,
            bytes: 0,
            evictions: 0,
            evicted_to: 0,
            events: BTreeMap::new(),
            topics: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            keys: Keys::new(idempotency_window),
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// What is kept of one topic.
    pub(super) fn topic(&self, topic: &Topic) -> Retained {
        let kept = self.topics.get(topic);
        let kept = kept.map(|kept| Retained {
            events: kept.places.len() as u64,
            range: kept
                .places
                .front()
                .copied()
                .zip(kept.places.back().copied()),
        });
        kept.unwrap_or_default()
    }

    /// Gives one event its place, and lets go of what exceeds a bound.
    pub(super) fn append(
        &mut self,
        append: Append,
        now: Now,
        items: &mut Vec<FeedItem>,
    ) -> Result<Appended, AppendError> {
        let Append { topic, body, key } = append;
        let key = key.map(|key| (Keys::name(&topic, &key), Keys::body(&body)));
        if let Some((name, digest)) = &key {
            match self.keys.look_up(name, digest, now.steady_ms) {
                Seen::Never => {}
                Seen::Before(first) => {
                    return Ok(Appended {
                        id: Cursor::new(self.epoch, first.place),
                        time_ms: first.time_ms,
                        duplicate: true,
                    });
                }
                Seen::WithAnotherPayload => return Err(AppendError::KeyReused),
                Seen::Full => return Err(keys_full()),
            }
        }

        let place = self.head + 1;
        let id = Cursor::new(self.epoch, place);
        let bytes = body.as_bytes().len() as u64;
        let event = Encoded::new(Event::new(id, topic.clone(), now.wall_ms, &body));
        self.head = place;
        self.bytes += bytes + EVENT_BYTES;
        self.events.insert(
            place,
            Kept {
                event: Arc::clone(&event),
                bytes,
                since_ms: now.steady_ms,
            },
        );
        let kept = self.topics.entry(topic.clone()).or_default();
        kept.places.push_back(place);
        kept.bytes += bytes;
        if kept.places.len() == 1 {
            self.set_deadline(&topic);
        }
        if let Some((name, body)) = key {
            let first = FirstPublish {
                place,
                time_ms: now.wall_ms,
                since_ms: now.steady_ms,
                body,
            };
            self.keys.remember(name, first);
        }
        let others = self.enforce(&topic);
        let evicted_to = self.evicted_to(&topic);
        items.push(FeedItem::Event { event, evicted_to });
        items.extend(others);
        Ok(Appended {
            id,
            time_ms: now.wall_ms,
            duplicate: false,
        })
    }

    /// Lets go of what exceeds the topic's bounds, then of what exceeds the bound over all topics.
    /// Gives what other topics lost.
    fn enforce(&mut self, topic: &Topic) -> Vec<FeedItem> {
        let retention = self.retention.of(topic);
        while let Some(kept) = self.topics.get(topic)
            && retention.exceeded(kept.places.len() as u64, kept.bytes)
        {
            self.evict_oldest(topic);
        }
        let mut others = Vec::new();
        while self.bytes > self.max_bytes
            && let Some((&evicted_to, oldest)) = self.events.first_key_value()
        {
            let oldest = oldest.event.event().topic().clone();
            self.evict_oldest(&oldest);
            if oldest != *topic {
                others.push(FeedItem::Evicted {
                    topic: oldest,
                    evicted_to,
                });
            }
        }
        others
    }

    /// Up to which place a topic's events are gone; 0 where none are.
    pub(super) fn evicted_to(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |topic| topic.evicted_to)
    }

    /// Takes the oldest event of a topic out of the log and gives its place.
    pub(super) fn evict_oldest(&mut self, topic: &Topic) -> Option<u64> {
        let kept = self.topics.get_mut(topic)?;
        let place = kept.places.pop_front()?;
        let gone = self.events.remove(&place);
        let gone = gone.expect("each place of a topic has its event");
        self.evictions += 1;
        self.bytes -= gone.bytes + EVENT_BYTES;
        kept.bytes -= gone.bytes;
        kept.evicted_to = place;
        kept.eviction = self.evictions;
        self.evicted_to = self.evicted_to.max(place);
        let old = self.retention.of(topic).deadline_ms(gone.since_ms);
        if let Some(deadline_ms) = old {
            self.deadlines.remove(&(deadline_ms, topic.clone()));
            self.set_deadline(topic);
        }
        Some(place)
    }

    /// Notes when the topic's oldest event is too old.
    fn set_deadline(&mut self, topic: &Topic) {
        let oldest = self.topics.get(topic).and_then(|kept| kept.places.front());
        if let Some(place) = oldest
            && let Some(kept) = self.events.get(place)
            && let Some(deadline_ms) = self.retention.of(topic).deadline_ms(kept.since_ms)
        {
            self.deadlines.insert((deadline_ms, topic.clone()));
        }
    }

    /// Lets go of old events and keys, a bounded number at a time. Gives whether that was all.
    pub(super) fn expire(&mut self, now_ms: u64) -> (Vec<FeedItem>, bool) {
        self.keys.expire(now_ms);
        let mut evicted = BTreeMap::new();
        let mut budget = SWEEP_EVENTS_MAX;
        while let Some((deadline_ms, topic)) = self.deadlines.first()
            && *deadline_ms < now_ms
            && budget > 0
        {
            budget -= 1;
            let topic = topic.clone();
            let place = self.evict_oldest(&topic);
            evicted.insert(topic, place.expect("a topic with a deadline has an event"));
        }
        let items = evicted.into_iter();
        let items = items.map(|(topic, evicted_to)| FeedItem::Evicted { topic, evicted_to });
        (items.collect(), budget > 0)
    }

    /// The events between the bounds, in order: those of one topic, or all of them.
    fn candidates<'a>(
        &'a self,
        patterns: &[Pattern],
        after: u64,
        before: u64,
        descending: bool,
    ) -> Box<dyn Iterator<Item = (u64, &'a Arc<Encoded>)> + 'a> {
        if before <= after.saturating_add(1) {
            return Box::new(std::iter::empty());
        }
        if let [pattern] = patterns
            && let Some(topic) = pattern.as_topic()
        {
            let Some(kept) = self.topics.get(topic) else {
                return Box::new(std::iter::empty());
            };
            let from = kept.places.partition_point(|&place| place <= after);
            let to = kept.places.partition_point(|&place| place < before);
            let range = kept.places.range(from..to);
            let range = range.map(|place| (*place, &self.events[place].event));
            return if descending {
                Box::new(range.rev())
            } else {
                Box::new(range)
            };
        }
        let bounds = (Bound::Excluded(after), Bound::Excluded(before));
        let range = self.events.range(bounds);
        let range = range.map(|(&place, kept)| (place, &kept.event));
        if descending {
            Box::new(range.rev())
        } else {
            Box::new(range)
        }
    }

    /// Goes on with a search: one bounded part of it.
    pub(super) fn seek(&self, search: &mut Search) -> Option<Sought> {
        let (after, before) = (search.after, search.before);
        let candidates = self.candidates(&search.patterns, after, before, search.descending);
        for (looked_at, (place, event)) in candidates.enumerate() {
            if looked_at >= SCAN_MAX {
                return None;
            }
            if search.look_at(place, is_match(&search.patterns, event)) {
                break;
            }
        }
        Some(search.sought(self.head, self.evictions))
    }

    pub(super) fn read(&self, read: &Read) -> Page {
        let mut page = Page {
            examined: if read.descending {
                read.after
            } else {
                self.head.min(read.before - 1)
            },
            lost: self.lost(read),
            evictions: self.evictions,
            at_end: true,
            ..Page::default()
        };
        let mut bytes = 0;
        let mut last = read.after;
        let candidates = self.candidates(&read.patterns, read.after, read.before, read.descending);
        for (looked_at, (place, event)) in candidates.enumerate() {
            let matches = is_match(&read.patterns, event);
            let is_full = page.events.len() >= read.max_events || bytes >= read.max_bytes;
            if looked_at >= SCAN_MAX || (matches && is_full) {
                page.at_end = false;
                page.examined = last;
                break;
            }
            if matches {
                bytes += event.json().len();
                page.events.push(Arc::clone(event));
            }
            last = place;
        }
        page
    }

    /// The patterns that lost an event after the read's cursor.
    fn lost(&self, read: &Read) -> Vec<Pattern> {
        if self.evicted_to <= read.after {
            return Vec::new();
        }
        let has_lost = |(pattern, told): &(&Pattern, &u64)| {
            let lost =
                |topic: &TopicState| topic.evicted_to > read.after && topic.eviction > **told;
            match pattern.as_topic() {
                Some(topic) => self.topics.get(topic).is_some_and(lost),
                None => self
                    .topics
                    .iter()
                    .any(|(topic, kept)| lost(kept) && pattern.matches(topic)),
            }
        };
        let patterns = read.patterns.iter().zip(&read.told);
        let lost = patterns
            .filter(|(_, told)| self.evictions > **told)
            .filter(has_lost);
        lost.map(|(pattern, _)| pattern.clone()).collect()
    }
}

fn is_match(patterns: &[Pattern], event: &Encoded) -> bool {
    let topic = event.event().topic();
    patterns.iter().any(|pattern| pattern.matches(topic))
}

/// What an event takes beside its payload: its JSON's other members and its entries, roughly.
const EVENT_BYTES: u64 = 400;
/// Events that are looked at while the lock is held once.
const SCAN_MAX: usize = 16_384;
/// Events that one part of a sweep lets go of.
const SWEEP_EVENTS_MAX: usize = 4_096;
