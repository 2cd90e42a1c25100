//! What an engine appended, on its way to the log.
//! Shape: a queue in log order with one reader that takes everything that is there.
//! Bound: [`CAPACITY`] events. A publisher reserves its room before it appends, so it is the
//! publisher that waits when the log falls behind, and the engine's writer never does.
//! Source: architecture, "The path of an event".

use std::sync::{Arc, Mutex};

use tidewire_protocol::Topic;
use tokio::sync::{Notify, Semaphore, watch};

use crate::encoded::Encoded;
use crate::lock::lock;

/// Events that may be on their way from the engine to the log at once.
pub const CAPACITY: usize = 16_384;

/// One step of the log.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// An event got its place.
    Event {
        /// The event.
        event: Arc<Encoded>,
        /// The newest place of its topic that retention has let go of; 0 for none.
        evicted_to: u64,
    },
    /// Age took events of a topic, up to and with this place.
    Evicted {
        /// Which topic.
        topic: Topic,
        /// The newest place that went.
        evicted_to: u64,
    },
    /// A topic was forgotten: its events up to and with this place are delivered to nobody.
    Forgotten {
        /// Which topic.
        topic: Topic,
        /// The newest place that went.
        evicted_to: u64,
    },
}

impl FeedItem {
    /// Whether an event got its place: it takes room in the feed.
    #[must_use]
    pub fn is_event(&self) -> bool {
        matches!(self, Self::Event { .. })
    }
}

#[derive(Debug)]
struct Shared {
    /// Std mutex: held to push or to take everything, never across an await.
    queue: Mutex<Queue>,
    /// Items that the log has applied, ever.
    applied: watch::Sender<u64>,
    filled: Notify,
    /// Free room, in events.
    room: Semaphore,
}

#[derive(Debug, Default)]
struct Queue {
    /// In log order.
    items: Vec<FeedItem>,
    /// Items that were pushed, ever.
    pushed: u64,
}

/// Tells how far the log is.
#[derive(Clone, Debug)]
pub struct FeedProgress(Arc<Shared>);

/// The engine's end.
#[derive(Clone, Debug)]
pub struct FeedSender(Arc<Shared>);

/// The log's end.
#[derive(Debug)]
pub struct FeedReceiver(Arc<Shared>);

/// A queue with nothing in it.
#[must_use]
pub fn feed() -> (FeedSender, FeedReceiver) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        applied: watch::Sender::new(0),
        filled: Notify::new(),
        room: Semaphore::new(CAPACITY),
    });
    (FeedSender(Arc::clone(&shared)), FeedReceiver(shared))
}

/// Room for some events. Dropped unused, it is given back.
#[derive(Debug)]
pub struct Reservation {
    sender: FeedSender,
    events: usize,
}

impl FeedSender {
    /// Waits for room for so many events, at most [`CAPACITY`].
    ///
    /// # Cancel safety
    /// A dropped call reserves nothing.
    pub async fn reserve(&self, events: usize) -> Reservation {
        let permits = u32::try_from(events.min(CAPACITY)).unwrap_or(u32::MAX);
        if let Ok(permit) = self.0.room.acquire_many(permits).await {
            permit.forget();
        }
        Reservation {
            sender: self.clone(),
            events: permits as usize,
        }
    }

    /// Hands over what has become visible, in log order.
    pub fn push(&self, items: impl IntoIterator<Item = FeedItem>) {
        let mut queue = lock(&self.0.queue);
        let before = queue.items.len();
        queue.items.extend(items);
        queue.pushed += (queue.items.len() - before) as u64;
        drop(queue);
        self.0.filled.notify_one();
    }
}

impl Reservation {
    /// How many it is for.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }

    /// So many events were pushed; the receiver gives their room back. The rest is given back here.
    pub fn used(mut self, events: usize) {
        let unused = self.events.saturating_sub(events);
        self.events = unused;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.sender.0.room.add_permits(self.events);
    }
}

impl FeedReceiver {
    /// Everything that there is, in log order; waits while there is nothing.
    ///
    /// # Cancel safety
    /// A dropped call takes nothing.
    pub async fn next(&mut self) -> Vec<FeedItem> {
        loop {
            let items = std::mem::take(&mut lock(&self.0.queue).items);
            if !items.is_empty() {
                return items;
            }
            self.0.filled.notified().await;
        }
    }

    /// These were applied: their room is free again.
    pub fn applied(&self, items: &[FeedItem]) {
        let events = items.iter().filter(|item| item.is_event()).count();
        self.0.room.add_permits(events);
        self.0
            .applied
            .send_modify(|applied| *applied += items.len() as u64);
    }

    /// Tells how far the log is.
    #[must_use]
    pub fn progress(&self) -> FeedProgress {
        FeedProgress(Arc::clone(&self.0))
    }
}

impl FeedProgress {
    /// Waits until everything that the engine has handed over until now has been applied.
    pub async fn caught_up(&self) {
        let pushed = lock(&self.0.queue).pushed;
        // The sender lives as long as this handle, so this only ends with the count.
        let _ = self
            .0
            .applied
            .subscribe()
            .wait_for(|&applied| applied >= pushed)
            .await;
    }
}
