//! What becomes visible together: one group of appends, evictions and keys.
//! Shape: everything is staged here first and written as one batch; an event that is appended and
//! evicted in the same group is never written.
//! Failure: a key that was used for another payload refuses that event alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fjall::OwnedWriteBatch;
use tidewire_protocol::{Cursor, Event, Topic};

use super::record::{self, Entry, Meta, StoredEvent, TAIL_KEY};
use super::store::{META_KEY, RETENTION_KEY, Store, StoreError};
use super::topics::Topics;
use crate::clock::Now;
use crate::encoded::Encoded;
use crate::engine::feed::FeedItem;
use crate::engine::{Append, AppendError, Appended, keys_full};
use crate::idempotency::{Digest16, FirstPublish, Keys, Seen};

/// Staged, and not yet visible to anybody.
#[derive(Default)]
pub(super) struct Group {
    /// The log once this is committed.
    pub(super) meta: Meta,
    /// When its events got their places.
    pub(super) now: Now,
    /// Bytes of payload.
    pub(super) bytes: usize,
    /// What the feed is told, in log order.
    pub(super) items: Vec<FeedItem>,
    /// Keys that it remembers.
    pub(super) keys: HashMap<Digest16, FirstPublish>,
    /// Topics whose record changes.
    pub(super) dirty: BTreeSet<Topic>,
    events: BTreeMap<u64, (u64, Entry, Vec<u8>)>,
    removed: Vec<(u64, u64)>,
    /// Entries of `expiry`: to be made, or to be taken away.
    expiry: BTreeMap<Vec<u8>, bool>,
    expired_keys: Vec<Digest16>,
    rules: Option<String>,
}

impl Group {
    /// A group after what `meta` tells of.
    pub(super) fn after(meta: Meta, now: Now) -> Self {
        Self {
            meta,
            now,
            ..Self::default()
        }
    }

    /// Events that it adds.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Stages one event, and what its topic has to let go of for it.
    pub(super) fn append(
        &mut self,
        append: Append,
        store: &Store,
        topics: &mut Topics,
        known: &Keys,
    ) -> Result<Result<Appended, AppendError>, StoreError> {
        let Append { topic, body, key } = append;
        let key = key.map(|key| (Keys::name(&topic, &key), Keys::body(&body)));
        if let Some((name, digest)) = &key {
            let seen = match self.keys.get(name) {
                Some(first) if first.body == *digest => Seen::Before(*first),
                Some(_) => Seen::WithAnotherPayload,
                None => known.look_up(name, digest, self.now.steady_ms),
            };
            match seen {
                Seen::Never => {}
                Seen::Before(first) => {
                    return Ok(Ok(Appended {
                        id: Cursor::new(store.epoch, first.place),
                        time_ms: first.time_ms,
                        duplicate: true,
                    }));
                }
                Seen::WithAnotherPayload => return Ok(Err(AppendError::KeyReused)),
                Seen::Full => return Ok(Err(keys_full())),
            }
        }

        self.meta.head += 1;
        let place = self.meta.head;
        let id = Cursor::new(store.epoch, place);
        let entry = Entry {
            place,
            bytes: body.as_bytes().len() as u64,
            since_ms: self.now.steady_ms,
        };
        let state = topics.get(&topic, &mut self.meta.next_topic)?;
        state.push(entry);
        let value = StoredEvent::to_bytes(&topic, self.now.wall_ms, &body);
        self.bytes += value.len();
        self.events
            .insert(place, (state.record.number, entry, value));
        if let Some((name, body)) = key {
            let first = FirstPublish {
                place,
                time_ms: self.now.wall_ms,
                since_ms: self.now.steady_ms,
                body,
            };
            self.keys.insert(name, first);
        }
        self.enforce(&topic, store, topics)?;

        let event = Event::new(id, topic.clone(), self.now.wall_ms, &body);
        self.items.push(FeedItem::Event {
            event: Encoded::new(event),
            evicted_to: topics.record(&topic).evicted_to,
        });
        Ok(Ok(Appended {
            id,
            time_ms: self.now.wall_ms,
            duplicate: false,
        }))
    }

    /// Forgets all events of a topic.
    pub(super) fn forget(
        &mut self,
        topic: &Topic,
        store: &Store,
        topics: &mut Topics,
    ) -> Result<(), StoreError> {
        // At most what the topic's own bounds let it keep.
        let mut no_bound = usize::MAX;
        self.evict_while(topic, &mut no_bound, store, topics, |_| true)?;
        let evicted_to = topics.record(topic).evicted_to;
        if evicted_to > 0 {
            let topic = topic.clone();
            self.items.push(FeedItem::Forgotten { topic, evicted_to });
        }
        Ok(())
    }

    /// The topic's entry in `expiry` is due: lets go of what is too old, within the budget, and makes
    /// the next entry, which is due at once where the budget was too small.
    pub(super) fn expire(
        &mut self,
        topic: &Topic,
        budget: &mut usize,
        store: &Store,
        topics: &mut Topics,
    ) -> Result<(), StoreError> {
        let now_ms = self.now.steady_ms;
        let retention = topics.get(topic, &mut self.meta.next_topic)?.retention;
        let evicted_to = self.evict_while(topic, budget, store, topics, |oldest_ms| {
            retention
                .deadline_ms(oldest_ms)
                .is_some_and(|deadline_ms| deadline_ms < now_ms)
        })?;
        if let Some(evicted_to) = evicted_to {
            let topic = topic.clone();
            self.items.push(FeedItem::Evicted { topic, evicted_to });
        }
        self.set_deadline(topic, topics)
    }

