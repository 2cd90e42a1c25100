//! What a subscription knows across its connections: where it is, what it has had, how to go on.
//!
//! Shape: a state machine without I/O. Frames, ends of connections, the clock and a random number go in; items
//! and the next step come out. `subscription.rs` is the shell around it.
//! Unit: the cursor moves only with what was handed over. Bound: `seen.rs` for ids, `backoff.rs` for waits.
//! Failure: what cannot get better by trying again ends the subscription with its error.
//! Source: protocol sections 3 and 8.

use std::time::Duration;

use tidewire_protocol::{Gap, ReceivedEvent, Retry};
use tokio::time::Instant;

use crate::{
    backoff::Backoff,
    error::ClientError,
    fallback::Fallback,
    request::Start,
    seen::Seen,
    transport::{Frame, Opened, Transport, TransportChoice},
};

/// What a subscription hands over.
#[derive(Debug, Clone)]
pub enum Item {
    /// One event; none comes twice.
    Event(ReceivedEvent),
    /// Events that matched and can no longer be delivered. Delivery goes on.
    Gap(Gap),
    /// A session is open.
    Connected {
        /// What carries it.
        transport: Transport,
        /// Where it stands, if that is known before the first event.
        cursor: Option<String>,
        /// It goes on where the former one was, and nothing was lost.
        resumed: bool,
    },
    /// The session's connection ended or did not come about; the subscription goes on by itself.
    Disconnected {
        /// Which transport failed and how.
        reason: String,
        /// The pause before the next try.
        retry_in: Duration,
    },
}

/// The next connection to make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) transport: Transport,
    pub(crate) start: Start,
    /// Time until the connection must have shown that it delivers.
    pub(crate) limit: Duration,
}

/// What follows the end of a connection.
#[derive(Debug)]
pub(crate) enum Step {
    /// Wait, then make the next connection.
    Again { reason: String, wait: Duration },
    /// It is over.
    End(ClientError),
}

#[derive(Debug)]
pub(crate) struct State {
    /// What was asked for; it counts until there is a cursor.
    start: Start,
    cursor: Option<String>,
    /// A cursor was given and not resumed: until the gap has come, no other place is safe.
    gap_owed: bool,
    seen: Seen,
    backoff: Backoff,
    fallback: Fallback,
    /// When the present connection proved itself.
    proved_at: Option<Instant>,
    heartbeat: Duration,
    /// The pause that the gateway asked for with `retry:`.
    retry_floor: Duration,
}

impl State {
    pub(crate) fn new(choice: TransportChoice, start: Start, backoff: Backoff) -> State {
        let cursor = match &start {
            Start::After(cursor) => Some(cursor.clone()),
            Start::Now | Start::Oldest | Start::Last(_) => None,
        };
        State {
            start,
            cursor,
            gap_owed: false,
            seen: Seen::default(),
            backoff,
            fallback: Fallback::new(choice),
            proved_at: None,
            heartbeat: HEARTBEAT,
            retry_floor: Duration::ZERO,
        }
    }

    /// A place from which everything that was not handed over comes again.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The connection to make now.
    pub(crate) fn attempt(&mut self, now: Instant) -> Attempt {
        self.gap_owed = false;
        self.proved_at = None;
        let transport = self.fallback.pick(now);
        let start = match &self.cursor {
            Some(cursor) => Start::After(cursor.clone()),
            None => self.start.clone(),
        };
        let limit = match self.fallback.has_next() {
            true => PROOF_LIMIT,
            false => LAST_PROOF_LIMIT,
        };
        Attempt {
            transport,
            start,
            limit,
        }
    }

    /// The connection has shown that it delivers.
    pub(crate) fn proved(&mut self, now: Instant) {
        self.proved_at = Some(now);
        self.fallback.proved(now);
    }

    /// How long the connection may be silent: two heartbeats.
    pub(crate) fn patience(&self) -> Duration {
        self.heartbeat * 2
    }

