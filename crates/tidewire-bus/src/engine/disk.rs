//! The engine that keeps everything in a folder: the default.
//! Shape: one writer thread with group commit; readers work on snapshots, in a bounded pool.
//! Bound: retention per topic; the members of [`DiskConfig`].
//! Failure: `Ok` means what [`Durability`] says. A failed commit stops publishing and leaves reading and
//! delivery alone; after a full disk publishing goes on by itself.
//! Source: protocol section 8; architecture, "Engines".

mod group;
mod journals;
mod loaded;
mod mark;
mod reader;
mod record;
mod store;
mod topics;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tidewire_protocol::{Epoch, Pattern, Topic};
use tokio::sync::{Semaphore, oneshot};

use super::feed::{FeedReceiver, FeedSender, feed};
use super::{
    APPEND_TIMEOUT, Append, AppendError, Appended, Engine, Page, RETRY_AFTER, Read, ReadError,
    Retained, Search, Seek, Sought,
};
use crate::clock::Clock;
use crate::idempotency::DEFAULT_WINDOW;
use crate::lock::{lock, read};
use crate::retention::RetentionTable;
use reader::Reader;
pub use store::OpenError;
use store::{Store, StoreError};
use writer::{Request, Writer};

/// The bounds of the disk engine.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Bytes of the store's block cache.
    pub cache_bytes: u64,
    /// Events of one group commit; what is over waits for the next.
    pub commit_max_events: usize,
    /// Bytes of payload of one group commit; what is over waits for the next.
    pub commit_max_bytes: usize,
    /// How long a group waits for more events while it has room. It makes an answer later, and groups
    /// larger where a sync is slow; what waits already is taken in any case.
    pub commit_max_wait: Duration,
    /// What an answer promises.
    pub durability: Durability,
    /// How often [`Durability::Interval`] syncs.
    pub sync_interval: Duration,
    /// Reads at once; one more waits.
    pub readers: usize,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            commit_max_events: 1_000,
            commit_max_bytes: 4 << 20,
            commit_max_wait: Duration::ZERO,
            durability: Durability::Always,
            sync_interval: Duration::from_secs(1),
            readers: 8,
            idempotency_window: DEFAULT_WINDOW,
            clock: Clock::system(),
        }
    }
}

/// What the answer to a publisher promises. Whatever is chosen, a crash of the gateway alone loses
/// nothing that was acknowledged, and what the machine loses is told to subscribers by a new epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The event is synced to the disk: it survives a loss of power.
    #[default]
    Always,
    /// The event is with the operating system, which is told to sync at each `sync_interval`: a loss of
    /// power or a crash of the system takes what came since.
    Interval,
    /// The event is with the operating system, which syncs when it likes, mostly within 30 seconds.
    None,
}

impl Durability {
    const ALL: [Self; 3] = [Self::Always, Self::Interval, Self::None];

    /// As the configuration writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::None => "none",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// See the module.
pub struct DiskEngine {
    shared: Arc<Shared>,
    feed: FeedSender,
    receiver: Mutex<Option<FeedReceiver>>,
    /// Bounded by the feed: an append reserves its room before it asks.
    requests: Sender<Request>,
    /// Std mutex: held once, to join the thread.
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    readers: Arc<Semaphore>,
}

/// What the writer tells the others.
struct Shared {
    epoch: Epoch,
    head: AtomicU64,
    /// Why no events are taken now.
    failure: Mutex<Option<String>>,
    /// Std lock: held for reading while one page is read, and for writing while the store is opened
    /// again after trouble; `None` where that has not succeeded yet, and after the end.
    store: RwLock<Option<Store>>,
}

impl Shared {
    fn new(store: Store, head: u64) -> Self {
        Self {
            epoch: store.epoch,
            head: AtomicU64::new(head),
            failure: Mutex::default(),
            store: RwLock::new(Some(store)),
        }
    }

    fn set_head(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }

    fn set_failure(&self, failure: Option<String>) {
        *lock(&self.failure) = failure;
    }
}

impl DiskEngine {
    /// Opens the log in this folder, or begins one.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        folder: &Path,
        config: DiskConfig,
        retention: RetentionTable,
    ) -> Result<Self, OpenError> {
        let explain = |error| store::explain(folder, error);
        let (sender, receiver) = feed();
        let readers = Arc::new(Semaphore::new(config.readers));
        let writer = Writer::open(folder.into(), config, retention, sender.clone());
        let writer = writer.map_err(explain)?;
        let shared = writer.shared();
        let (requests, received) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("tidewire-disk".into())
            .spawn(move || writer.run(&received))
            .map_err(|error| explain(error.into()))?;
        Ok(Self {
            shared,
            feed: sender,
            receiver: Mutex::new(Some(receiver)),
            requests,
            writer: Mutex::new(Some(thread)),
            readers,
        })
    }