    /// The rules have changed: the topic follows the new ones.
    pub(super) fn follow_rules(
        &mut self,
        topic: &Topic,
        store: &Store,
        topics: &mut Topics,
    ) -> Result<(), StoreError> {
        self.enforce(topic, store, topics)?;
        self.set_deadline(topic, topics)
    }

    /// The store is now written under these rules.
    pub(super) fn set_rules(&mut self, rules: String) {
        self.rules = Some(rules);
    }

    /// These keys are no longer known.
    pub(super) fn expire_keys(&mut self, names: Vec<Digest16>) {
        self.expired_keys = names;
    }

    fn enforce(
        &mut self,
        topic: &Topic,
        store: &Store,
        topics: &mut Topics,
    ) -> Result<(), StoreError> {
        loop {
            let state = topics.get(topic, &mut self.meta.next_topic)?;
            if !state
                .retention
                .exceeded(state.record.events, state.record.bytes)
            {
                break;
            }
            if self.evict(topic, store, topics)?.is_none() {
                break;
            }
        }
        self.dirty.insert(topic.clone());
        if topics.record(topic).deadline_ms == 0 {
            self.set_deadline(topic, topics)?;
        }
        Ok(())
    }

    /// Evicts while the topic has events, the oldest one's time asks for it and the budget lasts.
    fn evict_while(
        &mut self,
        topic: &Topic,
        budget: &mut usize,
        store: &Store,
        topics: &mut Topics,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Option<u64>, StoreError> {
        let mut evicted_to = None;
        loop {
            let record = topics.get(topic, &mut self.meta.next_topic)?.record;
            if record.events == 0 || *budget == 0 || !wanted(record.oldest_ms) {
                return Ok(evicted_to);
            }
            *budget -= 1;
            match self.evict(topic, store, topics)? {
                Some(place) => evicted_to = Some(place),
                None => return Ok(evicted_to),
            }
        }
    }

    fn evict(
        &mut self,
        topic: &Topic,
        store: &Store,
        topics: &mut Topics,
    ) -> Result<Option<u64>, StoreError> {
        let state = topics.get(topic, &mut self.meta.next_topic)?;
        let eviction = self.meta.evictions + 1;
        let Some(entry) = state.pop(store, eviction)? else {
            return Ok(None);
        };
        self.meta.evictions = eviction;
        self.meta.evicted_to = self.meta.evicted_to.max(entry.place);
        if self.events.remove(&entry.place).is_none() {
            self.removed.push((state.record.number, entry.place));
        }
        self.dirty.insert(topic.clone());
        Ok(Some(entry.place))
    }

    /// Replaces the topic's entry in `expiry` by the deadline of its oldest event, if there is one.
    fn set_deadline(&mut self, topic: &Topic, topics: &mut Topics) -> Result<(), StoreError> {
        let state = topics.get(topic, &mut self.meta.next_topic)?;
        let deadline_ms = if state.record.events > 0 {
            state.retention.deadline_ms(state.record.oldest_ms)
        } else {
            None
        };
        if state.record.deadline_ms > 0 {
            let key = record::expiry_key(state.record.deadline_ms, topic);
            self.expiry.insert(key, false);
        }
        if let Some(deadline_ms) = deadline_ms {
            self.expiry
                .insert(record::expiry_key(deadline_ms, topic), true);
        }
        state.record.deadline_ms = deadline_ms.unwrap_or(0);
        self.dirty.insert(topic.clone());
        Ok(())
    }

    /// Whether there is anything to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.dirty.is_empty() && self.expired_keys.is_empty() && self.rules.is_none()
    }

    /// Everything as one batch. It counts as the next group.
    pub(super) fn take_batch(&mut self, store: &Store, topics: &Topics) -> OwnedWriteBatch {
        self.meta.group += 1;
        self.meta.now = self.now;
        let mut batch = store.db.batch();
        for (place, (number, entry, value)) in std::mem::take(&mut self.events) {
            batch.insert(&store.events, place.to_be_bytes(), value);
            batch.insert(&store.state, Entry::key(number, place), entry.to_value());
        }
        for (number, place) in &self.removed {
            batch.remove(&store.events, place.to_be_bytes());
            batch.remove(&store.state, Entry::key(*number, *place));
        }
        for (key, is_made) in std::mem::take(&mut self.expiry) {
            if is_made {
                batch.insert(&store.state, key, []);
            } else {
                batch.remove(&store.state, key);
            }
        }
        for (name, first) in &self.keys {
            let key = record::idempotency_key(name);
            batch.insert(&store.state, key, record::first_publish(first));
        }
        for name in &self.expired_keys {
            if !self.keys.contains_key(name) {
                batch.remove(&store.state, record::idempotency_key(name));
            }
        }
        for topic in &self.dirty {
            let record = topics.record(topic);
            let key = record::topic_key(topic.as_str());
            batch.insert(&store.state, key, record.to_bytes());
            if let Some(earlier) = topics.moved_eviction(topic) {
                batch.remove(&store.state, record::evicted_key(earlier));
                let key = record::evicted_key(record.evicted_to);
                batch.insert(&store.state, key, record::evicted(record.eviction, topic));
            }
        }
        if let Some(rules) = &self.rules {
            batch.insert(&store.state, RETENTION_KEY, rules.as_str());
        }
        batch.insert(&store.state, META_KEY, self.meta.to_bytes());
        // Both keyspaces name the group, so that one that lost it is found.
        batch.insert(&store.events, TAIL_KEY, self.meta.group.to_be_bytes());
        batch
    }
}
