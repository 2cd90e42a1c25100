//! The time, passed in so that tests can move it.
//! Shape: two readings. The wall clock stamps events; the steady clock says how old something is, so a
//! step of the wall clock, forwards or back, makes nothing older or younger.
//! Unit: milliseconds since the Unix epoch.
//! Bound: the steady clock begins at the wall clock's time when it is made, or goes on where it was when
//! a log was last written to; only a step forwards that happens while the gateway is down counts.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// What a clock on the wall shows. It may step.
    pub wall_ms: u64,
    /// For ages and windows. It never steps while the process runs.
    pub steady_ms: u64,
}

/// Reads the time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Now + Send + Sync>);

impl Clock {
    /// The machine's own clocks.
    #[must_use]
    pub fn system() -> Self {
        let (began, began_ms) = (Instant::now(), wall_ms());
        Self(Arc::new(move || Now {
            wall_ms: wall_ms(),
            steady_ms: began_ms.saturating_add(ms(began.elapsed().as_millis())),
        }))
    }

    /// A clock that a test moves: both readings, or one number for both.
    pub fn from_fn<T: Into<Now>>(read: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || read().into()))
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Now {
        (self.0)()
    }

    /// The same clock, its steady reading going on from that of an earlier process. What the wall clock says
    /// has passed since counts; that it has gone back does not.
    pub(crate) fn going_on_from(&self, last: Now) -> Self {
        let began = self.now();
        let passed_ms = began.wall_ms.saturating_sub(last.wall_ms);
        let begin_ms = last.steady_ms.saturating_add(passed_ms);
        let clock = self.clone();
        Self::from_fn(move || {
            let now = clock.now();
            let since_ms = now.steady_ms.saturating_sub(began.steady_ms);
            Now {
                steady_ms: begin_ms.saturating_add(since_ms),
                ..now
            }
        })
    }
}

/// Both clocks show the same.
impl From<u64> for Now {
    fn from(ms: u64) -> Self {
        Self {
            wall_ms: ms,
            steady_ms: ms,
        }
    }
}

fn wall_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| ms(elapsed.as_millis()))
}

fn ms(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
