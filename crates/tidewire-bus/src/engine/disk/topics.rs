//! The writer's knowledge of topics: their records, and the oldest events of those that evict.
//! Bound: [`TOPICS_CACHED`] topics between two groups, [`OLDEST_MAX`] entries for each; everything
//! else stands in the store and is read when it is needed.
//! Failure: after a group that failed, all of this is read anew.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Bound;

use tidewire_protocol::Topic;

use super::record::{self, Entry, TopicRecord};
use super::store::{Store, StoreError};
use crate::retention::{Retention, RetentionTable};

/// One topic, as it will stand once the current group is committed.
pub(super) struct TopicState {
    pub(super) record: TopicRecord,
    pub(super) retention: Retention,
    /// Its `evicted_to` as it stands in the store.
    evicted_to_stored: u64,
    /// The oldest retained entries, as far as they were looked up.
    oldest: VecDeque<Entry>,
    /// `oldest` holds every retained entry.
    is_complete: bool,
    /// The entries of the current group: not in the store yet.
    staged: Vec<Entry>,
}

/// The topics in use.
pub(super) struct Topics {
    store: Store,
    retention: RetentionTable,
    cached: HashMap<Topic, TopicState>,
}

impl Topics {
    pub(super) fn new(store: Store, retention: RetentionTable) -> Self {
        Self {
            store,
            retention,
            cached: HashMap::new(),
        }
    }

    /// The rules, as text: the store remembers under which ones it was written.
    pub(super) fn rules(&self) -> String {
        format!("{:?}", self.retention)
    }

    /// A topic's state; a topic that is not known yet gets the next number.
    pub(super) fn get(
        &mut self,
        topic: &Topic,
        next_number: &mut u64,
    ) -> Result<&mut TopicState, StoreError> {
        if !self.cached.contains_key(topic) {
            let stored = self.store.state.get(record::topic_key(topic.as_str()))?;
            let record = stored.map(|value| TopicRecord::parse(&value)).transpose()?;
            let record = record.unwrap_or_else(|| {
                let number = *next_number;
                *next_number += 1;
                TopicRecord {
                    number,
                    ..TopicRecord::default()
                }
            });
            let state = TopicState {
                is_complete: record.events == 0,
                evicted_to_stored: record.evicted_to,
                record,
                retention: self.retention.of(topic),
                oldest: VecDeque::new(),
                staged: Vec::new(),
            };
            self.cached.insert(topic.clone(), state);
        }
        Ok(self.cached.get_mut(topic).expect("inserted above"))
    }

    /// The record of a topic of the current group.
    pub(super) fn record(&self, topic: &Topic) -> TopicRecord {
        let state = self.cached.get(topic);
        state
            .expect("a topic stays cached while its group lasts")
            .record
    }

    /// Where the store says up to where a topic's events are gone, if that has changed.
    pub(super) fn moved_eviction(&self, topic: &Topic) -> Option<u64> {
        let state = self.cached.get(topic)?;
        (state.evicted_to_stored != state.record.evicted_to).then_some(state.evicted_to_stored)
    }

    /// The group was committed.
    pub(super) fn committed<'a>(&mut self, dirty: impl Iterator<Item = &'a Topic> + Clone) {
        for topic in dirty.clone() {
            if let Some(state) = self.cached.get_mut(topic) {
                state.staged = Vec::new();
                state.evicted_to_stored = state.record.evicted_to;
            }
        }
        if self.cached.len() > TOPICS_CACHED {
            // Those of the last group are the likeliest to come again.
            let dirty: HashSet<&Topic> = dirty.collect();
            self.cached.retain(|topic, _| dirty.contains(topic));
        }
    }
}

impl TopicState {
    /// Takes in an event of the current group.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.record.events == 0 {
            self.record.oldest = entry.place;
            self.record.oldest_ms = entry.since_ms;
        }
        self.record.events += 1;
        self.record.bytes += entry.bytes;
        self.record.newest = entry.place;
        self.staged.push(entry);
        if self.is_complete {
            self.oldest.push_back(entry);
            if self.oldest.len() > OLDEST_MAX {
                self.oldest.truncate(OLDEST_MAX / 2);
                self.is_complete = false;
            }
        }
    }

    /// Lets the oldest event go.
    pub(super) fn pop(
        &mut self,
        store: &Store,
        eviction: u64,
    ) -> Result<Option<Entry>, StoreError> {
        self.look_up(store)?;
        let Some(entry) = self.oldest.pop_front() else {
            return Ok(None);
        };
        self.record.events -= 1;
        self.record.bytes -= entry.bytes;
        self.record.evicted_to = entry.place;
        self.record.eviction = eviction;
        self.look_up(store)?;
        if let Some(oldest) = self.oldest.front() {
            self.record.oldest = oldest.place;
            self.record.oldest_ms = oldest.since_ms;
        }
        Ok(Some(entry))
    }

    /// Fills `oldest` from the store where it has run out.
    fn look_up(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.is_complete || !self.oldest.is_empty() {
            return Ok(());
        }
        let from = Entry::key(self.record.number, self.record.evicted_to);
        let to = Entry::key(self.record.number, u64::MAX);
        let range = store
            .state
            .range((Bound::Excluded(from), Bound::Included(to)));
        for guard in range.take(LOOK_UP) {
            let (key, value) = guard.into_inner()?;
            self.oldest.push_back(Entry::parse(&key, &value)?);
        }
        if self.oldest.len() < LOOK_UP {
            // The end of what is stored; what the group adds comes after it.
            let known = self
                .record
                .evicted_to
                .max(self.oldest.back().map_or(0, |entry| entry.place));
            let staged = self.staged.iter().filter(|entry| entry.place > known);
            self.oldest.extend(staged.copied());
            self.is_complete = true;
        }
        Ok(())
    }
}

/// Topics that stay in memory between two groups, some 300 bytes each without their entries.
const TOPICS_CACHED: usize = 16_384;
/// Entries of one topic that stay in memory, 24 bytes each.
const OLDEST_MAX: usize = 256;
/// Entries that are looked up at once.
const LOOK_UP: usize = 128;
