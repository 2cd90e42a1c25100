//! How long to wait before the next try.
//!
//! Shape: full jitter, that is a random part of a window that doubles with each failure, behind a floor.
//! Unit: `Duration`; the random number is passed in, so that a test decides it.
//! Bound: the window grows from `min` to `max`; a floor counts up to one hour.
//! Failure: none.
//! Source: protocol section 3 (`retry`, `retry_ms`) and section 6 (`Retry-After`).

use std::time::Duration;

/// The waits between tries that fail in a row.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    /// Failures since the last success; each doubles the window.
    failures: u32,
}

impl Backoff {
    /// Windows from `min` to `max`; a `max` below `min` counts as `min`.
    pub fn new(min: Duration, max: Duration) -> Backoff {
        Backoff {
            min,
            max: max.max(min),
            failures: 0,
        }
    }

    /// The wait after one more failure: `floor`, and a random part of the window on top, so that
    /// clients that were sent away together do not come back together.
    ///
    /// `random` is a number from 0 to 1.
    pub fn next(&mut self, floor: Duration, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let window = self.min.saturating_mul(doubled).min(self.max);
        floor.min(FLOOR_MAX) + window.mul_f64(random.clamp(0.0, 1.0))
    }

    /// The last try was a success: the next failure waits in the smallest window again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

impl Default for Backoff {
    /// From half a second to half a minute.
    fn default() -> Backoff {
        Backoff::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

/// A server may ask for a longer pause, but not for one that looks like a client that hangs.
const FLOOR_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(count: usize) -> Vec<u128> {
        let mut backoff = Backoff::default();
        (0..count)
            .map(|_| backoff.next(Duration::ZERO, 1.0).as_millis())
            .collect()
    }

    #[test]
    fn the_window_doubles_up_to_its_bound() {
        assert_eq!(
            windows(8),
            [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        );
    }

    #[test]
    fn the_wait_is_a_random_part_of_the_window() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(Duration::ZERO, 0.0), Duration::ZERO);
        assert_eq!(
            backoff.next(Duration::ZERO, 0.25),
            Duration::from_millis(250)
        );
    }

    #[test]
    fn a_floor_is_never_undercut_and_still_spread() {
        let floor = Duration::from_millis(1730);
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(floor, 0.0), floor);
        assert_eq!(backoff.next(floor, 0.5), floor + Duration::from_millis(500));
    }

    #[test]
    fn a_success_starts_again_with_the_smallest_window() {
        let mut backoff = Backoff::default();
        for _ in 0..200 {
            backoff.next(Duration::ZERO, 1.0);
        }
        backoff.reset();
        assert_eq!(
            backoff.next(Duration::ZERO, 1.0),
            Duration::from_millis(500)
        );
    }

    #[test]
    fn an_absurd_floor_and_odd_numbers_do_no_harm() {
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(1));
        let wait = backoff.next(Duration::MAX, f64::NAN.max(7.0));
        assert_eq!(wait, Duration::from_secs(3605));
    }
}
