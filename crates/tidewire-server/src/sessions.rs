//! Who is connected: one entry for each open session, and the one signal that ends it.
//!
//! Shape: [`Sessions`] is the list, in the order of opening; a session holds its [`Entry`] and waits for it beside its
//! log. Whoever ends sessions from outside (an operator, the drain) finds entries in the list and signals them.
//! Unit: sessions of all transports; a held poll is one while it is held.
//! Bound: as many as `sessions_total`. An entry shares the text of its topics with the session.
//! Failure: none. A session that ends takes its entry along.
//! Source: protocol section 9; hazards part 1 row 9.
//!
//! **Invariant.** Nothing that is done for an event takes the list's lock: a signal is two atomics and a waker.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    ops::Bound,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::task::AtomicWaker;
use tidewire_protocol::{CloseReason, Pattern};

use crate::{auth::Identity, listener::Peer, transport::Transport};

/// The open sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Std mutex: held for one map access, or for a copy of [`PAGE`] pointers; never across an await.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// The number of the newest. Given under the lock, so that no page passes one by that is not there yet.
    last: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
}

/// One open session.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its place in the order of opening, from 1.
    number: u64,
    pub(crate) transport: Transport,
    pub(crate) peer: Peer,
    /// When it opened, in milliseconds since the Unix epoch.
    since_ms: u64,
    /// What may change while it lasts. Std mutex: held for a copy, never across an await.
    what: Mutex<What>,
    /// The close code with which it is to end; 0 while it may go on.
    stop: AtomicU16,
    /// It is over at once, whatever is under way.
    cut: AtomicBool,
    /// The one task that carries the session.
    waker: AtomicWaker,
}

#[derive(Debug)]
struct What {
    identity: Identity,
    /// As the client is told in `hello`.
    session: [u8; SESSION_ID_BYTES],
    topics: Box<[Pattern]>,
}

/// An entry as it is at one moment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) session: String,
    pub(crate) identity: Identity,
    pub(crate) topics: Box<[Pattern]>,
    pub(crate) since_ms: u64,
}

