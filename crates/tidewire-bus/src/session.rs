//! One subscriber: a cursor over the log. What it reads next is decided by [`state`]; this shell
//! reads the window or the engine, and waits.
//! Shape: registered with its interests from before its first read until it is dropped.
//! Bound: one batch at a time, `batch_max_events` and `batch_max_bytes`; there is no queue. While a
//! conflating session reads, it keeps what [`Reach`] allows, and lets go of it with the batch; at most
//! [`AHEAD_MAX`] sessions keep something out of the engine at a time.
//! Failure: the engine's faults come out as [`ReadError`]; the cursor stays where it was.
//! Source: protocol section 3; architecture, "The one idea".

pub(crate) mod state;
pub(crate) mod woken;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidewire_protocol::{Cursor, Gap, GapReason, Pattern, StartAt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::engine::{Engine, Read, ReadError, Seek, continues_after};
use crate::events::Events;
use crate::log::{Log, Registration, Wanted, WindowRead};
use state::ahead::{Ahead, Reach};
use state::{Got, State, Want};
use woken::Woken;

/// The bounds of one session.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Events of one batch.
    pub batch_max_events: usize,
    /// A batch ends once it has so many bytes of JSON; one event is always let through.
    pub batch_max_bytes: usize,
    /// Of what is ready only the newest event of each topic is delivered.
    pub conflate: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            batch_max_events: 512,
            batch_max_bytes: 256 << 10,
            conflate: false,
        }
    }
}

/// Everything that was ready.
#[derive(Debug)]
pub struct Batch {
    /// Told before the events.
    pub gap: Option<Gap>,
    /// In log order. Shared with the sessions that get the same.
    pub events: Events,
    /// A safe place to resume once this batch has been received.
    pub cursor: Cursor,
    /// The next batch is ready already.
    pub more: bool,
    /// Events up to the cursor that conflation left out, each for a newer one of its topic.
    pub skipped: u64,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// A safe place to resume the whole session, before its next event.
    pub cursor: Cursor,
    /// A cursor was given and nothing after it is lost.
    pub resumed: bool,
}

/// One subscriber. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    id: [u8; 16],
    options: SessionOptions,
    log: Arc<Log>,
    engine: Arc<dyn Engine>,
    state: State,
    /// What a conflating session has seen when a call is dropped in the middle of its looks: the next
    /// call goes on there, or a client that sends much would never get anything.
    halfway: Option<Box<Halfway>>,
    /// In the order of their patterns.
    registrations: Vec<(Pattern, Registration)>,
    woken: Arc<Woken>,
    /// The last batch was all that there was. The next call waits before it looks: what has come since wakes it.
    is_at_end: bool,
    live: Arc<AtomicUsize>,
}

/// A look ahead that is under way.
#[derive(Debug)]
struct Halfway {
    ahead: Ahead,
    /// How often a topic had been forgotten before it.
    forgets: u64,
    /// Held for as long as events out of the engine are.
    turn: Option<SemaphorePermit<'static>>,
}

/// Where a subscription begins, before the state knows.
struct Begin {
    after: u64,
    told: u64,
    gap: Option<(Gap, Cursor)>,
}

/// What one look takes in.
#[derive(Clone, Copy)]
struct LookBounds {
    max_events: usize,
    max_bytes: usize,
}

