//! Which transport to try next.
//!
//! Shape: a list of transports and the place in it; no I/O, the clock is passed in.
//! Unit: a transport counts by what it proved, not by having opened: a proxy may let it open and deliver nothing.
//! Bound: what was proved is remembered for `REMEMBERED`, then the list starts at its head again.
//! Failure: at the end of the list the caller waits and starts at its head.
//! Source: protocol section 3; field knowledge about transports that open and stay mute.

use std::time::Duration;

use tokio::time::Instant;

use crate::transport::{Transport, TransportChoice};

/// The order of transports and how they have done.
#[derive(Debug)]
pub(crate) struct Fallback {
    order: &'static [Transport],
    current: usize,
    /// When the current transport last proved itself, for how long to stay with it.
    proved_at: Option<Instant>,
    /// Connections in a row that proved themselves and died young, without a word from the server.
    short_lives: u32,
}

impl Fallback {
    pub(crate) fn new(choice: TransportChoice) -> Fallback {
        Fallback {
            order: match choice {
                TransportChoice::Auto => &[Transport::WebSocket, Transport::Sse, Transport::Poll],
                TransportChoice::WebSocket => &[Transport::WebSocket],
                TransportChoice::Sse => &[Transport::Sse],
                TransportChoice::Poll => &[Transport::Poll],
            },
            current: 0,
            proved_at: None,
            short_lives: 0,
        }
    }

    /// The transport to try now. One that stands back in the list is kept as long as it is remembered.
    pub(crate) fn pick(&mut self, now: Instant) -> Transport {
        let forgotten = self
            .proved_at
            .is_some_and(|at| now.saturating_duration_since(at) > REMEMBERED);
        if forgotten {
            self.proved_at = None;
            self.current = 0;
        }
        self.current()
    }

    /// The transport that is in use or being tried.
    pub(crate) fn current(&self) -> Transport {
        self.order[self.current]
    }

    /// Whether another transport follows in the list.
    pub(crate) fn has_next(&self) -> bool {
        self.current + 1 < self.order.len()
    }

    /// The current transport has shown that it delivers.
    pub(crate) fn proved(&mut self, now: Instant) {
        self.proved_at = Some(now);
    }

    /// A proven connection ended. Several that die young in a row count like one without proof:
    /// something in between lets them open and cuts them.
    ///
    /// True when the next transport is to be tried at once.
    pub(crate) fn ended(&mut self, lived: Duration, told_why: bool) -> bool {
        if told_why || lived >= SHORT_LIFE {
            self.short_lives = 0;
            return false;
        }
        self.short_lives += 1;
        self.short_lives >= SHORT_LIVES_MAX && self.advance()
    }

    /// The current transport did not prove itself: the next one's turn.
    ///
    /// False at the end of the list, which starts at its head again after a pause.
    pub(crate) fn advance(&mut self) -> bool {
        self.proved_at = None;
        self.short_lives = 0;
        let more = self.has_next();
        self.current = if more { self.current + 1 } else { 0 };
        more
    }
}

/// How long a transport that proved itself is tried first.
const REMEMBERED: Duration = Duration::from_secs(600);
/// A connection that ends sooner, without a `bye`, died young.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// So many in a row, and the next transport is tried.
const SHORT_LIVES_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_follow_each_other_and_start_again() {
        let mut fallback = Fallback::new(TransportChoice::Auto);
        assert_eq!(fallback.current(), Transport::WebSocket);
        assert!(fallback.advance());
        assert_eq!(fallback.current(), Transport::Sse);
        assert!(fallback.advance());
        assert_eq!(fallback.current(), Transport::Poll);
        assert!(!fallback.has_next());
        assert!(!fallback.advance());
        assert_eq!(fallback.current(), Transport::WebSocket);
    }

    #[test]
    fn a_chosen_transport_has_no_successor() {
        let mut fallback = Fallback::new(TransportChoice::Sse);
        assert!(!fallback.has_next());
        assert!(!fallback.advance());
        assert_eq!(fallback.current(), Transport::Sse);
    }

    #[test]
    fn a_proven_transport_is_kept_for_a_while_only() {
        let start = Instant::now();
        let mut fallback = Fallback::new(TransportChoice::Auto);
        fallback.advance();
        fallback.proved(start);
        assert_eq!(fallback.pick(start + REMEMBERED), Transport::Sse);
        let later = start + REMEMBERED + Duration::from_secs(1);
        assert_eq!(fallback.pick(later), Transport::WebSocket);
    }

    #[test]
    fn connections_that_die_young_count_as_no_proof() {
        let mut fallback = Fallback::new(TransportChoice::Auto);
        let young = Duration::from_secs(1);
        assert!(!fallback.ended(young, false));
        assert!(!fallback.ended(young, false));
        assert!(fallback.ended(young, false));
        assert_eq!(fallback.current(), Transport::Sse);
    }

    #[test]
    fn a_long_life_or_a_bye_is_no_failure_of_the_transport() {
        let mut fallback = Fallback::new(TransportChoice::Auto);
        for _ in 0..9 {
            assert!(!fallback.ended(Duration::from_secs(1), true));
            assert!(!fallback.ended(Duration::from_secs(60), false));
            assert!(!fallback.ended(Duration::from_secs(1), false));
        }
        assert_eq!(fallback.current(), Transport::WebSocket);
    }
}
