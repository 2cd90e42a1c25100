//! What orders the events and keeps them.
//! Shape: one total order of places; topics are filters over it. Appending and delivering are apart:
//! an append is acknowledged, and what was appended comes out of the engine's feed in log order.
//! Bound: a page has at most `max_events` and `max_bytes`; the feed holds at most [`feed::CAPACITY`].
//! Failure: [`AppendError`] tells whether an event may have been stored; [`ReadError`] is never an
//! empty page.
//! Source: protocol sections 3, 4 and 8.

pub mod disk;
pub mod feed;
pub mod memory;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidewire_protocol::{Cursor, Epoch, EventBody, Pattern, Topic};

use crate::encoded::Encoded;
use feed::FeedReceiver;

/// Orders events, makes them durable, reads them again.
///
/// The contract, checked by one suite for every engine:
/// - **Order.** Places grow from 1; the order of the feed, of every page and of every id is one order.
/// - **Immutable.** An event, once read at a place, is read the same at that place or not at all.
/// - **Acknowledged.** `Ok` means as durable as the engine promises, and [`Engine::head`] is at least
///   that place before the answer is given. Elements of one batch get places in their order.
/// - **Idempotent.** The same key within the window gets the first answer; another payload
///   [`AppendError::KeyReused`]. As durable as the event.
/// - **Prefix.** Retention removes only the oldest events of a topic, and `lost` tells of it: a page
///   names each pattern that lost an event after `after`, once for each eviction the reader has
///   not been told of (`told`).
/// - **Atomic pages.** The events and the losses of one page are of one moment: no event can fall
///   between them.
pub trait Engine: std::fmt::Debug + Send + Sync + 'static {
    /// Changes when the log is not a continuation of what it was.
    fn epoch(&self) -> Epoch;

    /// The newest place that was acknowledged; 0 before the first.
    fn head(&self) -> u64;

    /// Whether it takes events; the reason where it does not.
    ///
    /// # Errors
    /// It has failed and needs a restart.
    fn health(&self) -> Result<(), ReadError> {
        Ok(())
    }

    /// Gives each event its place. One answer for each, in order.
    ///
    /// # Cancel safety
    /// A dropped call may have appended everything or nothing.
    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>>;

    /// What matches, in log order or from the newest backwards.
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// Where to begin.
    fn seek(&self, patterns: Vec<Pattern>, seek: Seek) -> BoxFuture<'_, Result<Sought, ReadError>>;

    /// What is retained of one topic.
    fn topic(&self, topic: Topic) -> BoxFuture<'_, Result<Retained, ReadError>>;

    /// Forgets every event of the topic that there is now. What was forgotten counts as evicted. The feed is
    /// told up to which place the topic's events are gone, also where retention had taken them all before:
    /// the log may still have some.
    fn forget(&self, topic: Topic) -> BoxFuture<'_, Result<(), AppendError>>;

    /// What was appended, in log order. There is one receiver; the second call gives `None`.
    fn feed(&self) -> Option<FeedReceiver>;

    /// Makes everything durable and lets go of the store. Later appends are unavailable.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// One event to append.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where it is published.
    pub topic: Topic,
    /// Its members after `time`.
    pub body: EventBody,
    /// A repeat with the same key gets the first answer.
    pub key: Option<IdempotencyKey>,
}

/// Names one publish of one publisher. It counts per publisher and topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Who publishes: two publishers never meet in a key.
    pub publisher: String,
    /// What the publisher called it.
    pub key: String,
    /// Which element of a request it is, where one key stands for all of them.
    pub element: Option<usize>,
}

/// The place that an event got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The cursor just after the event.
    pub id: Cursor,
    /// Milliseconds since the Unix epoch by the wall clock, when it got its place.
    pub time_ms: u64,
    /// The key was seen before: this is the first answer.
    pub duplicate: bool,
}

