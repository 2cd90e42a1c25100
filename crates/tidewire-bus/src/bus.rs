//! The bus: an engine, the log that follows its feed, and the sessions that read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidewire_protocol::{Cursor, Epoch, Gap, GapReason, Pattern, Topic};
use tokio_util::sync::CancellationToken;

use crate::encoded::Encoded;
use crate::engine::feed::FeedProgress;
use crate::engine::{Append, AppendError, Appended, Engine, Read, ReadError, Seek};
use crate::log::{Log, WindowBounds};
use crate::session::{Session, SessionOptions};

/// The bounds of the window in memory.
#[derive(Clone, Copy, Debug)]
pub struct BusConfig {
    /// Events in the window; at the bound the oldest leave it and are read from the engine.
    pub window_max_events: usize,
    /// Bytes of encoded JSON in the window; at the bound the oldest leave.
    pub window_max_bytes: usize,
    /// The least time between two wake-ups of the sessions of one pattern, at most [`FLUSH_INTERVAL_MAX`]. Zero: none.
    /// The first event after silence wakes them at once; those that follow wait for the end of the interval and are
    /// then delivered together. On a hot topic that is fewer writes for later events, on every transport.
    pub flush_interval: Duration,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            window_max_events: 65_536,
            window_max_bytes: 64 << 20,
            flush_interval: Duration::ZERO,
        }
    }
}

/// The shared handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Arc<dyn Engine>,
    log: Arc<Log>,
    progress: FeedProgress,
    sessions: Arc<AtomicUsize>,
    /// Ends the pump, the timer and the sweep when the last handle goes.
    stopped: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

/// Sizes, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusStats {
    /// Sessions that are open, polls that are held included.
    pub sessions: usize,
    /// Distinct patterns that are subscribed, or were a moment ago.
    pub interests: usize,
    /// Events in the window.
    pub window_events: usize,
    /// Their bytes of JSON.
    pub window_bytes: usize,
    /// The newest place that the engine acknowledged.
    pub head: u64,
    /// The newest place that the log has applied.
    pub applied: u64,
}

/// What is known of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Retained events.
    pub retained: u64,
    /// The cursor just after the oldest of them.
    pub oldest: Option<Cursor>,
    /// The cursor just after the newest of them.
    pub newest: Option<Cursor>,
    /// Subscriptions that match it now.
    pub subscribers: usize,
}

/// A read of what one topic retains.
#[derive(Clone, Debug)]
pub struct HistoryRead {
    /// Which topic.
    pub topic: Topic,
    /// Events after this cursor only.
    pub after: Option<Cursor>,
    /// Events before this cursor only: the event that it is the id of is excluded.
    pub before: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
    /// From the newest backwards.
    pub descending: bool,
}

/// What one topic retains.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// In the order that was asked for.
    pub events: Vec<Arc<Encoded>>,
    /// Where to go on: as `after`, or as `before` when reading backwards.
    pub cursor: Cursor,
    /// There is more.
    pub more: bool,
    /// What was lost after `after`.
    pub gap: Option<Gap>,
}

impl Bus {
    /// Starts to follow the engine's feed, on the current tokio runtime.
    ///
    /// # Panics
    /// When another bus follows this engine already.
    #[must_use]
    pub fn start(engine: Arc<dyn Engine>, config: BusConfig) -> Self {
        let bounds = WindowBounds {
            max_events: config.window_max_events,
            max_bytes: config.window_max_bytes,
        };
        let feed = engine.feed().expect("an engine has one bus");
        let progress = feed.progress();
        let flush_interval = config.flush_interval.min(FLUSH_INTERVAL_MAX);
        let log = Arc::new(Log::new(bounds, engine.head(), flush_interval));
        let stopped = CancellationToken::new();
        tokio::spawn(
            stopped
                .clone()
                .run_until_cancelled_owned(Arc::clone(&log).pump(feed)),
        );
        tokio::spawn(
            stopped
                .clone()
                .run_until_cancelled_owned(sweep(Arc::clone(&log))),
        );
        tokio::spawn(
            stopped
                .clone()
                .run_until_cancelled_owned(Arc::clone(&log).flush()),
        );
        Self(Arc::new(Inner {
            engine,
            log,
            progress,
            sessions: Arc::default(),
            stopped,
        }))
    }

