//! When a session ends because its token does.
//!
//! Shape: the moment of one session, by the wall clock, and the moment by the monotonic clock at which to look again.
//! Unit: milliseconds since the Unix epoch. `exp`, the leeway, and up to [`SPREAD`] more, drawn for each session, so that
//! thousands of tokens with one `exp` do not end, and come back, at once.
//! Bound: nothing that was published later is delivered: it is looked at before each delivery too. An idle session sees a
//! step of the wall clock at its next heartbeat.
//! Source: protocol section 7; hazards part 1 row 8, part 2 rows 11 and 30.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::Identity;
use crate::drain::{millis, spread};

/// The end of one session's token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    /// `None`: it has no end.
    end_ms: Option<NonZeroU64>,
    /// When that is, as far as the clocks agree.
    due: Option<Instant>,
}

impl Expiry {
    /// Of a session of this identity.
    pub(super) fn of(identity: &Identity, leeway: Duration) -> Self {
        let end_ms = identity.expires().map(|seconds| {
            seconds
                .saturating_mul(1000)
                .saturating_add(millis(leeway))
                .saturating_add(spread(Duration::ZERO, SPREAD))
        });
        let mut expiry = Self {
            end_ms: end_ms.and_then(NonZeroU64::new),
            due: None,
        };
        expiry.look_again();
        expiry
    }

    /// Whether the session must end now.
    pub(crate) fn has_come(&self) -> bool {
        self.end_ms.is_some_and(|end| end.get() <= now_ms())
    }

    /// When to look whether it has come.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Follows the wall clock, which may have been set.
    pub(crate) fn look_again(&mut self) {
        self.due = self.end_ms.map(|end| {
            let left = Duration::from_millis(end.get().saturating_sub(now_ms()));
            Instant::now() + left.min(FAR)
        });
    }

    /// A wait that does not go on beyond it.
    pub(crate) fn within(&self, wait: Duration) -> Duration {
        self.end_ms.map_or(wait, |end| {
            wait.min(Duration::from_millis(end.get().saturating_sub(now_ms())))
        })
    }
}

/// Whether a token with this `exp` is over.
pub(super) fn is_over(expires: Option<u64>, leeway: Duration) -> bool {
    let end_ms = |seconds: u64| seconds.saturating_mul(1000).saturating_add(millis(leeway));
    expires.is_some_and(|seconds| end_ms(seconds) < now_ms())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, millis)
}

/// Over how long the ends of sessions are spread.
const SPREAD: Duration = Duration::from_secs(2);
/// Far enough not to be waited for, near enough for arithmetic with moments.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{identity::TokenFacts, rights::Rights};

    fn expiry(expires: u64) -> Expiry {
        let facts = TokenFacts {
            subject: "u1".into(),
            token_id: None,
            issued: None,
            expires,
        };
        let identity = Identity::of_token(facts, Rights::default());
        Expiry::of(&identity, Duration::from_secs(5))
    }

    fn now() -> u64 {
        now_ms() / 1000
    }

    #[test]
    fn a_session_ends_after_exp_and_leeway_and_at_most_two_seconds_more() {
        assert!(expiry(now() - 8).has_come());
        assert!(!expiry(now()).has_come());
        let left = expiry(now() + 100).within(Duration::from_secs(3600));
        assert!((Duration::from_secs(103)..=Duration::from_secs(107)).contains(&left));
    }

    /// Goal: thousands of tokens with one `exp` do not end together. Method: the ends of 10,000 sessions, counted by tenths of
    /// a second; 500 are to be expected in each, and chance alone does not come near the bounds.
    #[test]
    fn the_ends_of_thousands_of_sessions_with_one_exp_are_spread_evenly() {
        let exp = 2_000_000_000;
        let mut ends_in = [0; 20];
        for _ in 0..10_000 {
            let end_ms = expiry(exp).end_ms.unwrap().get();
            let late_ms = end_ms - (exp + 5) * 1000;
            ends_in[usize::try_from(late_ms / 100).unwrap().min(19)] += 1;
        }
        let is_fair = |count: &i32| (250..=1000).contains(count);
        assert!(ends_in.iter().all(is_fair), "{ends_in:?}");
    }

    #[test]
    fn without_an_end_nothing_comes_and_a_far_one_is_no_trouble() {
        let anonymous = Identity::anonymous(Rights::default());
        let endless = Expiry::of(&anonymous, Duration::ZERO);
        assert!(!endless.has_come() && endless.due().is_none());
        assert_eq!(endless.within(FAR), FAR);
        let far = expiry(u64::MAX);
        assert!(!far.has_come() && far.due().is_some());
        assert!(!is_over(Some(u64::MAX), FAR));
    }
}