    /// Takes a frame in; gives what is to be handed over.
    pub(crate) fn receive(&mut self, frame: Frame) -> Option<Item> {
        match frame {
            Frame::Hello(opened) => Some(self.opened(opened)),
            Frame::Event(event) => {
                self.gap_owed = false;
                if !self.seen.insert(&event.id) {
                    return None;
                }
                self.cursor = Some(event.id.clone());
                Some(Item::Event(event))
            }
            Frame::Gap(gap) => {
                self.gap_owed = false;
                self.cursor = Some(gap.cursor.clone());
                Some(Item::Gap(gap))
            }
            Frame::Heartbeat { cursor } => {
                if !self.gap_owed {
                    self.cursor = Some(cursor);
                }
                None
            }
            Frame::Retry(pause) => {
                self.retry_floor = pause;
                None
            }
            Frame::Bye { .. } | Frame::Alive => None,
        }
    }

    /// A connection ended, or did not come about.
    pub(crate) fn ended(&mut self, error: ClientError, now: Instant, random: f64) -> Step {
        let transport = self.fallback.current();
        let lived = self
            .proved_at
            .take()
            .map(|at| now.saturating_duration_since(at));
        let next_at_once = match lived {
            _ if error.is_verdict() => false,
            Some(lived) => {
                let bye = matches!(error, ClientError::Closed { bye: true, .. });
                self.fallback.ended(lived, bye)
            }
            None => self.unproven(&error),
        };
        if !next_at_once && error.retry() == Retry::Never {
            return Step::End(error);
        }
        if lived.is_some_and(|lived| lived >= STEADY) {
            self.backoff.reset();
        }
        let wait = match next_at_once {
            true => Duration::ZERO,
            false => {
                let floor = error.retry_after().max(self.retry_floor);
                self.backoff.next(floor, random)
            }
        };
        self.retry_floor = Duration::ZERO;
        Step::Again {
            reason: format!("{transport}: {error}"),
            wait,
        }
    }

    /// Goes on over another transport, from the same cursor.
    pub(crate) fn switch(&mut self, choice: TransportChoice) {
        self.fallback = Fallback::new(choice);
        self.backoff.reset();
        self.retry_floor = Duration::ZERO;
        self.proved_at = None;
    }

    fn opened(&mut self, opened: Opened) -> Item {
        let heartbeat = opened.heartbeat.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX);
        self.heartbeat = heartbeat;
        self.gap_owed = self.cursor.is_some() && !opened.resumed;
        if self.cursor.is_none() {
            self.cursor.clone_from(&opened.cursor);
        }
        Item::Connected {
            transport: self.fallback.current(),
            cursor: opened.cursor,
            resumed: opened.resumed,
        }
    }

    /// True when the next transport is worth a try at once: not when nobody is there at all.
    fn unproven(&mut self, error: &ClientError) -> bool {
        match error {
            ClientError::Unreachable(_) | ClientError::Certificate(_) => false,
            ClientError::Url { .. }
            | ClientError::Trust(_)
            | ClientError::Lost(_)
            | ClientError::Silent(_)
            | ClientError::Refused { .. }
            | ClientError::Closed { .. }
            | ClientError::Protocol(_)
            | ClientError::GaveUp { .. } => self.fallback.advance(),
        }
    }
}

/// How long a transport may take to prove itself while there is another one to try.
const PROOF_LIMIT: Duration = Duration::from_secs(5);
/// The same for the last one, where giving up early gains nothing.
const LAST_PROOF_LIMIT: Duration = Duration::from_secs(15);
/// A connection that lived so long after its proof makes the next failure a first one.
const STEADY: Duration = Duration::from_secs(10);
/// Protocol section 10; it counts until `hello` says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A heartbeat below this could not be told from a busy machine.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// A heartbeat above this would leave a dead connection unnoticed for hours.
const HEARTBEAT_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
