//! The one log, as sessions see it: the newest events in memory, and who waits for the next.
//! Shape: [`Log`] is the shared handle; [`State`] is what stands under its lock; the pump applies
//! what the engine's feed delivers, in log order.
//! Bound: the window's; see [`window`] and [`crate::interest`].
//! Failure: nothing here waits for a subscriber. What the window no longer has is read from the
//! engine by the session itself.
//!
//! No wake-up is lost: a session is registered with its interests before its first read and until it
//! ends, and a wake-up that comes while it does not wait stays as a flag. So an event is
//! either applied before a read, and seen by it, or after, and then it wakes.
//! Source: architecture, "The path of an event" and "Invariants".

pub(crate) mod flush;
#[cfg(all(test, feature = "shuttle"))]
mod interleavings;
pub(crate) mod window;

use std::sync::Arc;
use std::time::Duration;

use tidewire_protocol::{Pattern, Topic};

use crate::encoded::Encoded;
use crate::engine::feed::{FeedItem, FeedReceiver};
use crate::events::Events;
use crate::interest::recent::BatchBounds;
use crate::interest::subscribers::{Part, Subscribers};
use crate::interest::{Found, InterestId, Interests};
use crate::session::woken::Woken;
use crate::sync::{RwLock, read, write};
use flush::Flush;
use window::Window;

/// The bounds of the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowBounds {
    pub(crate) max_events: usize,
    pub(crate) max_bytes: usize,
}

/// The shared handle.
#[derive(Debug)]
pub(crate) struct Log {
    /// Std lock: held to apply a batch or to collect one, never across an await and never while a
    /// session is woken.
    state: RwLock<State>,
    /// Where wake-ups are held back.
    flush: Option<Flush>,
}

#[derive(Debug)]
struct State {
    window: Window,
    interests: Interests,
    /// The newest place that was applied.
    head: u64,
    /// How often a topic was forgotten.
    forgets: u64,
}

/// A session's hold on one interest.
#[derive(Debug)]
pub(crate) struct Registration {
    id: InterestId,
    key: usize,
    subscribers: Arc<Subscribers>,
}

/// What a session wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) after: u64,
    pub(crate) to: u64,
    pub(crate) max_events: usize,
    pub(crate) max_bytes: usize,
}

/// What the window has for it.
#[derive(Debug)]
pub(crate) enum WindowRead {
    Events {
        events: Events,
        /// Everything up to here has been looked at.
        examined: u64,
        at_end: bool,
    },
    /// Only the engine knows.
    Behind,
}

impl Log {
    /// `flush_interval`: between two wake-ups of the same sessions; zero: none.
    pub(crate) fn new(bounds: WindowBounds, head: u64, flush_interval: Duration) -> Self {
        Self {
            flush: (!flush_interval.is_zero()).then(|| Flush::new(flush_interval)),
            state: RwLock::new(State {
                window: Window::new(bounds.max_events, bounds.max_bytes),
                interests: Interests::default(),
                head,
                forgets: 0,
            }),
        }
    }

    /// Applies what the engine appended, until the engine is gone.
    pub(crate) async fn pump(self: Arc<Self>, mut feed: FeedReceiver) {
        loop {
            let items = feed.next().await;
            self.apply(&items);
            feed.applied(&items);
        }
    }

    /// Appends to the window, then wakes whom it concerns.
    pub(crate) fn apply(&self, items: &[FeedItem]) {
        // A part at a time, so that readers wait for no more than that; the lock is given back before
        // anybody is woken.
        let mut woken = Part::new();
        for part in items.chunks(APPLY_MAX) {
            let to_wake = write(&self.state).apply(part);
            for subscribers in to_wake {
                match &self.flush {
                    Some(flush) => flush.wake(&subscribers, &mut woken),
                    None => subscribers.wake(&mut woken),
                }
            }
        }
    }

    /// The timer of wake-ups that are held back; ends at once where none are.
    pub(crate) async fn flush(self: Arc<Self>) {
        if let Some(flush) = &self.flush {
            flush.run().await;
        }
    }

    /// From now on every event that matches wakes this session.
    pub(crate) fn register(&self, pattern: &Pattern, session: &Arc<Woken>) -> Registration {
        let mut state = write(&self.state);
        let head = state.head;
        let (id, subscribers) = state.interests.hold(pattern, head);
        // The log does not wait while others are added or woken. What it applies meanwhile is read: no session has
        // read before it is registered.
        drop(state);
        let key = subscribers.add(Arc::clone(session));
        Registration {
            id,
            key,
            subscribers,
        }
    }

    pub(crate) fn release(&self, registration: &Registration) {
        registration.subscribers.remove(registration.key);
        write(&self.state).interests.release(registration.id);
    }

    /// What matches, in log order, each event once.
    pub(crate) fn read(&self, registrations: &[&Registration], wanted: Wanted) -> WindowRead {
        let state = read(&self.state);
        match registrations {
            [alone] => state.read_shared(alone, wanted),
            _ => state.read(registrations, wanted),
        }
    }

