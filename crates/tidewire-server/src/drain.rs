//! The one orderly stop.
//!
//! Shape: two signals and a count. `begin` says that sessions shall end; `end` says that the time is over; the count
//! tells when the last session has gone. The order of the steps stands in [`crate::Server::run`].
//! Unit: sessions; a request that is no session is waited for by its listener.
//! Bound: `limits.drain_timeout`, then `end`.
//! Failure: a session that does not end in time is cut. Its subscriber resumes by its cursor as after any cut.
//! Source: protocol section 3.3 (4203); hazards, fault 6.

use std::time::Duration;

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The state of the stop; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drain {
    begun: CancellationToken,
    ended: CancellationToken,
    sessions: TaskTracker,
}

impl Drain {
    /// Whether the stop has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits for the stop to begin. Cancel safe.
    pub(crate) async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Whether the time is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Counts a session until the token is dropped.
    pub(crate) fn session(&self) -> TaskTrackerToken {
        self.sessions.token()
    }

    /// Asks all sessions to end.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
        self.sessions.close();
    }

    /// Cancelled when the stop begins.
    pub(crate) fn signal(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Waits for the last session. Only after [`Drain::begin`].
    pub(crate) async fn sessions_gone(&self) {
        self.sessions.wait().await;
    }

    /// Cuts what is left.
    pub(crate) fn end(&self) {
        self.begun.cancel();
        self.sessions.close();
        self.ended.cancel();
    }
}

/// When a client that is sent away should come back: anywhere in a few seconds, so that not all come at once.
pub(crate) fn retry_ms() -> u64 {
    spread(RETRY_MIN, RETRY_MAX)
}

/// A random time between two, in milliseconds. Without randomness: the middle.
pub(crate) fn spread(low: Duration, high: Duration) -> u64 {
    let (low, high) = (millis(low), millis(high));
    let width = high - low;
    match getrandom::u32() {
        Ok(random) => low + u64::from(random) * width / u64::from(u32::MAX),
        Err(_) => low + width / 2,
    }
}

/// A time as milliseconds for the wire.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_millis(4500);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_session_that_goes_ends_the_wait() {
        let drain = Drain::default();
        let session = drain.session();
        assert!(!drain.has_begun());
        drain.begin();
        drain.begun().await;
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.sessions_gone().await }
        });
        drop(session);
        waiting.await.unwrap();
        assert!(!drain.has_ended());
        drain.end();
        assert!(drain.has_ended());
    }

    #[test]
    fn the_retry_times_are_spread_within_their_bounds() {
        let times: Vec<u64> = (0..50).map(|_| retry_ms()).collect();
        assert!(times.iter().all(|time| (500..=4500).contains(time)));
        assert!(times.iter().any(|time| time != &times[0]));
    }
}
