//! The one thread that writes.
//! Shape: takes every request that waits, up to a bound, and commits them together. Only then are the
//! events visible, the feed told and the publishers answered.
//! Bound: `commit_max_events`, `commit_max_bytes` and `commit_max_wait` for a group.
//! Failure: a commit that fails may have been stored, so it is answered as unknown, and nothing more is
//! taken. Where there was no space, [`trouble`] opens the store again once there is; a failed sync is
//! never tried again and called good.
//! Source: protocol section 8; architecture, "Engines".

mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tidewire_protocol::Topic;
use tokio::sync::oneshot;

use super::group::Group;
use super::loaded::Loaded;
use super::store::{Store, StoreError};
use super::{DiskConfig, Durability, Shared};
use crate::engine::feed::{FeedSender, Reservation};
use crate::engine::{Append, AppendError, Appended, RETRY_AFTER};
use crate::lock::write;
use crate::retention::RetentionTable;
use trouble::Trouble;

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
    folder: PathBuf,
    config: DiskConfig,
    retention: RetentionTable,
    feed: FeedSender,
    shared: Arc<Shared>,
    /// `None` only while there is trouble.
    loaded: Option<Loaded>,
    trouble: Option<Trouble>,
    next_sweep: Instant,
    next_sync: Instant,
}

impl Writer {
    /// Opens the store.
    pub(super) fn open(
        folder: PathBuf,
        config: DiskConfig,
        retention: RetentionTable,
        feed: FeedSender,
    ) -> Result<Self, StoreError> {
        let (store, mark) = Store::open(&folder, &config)?;
        let loaded = Loaded::new(store.clone(), mark, &config, retention.clone())?;
        let shared = Arc::new(Shared::new(store, loaded.meta.head));
        let now = Instant::now();
        Ok(Self {
            folder,
            config,
            retention,
            feed,
            shared,
            loaded: Some(loaded),
            trouble: None,
            next_sweep: now,
            next_sync: now,
        })
    }

    /// What it tells the others.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Runs until it is told to stop, or nobody can ask any more.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(self.pause()) {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(first) => {
                    if self.serve(first, requests) {
                        break;
                    }
                }
            }
            self.do_what_is_due();
        }
        if self.trouble.is_none()
            && let Some(loaded) = &mut self.loaded
            && let Err(error) = loaded.close()
        {
            tracing::error!(%error, "the last sync of the store failed");
        }
        // Whoever still reads is waited for; then another process may have the folder.
        self.loaded = None;
        *write(&self.shared.store) = None;
    }

    /// How long to wait for a request.
    fn pause(&self) -> Duration {
        let next = match &self.trouble {
            Some(Trouble::Passing { next_attempt, .. }) => *next_attempt,
            Some(Trouble::ForGood) => return SWEEP_INTERVAL,
            None if self.config.durability == Durability::Interval => {
                self.next_sync.min(self.next_sweep)
            }
            None => self.next_sweep,
        };
        next.saturating_duration_since(Instant::now())
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        if self.trouble.is_some() {
            self.try_again(now);
            return;
        }
        let Some(loaded) = &mut self.loaded else {
            return;
        };
        let mut done = Ok(());
        if self.config.durability == Durability::Interval && self.next_sync <= now {
            done = loaded.sync();
            self.next_sync = now + self.config.sync_interval;
        }
        if done.is_ok() && self.next_sweep <= now {
            done = loaded.sync_mark();
        }
        match done {
            Ok(()) if self.next_sweep <= now => self.sweep(),
            Ok(()) => {}
            Err(error) => self.fail_for_good(&error, Vec::new()),
        }
    }

    /// One group: the first request and what waits behind it. Gives whether to stop afterwards.
    fn serve(&mut self, first: Request, requests: &Receiver<Request>) -> bool {
        if self.trouble.is_some() {
            refuse(first);
            return false;
        }
        let Some(loaded) = &mut self.loaded else {
            return false;
        };
        let until = Instant::now() + self.config.commit_max_wait;
        let mut group = loaded.group();
        let mut staged = Vec::new();
        let mut next = Some(first);
        let mut is_stopping = false;
        while let Some(request) = next {
            match stage(request, loaded, &mut group) {
                Ok(Some(request)) => staged.push(request),
                Ok(None) => {
                    is_stopping = true;
                    break;
                }
                Err((error, request)) => {
                    staged.extend(request);
                    self.fail(&error, Vec::new(), staged);
                    return false;
                }
            }
            let has_room = group.len() < self.config.commit_max_events
                && group.bytes < self.config.commit_max_bytes;
            next = if has_room {
                next_request(requests, until)
            } else {
                None
            };
        }
        self.commit(group, staged);
        is_stopping
    }

    /// Makes the group durable, then visible, then known to those who wait for it.
    fn commit(&mut self, mut group: Group, staged: Vec<Staged>) {
        let Some(loaded) = &mut self.loaded else {
            return;
        };
        if let Err(error) = loaded.commit(&mut group) {
            self.fail(&error, group.items, staged);
            return;
        }
        self.shared.set_head(group.meta.head);
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
                    // Nobody waits for the answer any more when this fails.
                    let _ = reply.send(answers);
                }
                Staged::Forget { reply } => {
                    let _ = reply.send(Ok(()));
                }
            }
        }
    }

    /// Lets go of old events and old keys, a bounded number at a time.
    fn sweep(&mut self) {
        let Some(loaded) = &mut self.loaded else {
            return;
        };
        let began = Instant::now();
        match loaded.sweep() {
            Ok((group, is_done)) => {
                let pause = if is_done {
                    SWEEP_INTERVAL
                } else {
                    Duration::ZERO
                };
                self.next_sweep = began + pause;
                self.commit(group, Vec::new());
            }
            Err(error) => self.fail(&error, Vec::new(), Vec::new()),
        }
    }
}

