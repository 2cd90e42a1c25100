//! The one thread that writes.
//! Shape: takes every request that waits, up to a bound, and commits them together: one data sync
//! for the group. Only then are the events visible, the feed told and the publishers answered.
//! Bound: `commit_max_events` and `commit_max_bytes` for a group.
//! Failure: a commit that fails may have been stored. It is answered as unknown, and nothing is
//! written any more: a failed sync is never tried again and called good.
//! Source: protocol section 8; architecture, "Engines".

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use fjall::PersistMode;
use tidewire_protocol::Topic;
use tokio::sync::oneshot;

use super::group::Group;
use super::record::{self, Meta};
use super::store::{RETENTION_KEY, Store, StoreError};
use super::topics::Topics;
use super::{DiskConfig, Shared};
use crate::engine::feed::{FeedSender, Reservation};
use crate::engine::{Append, AppendError, Appended, RETRY_AFTER};
use crate::idempotency::Keys;
use crate::retention::RetentionTable;

type AppendReply = oneshot::Sender<Vec<Result<Appended, AppendError>>>;

/// What the writer is asked for.
pub(super) enum Request {
    Append {
        batch: Vec<Append>,
        reservation: Reservation,
        reply: AppendReply,
    },
    Forget {
        topic: Topic,
        reply: oneshot::Sender<Result<(), AppendError>>,
    },
    Stop,
}

/// A request that has been staged, and the answer it gets once the group is committed.
enum Staged {
    Append {
        answers: Vec<Result<Appended, AppendError>>,
        reservation: Reservation,
        appended: usize,
        reply: AppendReply,
    },
    Forget {
        reply: oneshot::Sender<Result<(), AppendError>>,
    },
}

