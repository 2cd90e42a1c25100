//! Holds wake-ups back, so that an interest's sessions are woken at most once in an interval.
//! Shape: who was woken stands in a queue until his interval is over; one timer waits for the first of them.
//! Unit: the interval. The first event after silence wakes at once, those after it together at the end of it.
//! Bound: one entry for each interest that was woken within the last interval; [`RELEASE_MAX`] are let go of before
//! others have their turn.
//! Failure: a held wake-up is late by at most the interval, and never lost. Whoever reads without being woken finds
//! what there is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::interest::subscribers::{Part, Subscribers};
use crate::sync::{Mutex, lock, yield_now};

/// See the module.
#[derive(Debug)]
pub(crate) struct Flush {
    interval: Duration,
    /// Who was woken, and when his interval is over; the first is over first. Std mutex: held to put in or take out
    /// one.
    held: Mutex<VecDeque<(Instant, Arc<Subscribers>)>>,
    /// There is somebody again.
    filled: Notify,
}

impl Flush {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            held: Mutex::default(),
            filled: Notify::new(),
        }
    }

    /// Wakes now, or at the end of the interval that has begun.
    pub(crate) fn wake(&self, subscribers: &Arc<Subscribers>, part: &mut Part) {
        if !subscribers.is_held_back() {
            self.begin(subscribers, part);
        }
    }

    /// The one timer.
    pub(crate) async fn run(&self) {
        let mut part = Part::new();
        loop {
            let first = lock(&self.held).front().map(|(due, _)| *due);
            let Some(due) = first else {
                self.filled.notified().await;
                continue;
            };
            sleep_until(due).await;
            self.release(Instant::now(), &mut part);
            yield_now().await;
        }
    }

    fn begin(&self, subscribers: &Arc<Subscribers>, part: &mut Part) {
        let due = Instant::now() + self.interval;
        let mut held = lock(&self.held);
        let was_empty = held.is_empty();
        held.push_back((due, Arc::clone(subscribers)));
        drop(held);
        if was_empty {
            self.filled.notify_one();
        }
        subscribers.wake(part);
    }

    /// Some whose interval is over.
    fn release(&self, now: Instant, part: &mut Part) {
        for _ in 0..RELEASE_MAX {
            let Some(subscribers) = self.take_over(now) else {
                return;
            };
            if subscribers.release() {
                self.begin(&subscribers, part);
            }
        }
    }

    /// The first, if its interval is over.
    fn take_over(&self, now: Instant) -> Option<Arc<Subscribers>> {
        let mut held = lock(&self.held);
        let (due, _) = held.front()?;
        if *due > now {
            return None;
        }
        held.pop_front().map(|(_, subscribers)| subscribers)
    }
}

/// Interests that are let go of in one go.
const RELEASE_MAX: usize = 256;