    /// Runs a read on a thread that may block.
    async fn on_a_reader<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.map_err(|_| read_error("the engine has stopped"))?;
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let store = read(&shared.store);
            let store = store
                .as_ref()
                .ok_or_else(|| StoreError::Lost(CLOSED.into()))?;
            look(&Reader::new(store, shared.head.load(Ordering::Acquire))?)
        });
        match task.await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => {
                if let StoreError::Damaged(_) | StoreError::Fjall(_) = error {
                    tracing::error!(%error, "a part of the store cannot be read: {CURE}");
                }
                Err(read_error(error))
            }
            Err(panic) => Err(read_error(panic)),
        }
    }

    async fn ask<T>(
        &self,
        request: Request,
        reply: oneshot::Receiver<T>,
    ) -> Result<T, AppendError> {
        if self.requests.send(request).is_err() {
            return Err(AppendError::Unavailable {
                retry_after: RETRY_AFTER,
                reason: "the engine has stopped".into(),
            });
        }
        let unknown = |reason: &str| AppendError::Unknown {
            waited: APPEND_TIMEOUT,
            reason: reason.into(),
        };
        match tokio::time::timeout(APPEND_TIMEOUT, reply).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_dropped)) => Err(unknown("the writer has stopped")),
            Err(_elapsed) => Err(unknown("the disk is slow")),
        }
    }
}

impl Engine for DiskEngine {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn head(&self) -> u64 {
        self.shared.head.load(Ordering::Acquire)
    }

    fn health(&self) -> Result<(), ReadError> {
        match &*lock(&self.shared.failure) {
            Some(reason) => Err(read_error(reason)),
            None => Ok(()),
        }
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>> {
        Box::pin(async move {
            let count = batch.len();
            let reserved = tokio::time::timeout(APPEND_TIMEOUT, self.feed.reserve(count)).await;
            let Ok(reservation) = reserved else {
                return vec![Err(behind()); count];
            };
            let (reply, answers) = oneshot::channel();
            let request = Request::Append {
                batch,
                reservation,
                reply,
            };
            match self.ask(request, answers).await {
                Ok(answers) => answers,
                Err(error) => vec![Err(error); count],
            }
        })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(self.on_a_reader(move |reader| reader.read(&read)))
    }

    fn seek(&self, patterns: Vec<Pattern>, seek: Seek) -> BoxFuture<'_, Result<Sought, ReadError>> {
        // Part by part, so that a search through the whole log holds no reader for long, and ends with
        // whoever asked for it.
        Box::pin(async move {
            let mut search = Search::new(patterns, seek);
            loop {
                let mut part = search.clone();
                let read = move |reader: &Reader<'_>| Ok((reader.seek(&mut part)?, part));
                let (sought, further) = self.on_a_reader(read).await?;
                if let Some(sought) = sought {
                    return Ok(sought);
                }
                search = further;
            }
        })
    }

    fn topic(&self, topic: Topic) -> BoxFuture<'_, Result<Retained, ReadError>> {
        Box::pin(self.on_a_reader(move |reader| reader.topic(&topic)))
    }

    fn forget(&self, topic: Topic) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.ask(Request::Forget { topic, reply }, answer).await?
        })
    }

    fn feed(&self) -> Option<FeedReceiver> {
        lock(&self.receiver).take()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A writer that has already gone has nothing left to sync.
            let _ = self.requests.send(Request::Stop);
            let thread = lock(&self.writer).take();
            if let Some(thread) = thread {
                let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                if !matches!(joined, Ok(Ok(()))) {
                    tracing::error!("the disk writer panicked");
                }
            }
        })
    }
}

impl std::fmt::Debug for DiskEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskEngine")
            .field("head", &self.shared.head)
            .field("failure", &self.shared.failure)
            .finish_non_exhaustive()
    }
}

/// Nothing was stored: there was no room to tell of it.
fn behind() -> AppendError {
    AppendError::Unavailable {
        retry_after: RETRY_AFTER,
        reason: "the log does not keep up with the engine".into(),
    }
}

fn read_error(reason: impl std::fmt::Display) -> ReadError {
    ReadError {
        reason: reason.to_string(),
    }
}

const CLOSED: &str = "the store is closed";
/// What an operator can do about damage that is found while the gateway runs.
const CURE: &str = "stop the gateway, then put back a copy of the folder or move it away";