pub(super) struct Writer {
    store: Store,
    config: DiskConfig,
    feed: FeedSender,
    shared: Arc<Shared>,
    meta: Meta,
    keys: Keys,
    topics: Topics,
    next_sweep: Instant,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        config: DiskConfig,
        retention: RetentionTable,
        feed: FeedSender,
        shared: Arc<Shared>,
    ) -> Result<Self, StoreError> {
        store.check_head()?;
        let meta = store.meta(&store.db.snapshot())?;
        let mut writer = Self {
            keys: store.load_keys(&config)?,
            topics: Topics::new(store.clone(), retention),
            store,
            config,
            feed,
            shared,
            meta,
            next_sweep: Instant::now(),
        };
        writer.shared.set_head(meta.head);
        writer.follow_changed_rules()?;
        Ok(writer)
    }

    /// Runs until it is told to stop, or nobody can ask any more.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let pause = self.next_sweep.saturating_duration_since(Instant::now());
            let pause = if self.shared.has_failed() {
                SWEEP_INTERVAL
            } else {
                pause
            };
            match requests.recv_timeout(pause) {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(first) => {
                    if self.serve(first, requests) {
                        break;
                    }
                }
            }
            if self.next_sweep <= Instant::now() && !self.shared.has_failed() {
                let is_done = self.sweep();
                let pause = if is_done {
                    SWEEP_INTERVAL
                } else {
                    Duration::ZERO
                };
                self.next_sweep = Instant::now() + pause;
            }
        }
        if let Err(error) = self.store.db.persist(PersistMode::SyncAll) {
            tracing::error!(%error, "the last sync of the store failed");
        }
    }

    /// One group: the first request and what waits behind it. Gives whether to stop afterwards.
    fn serve(&mut self, first: Request, requests: &Receiver<Request>) -> bool {
        let mut group = Group::new(self.meta, self.config.clock.now_ms());
        let mut staged = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            if matches!(request, Request::Stop) {
                self.commit(group, staged);
                return true;
            }
            match self.stage(request, &mut group) {
                Ok(request) => staged.extend(request),
                Err(error) => {
                    self.fail(&error, staged);
                    return false;
                }
            }
            let has_room = group.len() < self.config.commit_max_events
                && group.bytes < self.config.commit_max_bytes;
            next = if has_room {
                requests.try_recv().ok()
            } else {
                None
            };
        }
        self.commit(group, staged);
        false
    }

    /// Stages one request. `None`: it has been refused already.
    fn stage(&mut self, request: Request, group: &mut Group) -> Result<Option<Staged>, StoreError> {
        match request {
            Request::Append {
                batch,
                reservation,
                reply,
            } => {
                if self.shared.has_failed() {
                    let refused = batch.iter().map(|_| Err(unavailable())).collect();
                    // Nobody waits for the answer any more when this fails.
                    let _ = reply.send(refused);
                    return Ok(None);
                }
                let before = group.meta.head;
                let answers = batch
                    .into_iter()
                    .map(|append| group.append(append, &self.store, &mut self.topics, &self.keys));
                let answers = answers.collect::<Result<Vec<_>, _>>()?;
                Ok(Some(Staged::Append {
                    answers,
                    reservation,
                    appended: usize::try_from(group.meta.head - before).unwrap_or(usize::MAX),
                    reply,
                }))
            }
            Request::Forget { topic, reply } => {
                if self.shared.has_failed() {
                    let _ = reply.send(Err(unavailable()));
                    return Ok(None);
                }
                group.forget(&topic, &self.store, &mut self.topics)?;
                Ok(Some(Staged::Forget { reply }))
            }
            Request::Stop => Ok(None),
        }
    }

    /// Makes the group durable, then visible, then known to those who wait for it.
    fn commit(&mut self, mut group: Group, staged: Vec<Staged>) {
        if !group.is_empty() {
            let batch = group.take_batch(&self.store, &self.topics);
            if let Err(error) = batch.commit() {
                self.fail(&error.into(), staged);
                return;
            }
            self.topics.committed(group.dirty.iter());
            let mut keys: Vec<_> = group.keys.into_iter().collect();
            keys.sort_unstable_by_key(|(_, first)| first.place);
            for (name, first) in keys {
                self.keys.remember(name, first);
            }
            self.shared.set_head(group.meta.head);
        }
        // Also of an empty group: it may have given a number to a topic that it only looked at.
        self.meta = group.meta;
        if !group.items.is_empty() {
            self.feed.push(group.items);
        }
        for request in staged {
            match request {
                Staged::Append {
                    answers,
                    reservation,
                    appended,
                    reply,
                } => {
                    reservation.used(appended);
                    let _ = reply.send(answers);
                }
                Staged::Forget { reply } => {
                    let _ = reply.send(Ok(()));
                }
            }
        }
    }

    /// Stops writing for good, and says so to those who wait.
    fn fail(&mut self, error: &StoreError, staged: Vec<Staged>) {
        tracing::error!(%error, "a commit failed: no more events are taken until a restart");
        self.shared.fail(error.to_string());
        self.topics.forget_all();
        for request in staged {
            match request {
                Staged::Append { answers, reply, .. } => {
                    let _ = reply.send(answers.iter().map(|_| Err(unknown())).collect());
                }
                Staged::Forget { reply } => {
                    let _ = reply.send(Err(unknown()));
                }
            }
        }
    }

    /// Lets go of old events and old keys, a bounded number at a time. Gives whether that was all.
    fn sweep(&mut self) -> bool {
        let mut group = Group::new(self.meta, self.config.clock.now_ms());
        group.expire_keys(self.keys.expire(group.now_ms));
        let mut budget = SWEEP_EVENTS_MAX;
        let swept = self.due(group.now_ms).and_then(|due| {
            for topic in &due {
                group.expire(topic, &mut budget, &self.store, &mut self.topics)?;
            }
            Ok(due.len() < SWEEP_TOPICS_MAX && budget > 0)
        });
        match swept {
            Ok(is_done) => {
                self.commit(group, Vec::new());
                is_done
            }
            Err(error) => {
                self.fail(&error, Vec::new());
                true
            }
        }
    }

    /// Topics whose oldest event is too old.
    fn due(&self, now_ms: u64) -> Result<Vec<Topic>, StoreError> {
        let range = self.store.expiry.range(..now_ms.to_be_bytes());
        let due = range.take(SWEEP_TOPICS_MAX).map(|guard| {
            let (_, topic) = record::parse_expiry(&guard.key()?)?;
            Ok(topic)
        });
        due.collect()
    }

    /// Brings every topic under the rules of this start, where they are not those of the last.
    fn follow_changed_rules(&mut self) -> Result<(), StoreError> {
        let rules = self.topics.rules();
        let known = self.store.meta.get(RETENTION_KEY)?;
        if known.is_some_and(|known| *known == *rules.as_bytes()) {
            return Ok(());
        }
        let mut topics = self.store.topics.iter().map(|guard| {
            let key = guard.key()?;
            let text = std::str::from_utf8(&key).map_err(|_| record::Damaged("topics"))?;
            Ok::<_, StoreError>(Topic::parse(text).map_err(|_| record::Damaged("topics"))?)
        });
        loop {
            let mut group = Group::new(self.meta, self.config.clock.now_ms());
            let some = topics
                .by_ref()
                .take(SWEEP_TOPICS_MAX)
                .collect::<Result<Vec<_>, _>>()?;
            for topic in &some {
                group.follow_rules(topic, &self.store, &mut self.topics)?;
            }
            let is_done = some.is_empty();
            if is_done {
                group.set_rules(rules.clone());
            }
            let batch = group.take_batch(&self.store, &self.topics);
            batch.commit()?;
            self.topics.committed(group.dirty.iter());
            self.meta = group.meta;
            if is_done {
                return Ok(());
            }
        }
    }
}

fn unavailable() -> AppendError {
    AppendError::Unavailable {
        retry_after: RETRY_AFTER,
        reason: "an earlier commit failed".into(),
    }
}

fn unknown() -> AppendError {
    AppendError::Unknown {
        waited: Duration::ZERO,
        reason: "the commit failed".into(),
    }
}

/// How often old events are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Topics that one sweep looks at.
const SWEEP_TOPICS_MAX: usize = 1_024;
/// Events that one sweep lets go of: publishers wait for no more than that.
const SWEEP_EVENTS_MAX: usize = 4_096;
