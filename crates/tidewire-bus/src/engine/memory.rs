//! The engine that keeps everything in memory.
//! Shape: a counter, the events by place, and for each topic its places.
//! Bound: retention per topic, and `max_bytes` over all topics; at it the oldest event of the log goes.
//! What is known of a topic, some 200 bytes, stays until the process ends.
//! Failure: nothing survives the process; each start is a new epoch. `Ok` means: it is in the process.
//! Source: protocol section 8.

mod state;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidewire_protocol::{Epoch, Pattern, Topic};
use tokio_util::sync::CancellationToken;

use super::feed::{FeedItem, FeedReceiver, FeedSender, feed};
use super::{
    Append, AppendError, Appended, Engine, Page, RETRY_AFTER, Read, ReadError, Retained, Search,
    Seek, Sought,
};
use crate::clock::Clock;
use crate::epoch;
use crate::idempotency::DEFAULT_WINDOW;
use crate::lock::lock;
use crate::retention::RetentionTable;
use state::State;

/// The bounds of the memory engine.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Bytes of all topics, each event with its payload and 400 for the rest; at the bound the oldest
    /// events of the log are evicted.
    pub max_bytes: u64,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            idempotency_window: DEFAULT_WINDOW,
            clock: Clock::system(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct MemoryEngine {
    epoch: Epoch,
    clock: Clock,
    feed: FeedSender,
    receiver: Mutex<Option<FeedReceiver>>,
    /// Std mutex: held to append a batch or to read one page, never across an await.
    state: Arc<Mutex<State>>,
    /// Ends the sweep of old events.
    stopped: CancellationToken,
}

impl MemoryEngine {
    /// An empty log in a new epoch. Needs a tokio runtime, for the sweep of old events.
    #[must_use]
    pub fn new(config: MemoryConfig, retention: RetentionTable) -> Self {
        let (sender, receiver) = feed();
        let epoch = epoch::random();
        let state = State::new(
            epoch,
            config.max_bytes,
            config.idempotency_window,
            retention,
        );
        let state = Arc::new(Mutex::new(state));
        let stopped = CancellationToken::new();
        tokio::spawn(sweep(
            Arc::clone(&state),
            config.clock.clone(),
            sender.clone(),
            stopped.clone(),
        ));
        Self {
            epoch,
            clock: config.clock,
            feed: sender,
            receiver: Mutex::new(Some(receiver)),
            state,
            stopped,
        }
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

/// Lets events go once they are too old, and keys once their window is over.
async fn sweep(
    state: Arc<Mutex<State>>,
    clock: Clock,
    feed: FeedSender,
    stopped: CancellationToken,
) {
    let mut every = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            _ = every.tick() => {
                // Part by part, so that nobody waits long for the lock.
                while !sweep_some(&state, &clock, &feed) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// Gives whether that was all.
fn sweep_some(state: &Mutex<State>, clock: &Clock, feed: &FeedSender) -> bool {
    let mut state = lock(state);
    let (items, is_done) = state.expire(clock.now().steady_ms);
    feed.push(items);
    is_done
}

impl Engine for MemoryEngine {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> u64 {
        lock(&self.state).head()
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>> {
        Box::pin(async move {
            let reservation = self.feed.reserve(batch.len()).await;
            if self.stopped.is_cancelled() {
                return batch.iter().map(|_| Err(stopped())).collect();
            }
            let mut items = Vec::with_capacity(batch.len());
            let mut state = lock(&self.state);
            let now = self.clock.now();
            let answers = batch
                .into_iter()
                .map(|append| state.append(append, now, &mut items))
                .collect();
            let appended = items.iter().filter(|item| item.is_event()).count();
            reservation.used(appended);
            // Still under the lock: the feed has the order of the places.
            self.feed.push(items);
            answers
        })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move { Ok(lock(&self.state).read(&read)) })
    }

    fn seek(&self, patterns: Vec<Pattern>, seek: Seek) -> BoxFuture<'_, Result<Sought, ReadError>> {
        Box::pin(async move {
            // Part by part, so that nobody waits long for the lock.
            let mut search = Search::new(patterns, seek);
            loop {
                if let Some(sought) = lock(&self.state).seek(&mut search) {
                    return Ok(sought);
                }
                tokio::task::yield_now().await;
            }
        })
    }

    fn topic(&self, topic: Topic) -> BoxFuture<'_, Result<Retained, ReadError>> {
        Box::pin(async move { Ok(lock(&self.state).topic(&topic)) })
    }

    fn forget(&self, topic: Topic) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let mut state = lock(&self.state);
            while state.evict_oldest(&topic).is_some() {}
            let evicted_to = state.evicted_to(&topic);
            if evicted_to > 0 {
                self.feed.push([FeedItem::Forgotten { topic, evicted_to }]);
            }
            Ok(())
        })
    }

    fn feed(&self) -> Option<FeedReceiver> {
        lock(&self.receiver).take()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.stopped.cancel();
        Box::pin(std::future::ready(()))
    }
}

fn stopped() -> AppendError {
    AppendError::Unavailable {
        retry_after: RETRY_AFTER,
        reason: "the engine has stopped".into(),
    }
}

/// How often old events are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