impl Sessions {
    /// Adds a session. It stays until [`Sessions::close`].
    pub(crate) fn open(&self, transport: Transport, peer: Peer, identity: Identity) -> Arc<Entry> {
        let since_ms = now_ms();
        let mut open = self.lock();
        open.last += 1;
        let entry = Arc::new(Entry {
            number: open.last,
            transport,
            peer,
            since_ms,
            what: Mutex::new(What {
                identity,
                session: [b'-'; SESSION_ID_BYTES],
                topics: Box::default(),
            }),
            stop: AtomicU16::new(0),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        open.entries.insert(entry.number, Arc::clone(&entry));
        entry
    }

    /// Takes a session out of the list.
    pub(crate) fn close(&self, entry: &Entry) {
        self.lock().entries.remove(&entry.number);
    }

    /// The next sessions after this number, in order; none: the end of the list.
    ///
    /// Sessions come and go between two pages. One that is there the whole time is in exactly one page.
    pub(crate) fn page(&self, after: u64) -> Vec<Arc<Entry>> {
        let open = self.lock();
        let rest = open
            .entries
            .range((Bound::Excluded(after), Bound::Unbounded));
        rest.take(PAGE)
            .map(|(_, entry)| Arc::clone(entry))
            .collect()
    }

    /// Signals every session that fits, and says how many those were.
    pub(crate) fn stop(&self, reason: CloseReason, fits: impl Fn(&Entry) -> bool) -> usize {
        let mut stopped = 0;
        self.each(|entry| {
            if fits(entry) && entry.end(reason) {
                stopped += 1;
            }
        });
        stopped
    }

    /// Cuts what has not ended.
    pub(crate) fn cut(&self) {
        self.each(Entry::cut);
    }

    /// Every session, page by page: nobody waits longer for the lock than a page takes.
    pub(crate) fn each(&self, mut look: impl FnMut(&Entry)) {
        let mut after = 0;
        loop {
            let page = self.page(after);
            let Some(last) = page.last() else {
                return;
            };
            after = last.number;
            page.iter().for_each(|entry| look(entry));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Its place in the order of opening.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Who it is, and what it reads, at this moment.
    pub(crate) fn seen(&self) -> Seen {
        let what = self.lock();
        Seen {
            session: String::from_utf8_lossy(&what.session).into_owned(),
            identity: what.identity.clone(),
            topics: what.topics.clone(),
            since_ms: self.since_ms,
        }
    }

    /// Whether what it is now fits.
    pub(crate) fn is(&self, fits: impl Fn(&Identity, &str) -> bool) -> bool {
        let what = self.lock();
        fits(
            &what.identity,
            std::str::from_utf8(&what.session).unwrap_or_default(),
        )
    }

    /// Somebody has said who it is.
    pub(crate) fn identify(&self, identity: &Identity) {
        self.lock().identity = identity.clone();
    }

    /// What it reads now, and its name as the client is told.
    pub(crate) fn reads(&self, session: &str, topics: &[Pattern]) {
        let topics = topics.into();
        let mut what = self.lock();
        what.topics = topics;
        if let Ok(session) = session.as_bytes().try_into() {
            what.session = session;
        }
    }

    /// Ends it with this reason, unless it ends already; true: it does by this call.
    pub(crate) fn end(&self, reason: CloseReason) -> bool {
        let first = self
            .stop
            .compare_exchange(0, reason.code(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        self.waker.wake();
        first
    }

    /// Ends it at once, whatever is under way.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Why it is to end, if it is. After `Some` nothing may be delivered any more.
    pub(crate) fn ending(&self) -> Option<CloseReason> {
        match self.stop.load(Ordering::Acquire) {
            0 => None,
            code => CloseReason::from_code(code),
        }
    }

    /// Waits until it is to end. Only the task that carries the session waits.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing: the signal stays.
    pub(crate) async fn ended(&self) -> CloseReason {
        poll_fn(|context| self.look(context, Self::ending)).await
    }

    /// Waits until it is cut. Cancel safe, like [`Entry::ended`].
    pub(crate) async fn was_cut(&self) {
        let is_cut = |entry: &Self| entry.cut.load(Ordering::Acquire).then_some(());
        poll_fn(|context| self.look(context, is_cut)).await;
    }

    fn look<T>(&self, context: &Context<'_>, signal: impl Fn(&Self) -> Option<T>) -> Poll<T> {
        if let Some(found) = signal(self) {
            return Poll::Ready(found);
        }
        self.waker.register(context.waker());
        // It may have been set in between, and nobody was woken then.
        signal(self).map_or(Poll::Pending, Poll::Ready)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, What> {
        self.what.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, crate::drain::millis)
}

/// Of the random name of a session.
const SESSION_ID_BYTES: usize = 16;
/// Entries that are looked at while the list is locked.
const PAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use std::{cell::Cell, task::Waker};

    use super::*;
    use crate::auth::{Identity, rights::Rights};

    fn peer() -> Peer {
        Peer {
            address: ([192, 0, 2, 7], 1).into(),
            is_proxy: false,
            secure: true,
            over_capacity: false,
            too_slow: Arc::default(),
        }
    }

    fn open(sessions: &Sessions) -> Arc<Entry> {
        let nobody = Identity::anonymous(Rights::default());
        sessions.open(Transport::Sse, peer(), nobody)
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_it_ended() {
        let sessions = Sessions::default();
        let entries: Vec<_> = (0..PAGE + 5).map(|_| open(&sessions)).collect();
        sessions.close(&entries[0]);
        let first = sessions.page(0);
        assert_eq!(first.len(), PAGE);
        sessions.close(first.last().unwrap());
        let rest = sessions.page(first.last().unwrap().number);
        assert_eq!(rest.len(), 4);
        let mut seen = 0;
        sessions.each(|_| seen += 1);
        assert_eq!(seen, PAGE + 3);
    }

    #[tokio::test]
    async fn a_signal_reaches_a_session_before_and_while_it_waits() {
        let sessions = Sessions::default();
        let (early, late) = (open(&sessions), open(&sessions));
        let waiting = tokio::spawn({
            let late = Arc::clone(&late);
            async move { late.ended().await }
        });
        // On one thread: it runs until it waits.
        tokio::task::yield_now().await;
        assert_eq!(sessions.stop(CloseReason::Kicked, |_| true), 2);
        assert_eq!(waiting.await.unwrap(), CloseReason::Kicked);
        assert_eq!(early.ended().await, CloseReason::Kicked);
    }

    #[test]
    fn a_signal_that_comes_while_a_session_begins_to_wait_is_not_missed() {
        let entry = open(&Sessions::default());
        let looks = Cell::new(0);
        let comes_in_between = |_: &Entry| {
            looks.set(looks.get() + 1);
            (looks.get() > 1).then_some(())
        };
        let context = Context::from_waker(Waker::noop());
        assert!(entry.look(&context, comes_in_between).is_ready());
    }

    #[tokio::test]
    async fn the_first_reason_stays_and_a_cut_comes_on_top() {
        let sessions = Sessions::default();
        let entry = open(&sessions);
        assert!(entry.end(CloseReason::Kicked));
        assert!(!entry.end(CloseReason::Draining));
        assert_eq!(entry.ending(), Some(CloseReason::Kicked));
        sessions.cut();
        entry.was_cut().await;
    }

    /// Goal: what a session costs here is known. Method: the size of its entry with the counts of its pointer, on 64 bits.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() + 16 <= 184, "{}", size_of::<Entry>());
    }
}
