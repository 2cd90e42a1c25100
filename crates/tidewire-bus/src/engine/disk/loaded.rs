//! An open store and what the writer knows of it.
//! Shape: groups are staged and committed here, one after the other; who asked for them, and who is
//! told, is the writer's matter.
//! Bound: a sweep looks at [`SWEEP_TOPICS_MAX`] topics and lets go of [`SWEEP_EVENTS_MAX`] events.
//! Failure: after an error nothing here is to be used any more: the store knows better.

use fjall::PersistMode;
use tidewire_protocol::Topic;

use super::group::Group;
use super::mark::{MarkFile, State};
use super::record::{self, EXPIRY, Meta, TOPICS};
use super::store::{RETENTION_KEY, Store, StoreError};
use super::topics::Topics;
use super::{DiskConfig, Durability};
use crate::clock::Clock;
use crate::engine::{Append, AppendError, Appended};
use crate::idempotency::Keys;
use crate::retention::RetentionTable;

/// See the module.
pub(super) struct Loaded {
    pub(super) store: Store,
    mark: MarkFile,
    pub(super) meta: Meta,
    keys: Keys,
    topics: Topics,
    durability: Durability,
    clock: Clock,
    /// Something was committed that was not synced yet.
    is_unsynced: bool,
    /// The mark was written and not synced yet.
    is_mark_unsynced: bool,
}

impl Loaded {
    /// Reads what the writer has to know, and brings the store under the rules of this start.
    pub(super) fn new(
        store: Store,
        mark: MarkFile,
        config: &DiskConfig,
        retention: RetentionTable,
    ) -> Result<Self, StoreError> {
        let meta = store.meta(&store.db.snapshot())?;
        let clock = config.clock.going_on_from(meta.now);
        let mut loaded = Self {
            keys: store.load_keys(config.idempotency_window, clock.now())?,
            topics: Topics::new(store.clone(), retention),
            store,
            mark,
            meta,
            durability: config.durability,
            clock,
            is_unsynced: false,
            is_mark_unsynced: false,
        };
        loaded.follow_changed_rules()?;
        Ok(loaded)
    }

    /// The next group, with nothing in it.
    pub(super) fn group(&self) -> Group {
        Group::after(self.meta, self.clock.now())
    }

    pub(super) fn append(
        &mut self,
        group: &mut Group,
        append: Append,
    ) -> Result<Result<Appended, AppendError>, StoreError> {
        group.append(append, &self.store, &mut self.topics, &self.keys)
    }

    pub(super) fn forget(&mut self, group: &mut Group, topic: &Topic) -> Result<(), StoreError> {
        group.forget(topic, &self.store, &mut self.topics)
    }

    /// Makes the group as durable as was promised, and then marks it.
    pub(super) fn commit(&mut self, group: &mut Group) -> Result<(), StoreError> {
        if !group.is_empty() {
            let batch = group.take_batch(&self.store, &self.topics);
            // Two steps, to tell a write that failed from a sync that did. Readers do not see beyond the head.
            batch.durability(Some(PersistMode::Buffer)).commit()?;
            self.is_unsynced = true;
            if self.durability == Durability::Always {
                self.sync()?;
            }
            let mark = self.store.mark(group.meta, self.durability, State::Open);
            self.mark.write(&mark)?;
            self.is_mark_unsynced = true;
            let mut keys: Vec<_> = std::mem::take(&mut group.keys).into_iter().collect();
            keys.sort_unstable_by_key(|(_, first)| first.place);
            for (name, first) in keys {
                self.keys.remember(name, first);
            }
        }
        // Also of an empty group: it may have given a number to a topic that it only looked at.
        self.topics.committed(group.dirty.iter());
        self.meta = group.meta;
        Ok(())
    }

    /// Syncs what was committed.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.is_unsynced) {
            let synced = self.store.db.persist(PersistMode::SyncData);
            synced.map_err(StoreError::Sync)?;
        }
        Ok(())
    }

    /// Syncs the mark. It may lag: damage to the journal is then told up to this point at least.
    pub(super) fn sync_mark(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.is_mark_unsynced) && self.durability != Durability::None {
            self.mark.sync()?;
        }
        Ok(())
    }

    /// Syncs everything, and marks that the store was closed.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.store.db.persist(PersistMode::SyncAll)?;
        let mark = self.store.mark(self.meta, self.durability, State::Closed);
        self.mark.write(&mark)?;
        Ok(self.mark.sync()?)
    }

    /// A group that lets go of old events and keys. Gives also whether that was all of them.
    pub(super) fn sweep(&mut self) -> Result<(Group, bool), StoreError> {
        let mut group = self.group();
        group.expire_keys(self.keys.expire(group.now.steady_ms));
        let mut budget = SWEEP_EVENTS_MAX;
        let due = self.due(group.now.steady_ms)?;
        for topic in &due {
            group.expire(topic, &mut budget, &self.store, &mut self.topics)?;
        }
        Ok((group, due.len() < SWEEP_TOPICS_MAX && budget > 0))
    }

    /// Topics whose oldest event is too old.
    fn due(&self, now_ms: u64) -> Result<Vec<Topic>, StoreError> {
        let until = [&[EXPIRY], now_ms.to_be_bytes().as_slice()].concat();
        let range = self.store.state.range(vec![EXPIRY]..until);
        let due = range.take(SWEEP_TOPICS_MAX).map(|guard| {
            let (_, topic) = record::parse_expiry_key(&guard.key()?)?;
            Ok(topic)
        });
        due.collect()
    }

    /// Brings every topic under the rules of this start, where they are not those of the last.
    fn follow_changed_rules(&mut self) -> Result<(), StoreError> {
        let rules = self.topics.rules();
        let known = self.store.state.get(RETENTION_KEY)?;
        if known.is_some_and(|known| *known == *rules.as_bytes()) {
            return Ok(());
        }
        let rows = self.store.state.prefix([TOPICS]);
        let mut topics =
            rows.map(|guard| Ok::<_, StoreError>(record::parse_topic_key(&guard.key()?)?));
        loop {
            let mut group = self.group();
            let some = topics.by_ref().take(SWEEP_TOPICS_MAX);
            let some = some.collect::<Result<Vec<_>, _>>()?;
            for topic in &some {
                group.follow_rules(topic, &self.store, &mut self.topics)?;
            }
            if some.is_empty() {
                group.set_rules(rules);
                return self.commit(&mut group);
            }
            self.commit(&mut group)?;
        }
    }
}

/// Topics that one sweep looks at.
const SWEEP_TOPICS_MAX: usize = 1_024;
/// Events that one sweep lets go of: publishers wait for no more than that.
const SWEEP_EVENTS_MAX: usize = 4_096;