    /// Whether a session that begins after this place has missed nothing, as far as is known here.
    pub(crate) fn has_all_after(&self, registrations: &[&Registration], after: u64) -> bool {
        let state = read(&self.state);
        let oldest = state.oldest();
        registrations
            .iter()
            .all(|held| state.interests.get(held.id).has_all_after(after, oldest))
    }

    /// Counts forgotten topics: what was read before it changed may have been forgotten since.
    pub(crate) fn forgets(&self) -> u64 {
        read(&self.state).forgets
    }

    /// Sessions that would get an event of this topic.
    pub(crate) fn subscribers(&self, topic: &Topic) -> usize {
        read(&self.state).interests.subscribers(topic)
    }

    /// Takes away the interests that nobody has had for a while.
    pub(crate) fn sweep(&self) {
        let mut state = write(&self.state);
        let oldest = state.oldest();
        state.interests.sweep(oldest);
    }

    /// Head, interests, window events, window bytes.
    pub(crate) fn sizes(&self) -> (u64, usize, usize, usize) {
        let state = read(&self.state);
        let window = &state.window;
        (
            state.head,
            state.interests.len(),
            window.len(),
            window.bytes(),
        )
    }
}

impl State {
    /// Places before this one cannot be read here.
    fn oldest(&self) -> u64 {
        self.window.oldest().unwrap_or(self.head + 1)
    }

    fn apply(&mut self, items: &[FeedItem]) -> Vec<Arc<Subscribers>> {
        let mut touched = Vec::new();
        let mut to_wake = Vec::new();
        for item in items {
            match item {
                FeedItem::Event { event, evicted_to } => {
                    self.head = event.place();
                    self.window.push(Arc::clone(event));
                    let oldest = self.oldest();
                    let topic = event.event().topic();
                    self.interests
                        .push(topic, self.head, *evicted_to, oldest, &mut touched);
                }
                FeedItem::Evicted { topic, evicted_to } => self.interests.lose(topic, *evicted_to),
                FeedItem::Forgotten { topic, evicted_to } => {
                    self.forgets += 1;
                    self.window.forget(topic, *evicted_to);
                    to_wake.extend(self.interests.forget(topic, *evicted_to));
                }
            }
        }
        to_wake.extend(self.interests.take_touched(&touched));
        to_wake
    }

    /// Reads for a session that has this interest alone: others that stand where it does get the same batch.
    fn read_shared(&self, held: &Registration, wanted: Wanted) -> WindowRead {
        if wanted.to < self.head {
            return self.read(&[held], wanted);
        }
        let bounds = BatchBounds {
            max_events: wanted.max_events,
            max_bytes: wanted.max_bytes,
        };
        let recent = self
            .interests
            .recent(held.id, wanted.after, bounds, self.oldest());
        let Some(events) = recent else {
            let read = self.read(&[held], wanted);
            if let WindowRead::Events { events, .. } = &read {
                self.interests.keep(held.id, wanted.after, bounds, events);
            }
            return read;
        };
        let newest = self.interests.get(held.id).newest();
        let last = events.last().map(|event| event.place());
        if last < newest {
            return WindowRead::Events {
                examined: last.unwrap_or(wanted.after),
                events,
                at_end: false,
            };
        }
        WindowRead::Events {
            events,
            examined: self.head,
            at_end: true,
        }
    }

    fn read(&self, registrations: &[&Registration], wanted: Wanted) -> WindowRead {
        let oldest = self.oldest();
        let mut places = Vec::new();
        // One more than asked for tells whether there is more.
        let max = wanted.max_events.saturating_add(1);
        for held in registrations {
            let interest = self.interests.get(held.id);
            match interest.read(wanted.after, wanted.to, max, oldest, &mut places) {
                Found::Complete => {}
                Found::Behind => return WindowRead::Behind,
            }
        }
        if registrations.len() > 1 {
            places.sort_unstable();
            places.dedup();
        }
        let mut events = Vec::with_capacity(places.len().min(wanted.max_events));
        let mut bytes = 0;
        for place in places {
            let last = events
                .last()
                .map_or(wanted.after, |event: &Arc<Encoded>| event.place());
            let Some(event) = self.window.get(place) else {
                // It was forgotten, or it left between two sweeps.
                return if events.is_empty() {
                    WindowRead::Behind
                } else {
                    WindowRead::Events {
                        events: events.into(),
                        examined: last,
                        at_end: false,
                    }
                };
            };
            if events.len() >= wanted.max_events || bytes >= wanted.max_bytes {
                return WindowRead::Events {
                    events: events.into(),
                    examined: last,
                    at_end: false,
                };
            }
            bytes += event.json().len();
            events.push(Arc::clone(event));
        }
        WindowRead::Events {
            events: events.into(),
            examined: self.head.min(wanted.to),
            at_end: true,
        }
    }
}

/// Steps of the log that are applied while the lock is held once.
const APPLY_MAX: usize = 256;

#[cfg(test)]
mod tests;