/// What waits already, or comes before this moment.
fn next_request(requests: &Receiver<Request>, until: Instant) -> Option<Request> {
    if let Ok(request) = requests.try_recv() {
        return Some(request);
    }
    let pause = until.saturating_duration_since(Instant::now());
    if pause.is_zero() {
        return None;
    }
    requests.recv_timeout(pause).ok()
}

/// Stages one request. `None`: to stop. An error comes with the request that it befell.
fn stage(
    request: Request,
    loaded: &mut Loaded,
    group: &mut Group,
) -> Result<Option<Staged>, (Box<StoreError>, Option<Staged>)> {
    match request {
        Request::Append {
            batch,
            reservation,
            reply,
        } => {
            let before = group.meta.head;
            let mut answers = Vec::with_capacity(batch.len());
            let mut failed = None;
            for append in batch {
                // What follows a failure is answered like the rest of the group.
                let answer = if failed.is_none() {
                    loaded.append(group, append).unwrap_or_else(|error| {
                        failed = Some(error);
                        Err(unknown())
                    })
                } else {
                    Err(unknown())
                };
                answers.push(answer);
            }
            let staged = Staged::Append {
                answers,
                reservation,
                appended: usize::try_from(group.meta.head - before).unwrap_or(usize::MAX),
                reply,
            };
            match failed {
                None => Ok(Some(staged)),
                Some(error) => Err((Box::new(error), Some(staged))),
            }
        }
        Request::Forget { topic, reply } => match loaded.forget(group, &topic) {
            Ok(()) => Ok(Some(Staged::Forget { reply })),
            Err(error) => Err((Box::new(error), Some(Staged::Forget { reply }))),
        },
        Request::Stop => Ok(None),
    }
}

/// Nothing is taken now.
fn refuse(request: Request) {
    match request {
        Request::Append { batch, reply, .. } => {
            let _ = reply.send(batch.iter().map(|_| Err(unavailable())).collect());
        }
        Request::Forget { reply, .. } => {
            let _ = reply.send(Err(unavailable()));
        }
        Request::Stop => {}
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

/// How often old events are looked for, and the mark is synced.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