impl Session {
    pub(crate) fn new(
        options: SessionOptions,
        log: Arc<Log>,
        engine: Arc<dyn Engine>,
        live: Arc<AtomicUsize>,
    ) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self {
            id: crate::epoch::random_id(),
            options,
            state: State::new(engine.epoch(), engine.head()),
            halfway: None,
            log,
            engine,
            registrations: Vec::new(),
            woken: Arc::new(Woken::new()),
            is_at_end: false,
            live,
        }
    }

    /// Random and URL-safe.
    #[must_use]
    pub fn id(&self) -> &str {
        std::str::from_utf8(&self.id).expect("ASCII")
    }

    /// Always a safe place to resume the whole session.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.state.cursor()
    }

    /// What is subscribed.
    #[must_use]
    pub fn patterns(&self) -> Vec<Pattern> {
        self.state.patterns().cloned().collect()
    }

    /// Adds patterns. A gap comes out of the next batch, before any of their events.
    ///
    /// # Errors
    /// The engine could not be read. Nothing was subscribed.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave some of the patterns registered. Drop the session.
    pub async fn subscribe(
        &mut self,
        patterns: Vec<Pattern>,
        start: StartAt,
    ) -> Result<Subscribed, ReadError> {
        // Registered before anything is read: what comes from here on wakes the session.
        let mut added = Vec::new();
        self.registrations.reserve_exact(patterns.len());
        for pattern in &patterns {
            if let Err(index) = self.registered(pattern) {
                let registration = self.log.register(pattern, &self.woken);
                let registered = (pattern.clone(), registration);
                self.registrations.insert(index, registered);
                added.push(pattern.clone());
            }
        }
        let begin = match self.begin(&patterns, start).await {
            Ok(begin) => begin,
            Err(error) => {
                added.iter().for_each(|pattern| self.release(pattern));
                return Err(error);
            }
        };
        let resumed = matches!(start, StartAt::After(_)) && begin.gap.is_none();
        self.halfway = None;
        self.is_at_end = false;
        self.state
            .subscribe(&patterns, begin.after, begin.told, begin.gap);
        Ok(Subscribed {
            cursor: self.state.cursor(),
            resumed,
        })
    }

    /// Takes patterns away: no event of them is delivered afterwards.
    pub fn unsubscribe(&mut self, patterns: &[Pattern]) {
        self.halfway = None;
        self.is_at_end = false;
        for pattern in patterns {
            if self.state.unsubscribe(pattern) {
                self.release(pattern);
            }
        }
    }

    /// Everything that matches after the cursor, up to the bounds; waits at the end of the log.
    ///
    /// Reading and registering to be woken are one step: no event can fall between them.
    ///
    /// # Errors
    /// The engine could not be read. The cursor stays where it was.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing: the cursor moves only with a batch that was returned.
    pub async fn next(&mut self) -> Result<Batch, ReadError> {
        loop {
            if !std::mem::take(&mut self.is_at_end)
                && let Some(batch) = self.read(None).await?
            {
                return Ok(batch);
            }
            self.woken.wait().await;
        }
    }

    /// Like [`Session::next`], but comes back after this time; zero: as soon as one read was made. A batch
    /// without events is given when the time is over and there is more to look through.
    ///
    /// # Errors
    /// The engine could not be read. The cursor stays where it was.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub async fn next_within(&mut self, wait: Duration) -> Result<Option<Batch>, ReadError> {
        let deadline = Instant::now() + wait;
        loop {
            // Taken in any case: the read below clears the flag of the wake-up, and may fail.
            let is_at_end = std::mem::take(&mut self.is_at_end);
            if (wait.is_zero() || !is_at_end)
                && let Some(batch) = self.read(Some(deadline)).await?
            {
                return Ok(Some(batch));
            }
            let woken = self.woken.wait();
            if wait.is_zero() || tokio::time::timeout_at(deadline, woken).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// What is ready. `None`: the end of the log.
    async fn read(&mut self, deadline: Option<Instant>) -> Result<Option<Batch>, ReadError> {
        self.woken.clear();
        if let Some(read) = self.read_window() {
            return Ok(read);
        }
        // Rare and large.
        Box::pin(self.read_on(deadline)).await
    }

    /// What is ready, for a session with one pattern whose next events the window has. `None`: it takes more.
    fn read_window(&mut self) -> Option<Option<Batch>> {
        let after = self.state.alone().filter(|_| !self.options.conflate)?;
        let (_, registration) = self.registrations.first()?;
        let want = Want::all_after(after);
        let got = self.look_into_window(&[registration], &want, self.bounds())?;
        let is_at_end = got.at_end;
        let batch = self.state.absorb(&want, got);
        self.is_at_end = is_at_end && batch.is_some();
        (is_at_end || batch.is_some()).then_some(batch)
    }

    /// What is ready, look by look. Where a long part of the log does not match, each look brings the cursor
    /// further, and the deadline may end it in between.
    async fn read_on(&mut self, deadline: Option<Instant>) -> Result<Option<Batch>, ReadError> {
        loop {
            let (want, got) = if self.options.conflate {
                self.look_ahead(deadline).await?
            } else {
                let want = self.state.want();
                let got = self.look(&want, self.bounds()).await?;
                (want, got)
            };
            // Where the read was for a part of the log only, what follows that part may be ready.
            let is_end_of_log = got.at_end && got.examined < want.to;
            let more = got.more;
            if let Some(batch) = self.state.absorb(&want, got) {
                self.is_at_end = is_end_of_log;
                return Ok(Some(batch));
            }
            if is_end_of_log {
                return Ok(None);
            }
            if more && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(Some(Batch {
                    gap: None,
                    events: Events::default(),
                    cursor: self.state.cursor(),
                    more,
                    skipped: 0,
                }));
            }
        }
    }

    /// Reads for a session that conflates: it looks on beyond what fits into a batch. The deadline ends
    /// it where nothing is found.
    ///
    /// # Cancel safety
    /// What was seen stays in the session; its turn is given back.
    async fn look_ahead(&mut self, deadline: Option<Instant>) -> Result<(Want, Got), ReadError> {
        loop {
            let begin = || {
                Box::new(Halfway {
                    ahead: self.state.look_ahead(Reach::FAR),
                    forgets: self.log.forgets(),
                    turn: None,
                })
            };
            let want = self.halfway.get_or_insert_with(begin).ahead.want();
            let got = self.look(&want, LOOK).await?;
            let Some(mut halfway) = self.halfway.take() else {
                continue;
            };
            if self.log.forgets() != halfway.forgets {
                // What was seen may be gone, and nobody gets what was forgotten.
                continue;
            }
            let is_from_engine = got.evictions.is_some();
            let is_over = got.events.is_empty()
                && deadline.is_some_and(|deadline| deadline <= Instant::now());
            let goes_on = self.state.look_on(&mut halfway.ahead, got);
            // Nobody waits for a turn: whoever holds one may be slow. Without it this look is the read.
            if is_from_engine && halfway.turn.is_none() {
                halfway.turn = AHEAD.try_acquire().ok();
            }
            if goes_on && !is_over && (halfway.turn.is_some() || !is_from_engine) {
                self.halfway = Some(halfway);
                // Looks into the window never wait by themselves: others have their turn in between.
                tokio::task::yield_now().await;
            } else {
                let options = &self.options;
                let (events, bytes) = (options.batch_max_events, options.batch_max_bytes);
                return Ok(halfway.ahead.finish(events, bytes));
            }
        }
    }

    /// Looks into the window, and into the engine where the window does not reach.
    async fn look(&self, want: &Want, bounds: LookBounds) -> Result<Got, ReadError> {
        if want.patterns.is_empty() {
            // Nothing can match: the position follows the head, or the place where a pattern joins.
            return Ok(Got {
                examined: self.engine.head(),
                at_end: true,
                ..Got::default()
            });
        }
        let held: Vec<&Registration> = want
            .patterns
            .iter()
            .filter_map(|pattern| self.registration(pattern))
            .collect();
        match self.look_into_window(&held, want, bounds) {
            Some(got) => Ok(got),
            None => self.look_into_engine(want, bounds).await,
        }
    }

    /// `None`: only the engine knows.
    fn look_into_window(
        &self,
        held: &[&Registration],
        want: &Want,
        bounds: LookBounds,
    ) -> Option<Got> {
        let wanted = Wanted {
            after: want.after,
            to: want.to,
            max_events: bounds.max_events,
            max_bytes: bounds.max_bytes,
        };
        match self.log.read(held, wanted) {
            WindowRead::Events {
                events,
                examined,
                at_end,
            } => Some(Got {
                events,
                examined,
                at_end,
                more: !at_end,
                ..Got::default()
            }),
            WindowRead::Behind => None,
        }
    }

    async fn look_into_engine(&self, want: &Want, bounds: LookBounds) -> Result<Got, ReadError> {
        let page = self.engine.read(Read {
            patterns: want.patterns.clone(),
            after: want.after,
            before: want.to.saturating_add(1),
            descending: false,
            told: want.told.clone(),
            max_events: bounds.max_events,
            max_bytes: bounds.max_bytes,
        });
        let page = page.await?;
        Ok(Got {
            events: page.events.into(),
            examined: page.examined,
            // The engine's end is not yet the log's: the next look is into the window.
            at_end: false,
            more: !page.at_end,
            lost: page.lost,
            evictions: Some(page.evictions),
            ..Got::default()
        })
    }

    fn bounds(&self) -> LookBounds {
        LookBounds {
            max_events: self.options.batch_max_events,
            max_bytes: self.options.batch_max_bytes,
        }
    }

    async fn begin(&mut self, patterns: &[Pattern], start: StartAt) -> Result<Begin, ReadError> {
        let seek = |seek| self.engine.seek(patterns.to_vec(), seek);
        let head = self.engine.head();
        let (after, told, gap) = match start {
            StartAt::Now | StartAt::Last(0) => (head, 0, None),
            StartAt::Start => {
                let sought = seek(Seek::Oldest).await?;
                (sought.after, sought.evictions, None)
            }
            StartAt::Last(count) => {
                let sought = seek(Seek::Newest(count as usize)).await?;
                (sought.after, sought.evictions, None)
            }
            StartAt::After(asked) if asked.epoch != self.engine.epoch() => {
                let sought = seek(Seek::Oldest).await?;
                let gap = self.gap(patterns, asked, sought.after, GapReason::Epoch);
                (sought.after, sought.evictions, Some(gap))
            }
            StartAt::After(asked) if asked.place > head => {
                let gap = self.gap(patterns, asked, head, GapReason::Unknown);
                (head, 0, Some(gap))
            }
            StartAt::After(asked) => return self.resume(patterns, asked).await,
        };
        Ok(Begin { after, told, gap })
    }

    /// Begins after a cursor of this log. The engine is asked only where the window may not know all.
    async fn resume(&mut self, patterns: &[Pattern], asked: Cursor) -> Result<Begin, ReadError> {
        let held = patterns
            .iter()
            .filter_map(|pattern| self.registration(pattern));
        let held: Vec<&Registration> = held.collect();
        let mut begin = Begin {
            after: asked.place,
            told: 0,
            gap: None,
        };
        if self.log.has_all_after(&held, asked.place) {
            return Ok(begin);
        }
        // Only whether something is lost, and where it goes on then.
        let page = self.engine.read(Read {
            patterns: patterns.to_vec(),
            after: asked.place,
            before: u64::MAX,
            descending: false,
            told: vec![0; patterns.len()],
            max_events: 1,
            max_bytes: 1,
        });
        let page = page.await?;
        if !page.lost.is_empty() {
            begin.after = continues_after(&page.events, page.examined);
            begin.told = page.evictions;
            begin.gap = Some(self.gap(&page.lost, asked, begin.after, GapReason::Evicted));
        }
        Ok(begin)
    }

    fn gap(
        &self,
        lost: &[Pattern],
        asked: Cursor,
        continues: u64,
        reason: GapReason,
    ) -> (Gap, Cursor) {
        let gap = Gap {
            topics: lost.iter().map(ToString::to_string).collect(),
            after: asked.to_string(),
            cursor: Cursor::new(self.engine.epoch(), continues).to_string(),
            reason,
        };
        (gap, asked)
    }

    fn release(&mut self, pattern: &Pattern) {
        if let Ok(index) = self.registered(pattern) {
            let (_, registration) = self.registrations.remove(index);
            self.log.release(&registration);
        }
    }

    fn registration(&self, pattern: &Pattern) -> Option<&Registration> {
        let index = self.registered(pattern).ok()?;
        Some(&self.registrations[index].1)
    }

    /// Where the pattern stands among the registrations, or where it would.
    fn registered(&self, pattern: &Pattern) -> Result<usize, usize> {
        self.registrations
            .binary_search_by(|(registered, _)| registered.cmp(pattern))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for (_, registration) in &self.registrations {
            self.log.release(registration);
        }
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sessions that look ahead out of the engine at a time. With what [`Reach`] lets each of them keep: 32 MiB.
const AHEAD_MAX: usize = 8;
static AHEAD: Semaphore = Semaphore::const_new(AHEAD_MAX);
/// One look of a session that conflates: what the log's lock or a page of the engine is held for, whatever
/// a batch may have.
const LOOK: LookBounds = LookBounds {
    max_events: 512,
    max_bytes: 256 << 10,
};

#[cfg(test)]
mod tests;