/// Why an event got no acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Nothing was stored. Repeat after the pause.
    #[error("the engine takes no events now: {reason}")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log, not for the client.
        reason: String,
    },
    /// It may have been stored. Repeat with the same key.
    #[error("the engine gave no answer: {reason}")]
    Unknown {
        /// How long the engine was waited for.
        waited: Duration,
        /// For the log, not for the client.
        reason: String,
    },
    /// The publisher's mistake. Do not repeat.
    #[error("the key was used for another payload")]
    KeyReused,
}

/// The engine could not read. It is the engine's fault; repeat later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine cannot read: {reason}")]
pub struct ReadError {
    /// For the log, not for the client.
    pub reason: String,
}

/// Which events to read.
#[derive(Clone, Debug)]
pub struct Read {
    /// An event is read when one of them matches.
    pub patterns: Vec<Pattern>,
    /// Places beyond this one only.
    pub after: u64,
    /// Places before this one only.
    pub before: u64,
    /// From the newest backwards. `after` then bounds, and `before` is where to begin.
    pub descending: bool,
    /// For each pattern: evictions up to this number are known to the reader and not told again.
    pub told: Vec<u64>,
    /// At most so many events. An engine may also end a page after it has looked at many that do not match.
    pub max_events: usize,
    /// The page ends once it has so many bytes of JSON; one event is always let through.
    pub max_bytes: usize,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order that was asked for.
    pub events: Vec<Arc<Encoded>>,
    /// Everything from where the read began to this place, itself included, has been looked at.
    pub examined: u64,
    /// The patterns that lost an event after `after` of which the reader has not been told.
    pub lost: Vec<Pattern>,
    /// The number of the newest eviction: the next read's `told`.
    pub evictions: u64,
    /// The end was reached: nothing more matches now.
    pub at_end: bool,
}

/// After which place delivery goes on, where something before these events was lost.
pub(crate) fn continues_after(events: &[Arc<Encoded>], examined: u64) -> u64 {
    events.first().map_or(examined, |event| event.place() - 1)
}

/// A place to begin at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// Just before the oldest retained event that matches.
    Oldest,
    /// Just before the newest N retained events that match.
    Newest(usize),
}

/// Where to begin, and what the reader then knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Read after this place; the head where nothing matches.
    pub after: u64,
    /// Earlier evictions are no loss to a reader that begins here.
    pub evictions: u64,
}

/// A place that is looked for, and how far the search has come: a long one goes part by part.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) descending: bool,
    /// What is still to be looked through.
    pub(crate) after: u64,
    pub(crate) before: u64,
    /// Matching events that are still to be found.
    pub(crate) wanted: usize,
    /// The last one that was.
    pub(crate) found: Option<u64>,
}

impl Search {
    pub(crate) fn new(patterns: Vec<Pattern>, seek: Seek) -> Self {
        let (descending, wanted) = match seek {
            Seek::Oldest => (false, 1),
            Seek::Newest(count) => (true, count),
        };
        Self {
            patterns,
            descending,
            after: 0,
            before: u64::MAX,
            wanted,
            found: None,
        }
    }

    /// Takes in the next event in the direction of the search. Gives whether that was the last one.
    pub(crate) fn look_at(&mut self, place: u64, matches: bool) -> bool {
        if self.descending {
            self.before = place;
        } else {
            self.after = place;
        }
        if matches {
            self.found = Some(place);
            self.wanted -= 1;
        }
        self.wanted == 0
    }

    /// Where to begin: before what was found, or at the head.
    pub(crate) fn sought(&self, head: u64, evictions: u64) -> Sought {
        Sought {
            after: self.found.map_or(head, |place| place - 1),
            evictions,
        }
    }
}

/// What is kept of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Events.
    pub events: u64,
    /// Place of the oldest and of the newest, if there is one.
    pub range: Option<(u64, u64)>,
}

/// Nothing was stored: the window has no room for another key.
pub(crate) fn keys_full() -> AppendError {
    AppendError::Unavailable {
        retry_after: RETRY_AFTER,
        reason: "too many idempotency keys in the window".into(),
    }
}

/// How long [`AppendError::Unavailable`] asks to wait where nothing better is known.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long an append waits for the engine before its outcome is unknown.
pub(crate) const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