    /// Changes when the log is not a continuation of what it was.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.engine.epoch()
    }

    /// The newest place that the engine acknowledged.
    #[must_use]
    pub fn head(&self) -> Cursor {
        Cursor::new(self.epoch(), self.0.engine.head())
    }

    /// Gives each event its place. One answer for each, in order.
    ///
    /// # Cancel safety
    /// A dropped call may have appended everything or nothing.
    pub async fn append(&self, batch: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        self.0.engine.append(batch).await
    }

    /// A session without patterns, at the head of the log.
    #[must_use]
    pub fn open(&self, options: SessionOptions) -> Session {
        Session::new(
            options,
            Arc::clone(&self.0.log),
            Arc::clone(&self.0.engine),
            Arc::clone(&self.0.sessions),
        )
    }

    /// What one topic retains.
    ///
    /// # Errors
    /// The engine could not be read.
    pub async fn history(&self, read: HistoryRead) -> Result<HistoryPage, ReadError> {
        let pattern = Pattern::from(read.topic);
        let head = self.head();
        let (after, gap) = match read.after {
            None => (0, None),
            Some(asked) if asked.epoch != head.epoch => (0, Some((asked, GapReason::Epoch))),
            Some(asked) if asked.place > head.place => {
                (head.place, Some((asked, GapReason::Unknown)))
            }
            Some(asked) => (asked.place, None),
        };
        let known = read.before.filter(|before| before.epoch == head.epoch);
        let gap = gap.or(read
            .before
            .filter(|_| known.is_none())
            .map(|asked| (asked, GapReason::Epoch)));
        let page = self.0.engine.read(Read {
            patterns: vec![pattern.clone()],
            after,
            before: known.map_or(u64::MAX, |before| before.place.max(1)),
            descending: read.descending,
            told: vec![if read.after.is_some() { 0 } else { u64::MAX }],
            max_events: read.limit,
            max_bytes: HISTORY_MAX_BYTES,
        });
        let page = page.await?;
        let lost = read.after.filter(|_| !page.lost.is_empty());
        let gap = gap.or(lost.map(|asked| (asked, GapReason::Evicted)));
        let at = |place| Cursor::new(head.epoch, place);
        let cursor = if read.descending {
            at(page.events.last().map_or(after, |event| event.place()))
        } else {
            at(page.examined.max(after))
        };
        let gap = match gap {
            None => None,
            Some((asked, reason)) => {
                let sought = self
                    .0
                    .engine
                    .seek(vec![pattern.clone()], Seek::Oldest)
                    .await?;
                Some(Gap {
                    topics: vec![pattern.to_string()],
                    after: asked.to_string(),
                    cursor: at(sought.after.max(after)).to_string(),
                    reason,
                })
            }
        };
        Ok(HistoryPage {
            events: page.events,
            cursor,
            more: !page.at_end,
            gap,
        })
    }

    /// What is known of one topic. A topic that nobody knows is empty.
    ///
    /// # Errors
    /// The engine could not be read.
    pub async fn topic(&self, topic: &Topic) -> Result<TopicInfo, ReadError> {
        let retained = self.0.engine.topic(topic.clone()).await?;
        let at = |place| Cursor::new(self.epoch(), place);
        Ok(TopicInfo {
            retained: retained.events,
            oldest: retained.range.map(|(oldest, _)| at(oldest)),
            newest: retained.range.map(|(_, newest)| at(newest)),
            subscribers: self.0.log.subscribers(topic),
        })
    }

    /// Forgets every event of the topic that there is now: afterwards none of them is delivered.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn forget(&self, topic: &Topic) -> Result<(), AppendError> {
        self.0.engine.forget(topic.clone()).await?;
        self.0.progress.caught_up().await;
        Ok(())
    }

    /// Whether events are taken and delivered: the engine is well, and the log follows it.
    ///
    /// # Errors
    /// The engine is not well. It waits while the log is behind: give it a time limit.
    pub async fn probe(&self) -> Result<(), ReadError> {
        self.0.engine.health()?;
        self.0.progress.caught_up().await;
        Ok(())
    }

    /// Sizes, for metrics.
    #[must_use]
    pub fn stats(&self) -> BusStats {
        let (applied, interests, window_events, window_bytes) = self.0.log.sizes();
        BusStats {
            sessions: self.0.sessions.load(Ordering::Relaxed),
            interests,
            window_events,
            window_bytes,
            head: self.0.engine.head(),
            applied,
        }
    }

    /// Makes everything durable and lets go of the store.
    pub async fn stop(&self) {
        self.0.engine.stop().await;
    }
}

async fn sweep(log: Arc<Log>) {
    let mut every = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        every.tick().await;
        log.sweep();
    }
}

/// The longest `flush_interval`.
pub const FLUSH_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How long an interest stays without a subscriber: one to two of these.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// A page of history ends once it has so many bytes of JSON.
const HISTORY_MAX_BYTES: usize = 4 << 20;
