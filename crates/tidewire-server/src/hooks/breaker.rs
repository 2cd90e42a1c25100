//! A breaker: a backend that fails again and again is left alone for a while.
//!
//! Shape: closed, questions go through; open, they fail at once; after the pause one goes through as a trial. Its success
//! closes the breaker, anything else lets the next trial wait for another pause.
//! Unit: failures in a row, each after its repeats.
//! Bound: `hooks.breaker_failures`, `hooks.breaker_pause`.
//! Failure: a trial that is given up in the middle counts as one that failed.
//! Source: protocol document, "Hooks".

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// See the module. The clock is an argument.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    pause: Duration,
    /// Std mutex: held for a look, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// When the next trial may be made; `None` while closed.
    trial_at: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, pause: Duration) -> Self {
        Self {
            failures_max,
            pause,
            state: Mutex::default(),
        }
    }

    /// Whether a question may be sent now.
    pub(super) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.trial_at {
            None => true,
            Some(at) if at <= now => {
                // The others wait for this one's outcome, or for the next pause if it brings none.
                state.trial_at = Some(now + self.pause);
                true
            }
            Some(_) => false,
        }
    }

    /// The backend has answered.
    pub(super) fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::default();
    }

    /// The backend gave no answer that can be used. True: the breaker opens with this one.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures < self.failures_max {
            return false;
        }
        let was_closed = state.trial_at.is_none();
        state.trial_at = Some(now + self.pause);
        was_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn open(now: Instant) -> Breaker {
        let breaker = Breaker::new(3, PAUSE);
        assert!(!breaker.failed(now) && !breaker.failed(now));
        assert!(breaker.lets_through(now));
        assert!(breaker.failed(now));
        breaker
    }

    #[test]
    fn so_many_failures_in_a_row_open_it() {
        let now = Instant::now();
        let breaker = open(now);
        assert!(!breaker.lets_through(now));
        assert!(!breaker.lets_through(now + PAUSE - Duration::from_millis(1)));
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        let now = Instant::now();
        let breaker = Breaker::new(2, PAUSE);
        for _ in 0..5 {
            assert!(!breaker.failed(now));
            breaker.succeeded();
        }
        assert!(breaker.lets_through(now));
    }

    #[test]
    fn after_the_pause_one_trial_goes_through_and_its_success_closes_it() {
        let later = Instant::now() + PAUSE;
        let breaker = open(later - PAUSE);
        assert!(breaker.lets_through(later));
        assert!(!breaker.lets_through(later));
        breaker.succeeded();
        assert!(breaker.lets_through(later) && breaker.lets_through(later));
    }

    #[test]
    fn a_trial_that_fails_or_brings_nothing_leaves_it_open_for_another_pause() {
        let later = Instant::now() + PAUSE;
        let breaker = open(later - PAUSE);
        assert!(breaker.lets_through(later));
        assert!(!breaker.failed(later));
        assert!(!breaker.lets_through(later));
        assert!(breaker.lets_through(later + PAUSE));
        // This one is never heard of again.
        assert!(!breaker.lets_through(later + PAUSE));
        assert!(breaker.lets_through(later + 2 * PAUSE));
    }
}
