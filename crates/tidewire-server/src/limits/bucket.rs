//! Token buckets: how many events or frames a second somebody may send.
//!
//! Shape: [`Bucket`] is one sender's allowance, without a clock of its own; [`Publishers`] keeps one for each
//! publisher.
//! Unit: whole tokens; a bucket of N fills with N tokens a second and holds N.
//! Bound: [`PUBLISHERS_MAX`] buckets. When all are in use, newcomers share one.
//! Failure: an empty bucket says how long until the next token.
//! Source: protocol section 10, `publishes_per_second`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// One sender's allowance.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Tokens at the time `filled`; a fraction is what has dripped in since the last whole one.
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            tokens: f64::from(per_second),
            filled: now,
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long until there is one.
    pub(crate) fn take(&mut self, per_second: u32, now: Instant) -> Result<(), Duration> {
        self.fill(per_second, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64(
            (1.0 - self.tokens) / f64::from(per_second),
        ))
    }

    fn fill(&mut self, per_second: u32, now: Instant) {
        let rate = f64::from(per_second);
        let waited = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + waited * rate).min(rate);
        self.filled = now;
    }

    fn is_full(&mut self, per_second: u32, now: Instant) -> bool {
        self.fill(per_second, now);
        self.tokens >= f64::from(per_second)
    }
}

/// The allowance of every publisher.
#[derive(Debug)]
pub(crate) struct Publishers {
    per_second: u32,
    /// Std mutex: held for one map access, never across an await.
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    known: HashMap<String, Bucket>,
    /// When the full ones were last forgotten.
    swept: Instant,
}

impl Publishers {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: Mutex::new(Buckets {
                known: HashMap::new(),
                swept: Instant::now(),
            }),
        }
    }

    /// Takes the allowance for one event of `publisher`.
    ///
    /// # Errors
    /// How long until the next one may be sent.
    pub(crate) fn take(&self, publisher: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { known, swept } = &mut *buckets;
        if let Some(bucket) = known.get_mut(publisher) {
            return bucket.take(self.per_second, now);
        }
        if known.len() >= PUBLISHERS_MAX && now.saturating_duration_since(*swept) >= SWEEP_INTERVAL
        {
            // A full bucket is like none at all, so it can be forgotten.
            known.retain(|_, bucket| !bucket.is_full(self.per_second, now));
            *swept = now;
        }
        let publisher = if known.len() >= PUBLISHERS_MAX {
            SHARED
        } else {
            publisher
        };
        known
            .entry(publisher.to_owned())
            .or_insert_with(|| Bucket::new(self.per_second, now))
            .take(self.per_second, now)
    }
}

/// Publishers with a bucket of their own, about 1 MiB in all.
const PUBLISHERS_MAX: usize = 10_000;
/// A bucket is full after a second of rest, so looking more often finds nothing.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The bucket of those for whom none was left. No publisher has this name.
const SHARED: &str = "";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_for_each_drip() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        for _ in 0..10 {
            bucket.take(10, start).unwrap();
        }
        let wait = bucket.take(10, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        bucket.take(10, start + wait).unwrap();
        assert!(bucket.take(10, start + wait).is_err());
    }

    #[test]
    fn a_rest_saves_up_no_more_than_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        let later = start + Duration::from_secs(3600);
        let taken = (0..100).filter(|_| bucket.take(10, later).is_ok()).count();
        assert_eq!(taken, 10);
    }

    #[test]
    fn a_rate_of_n_admits_n_in_each_second_for_ten_seconds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(100, start);
        for _ in 0..100 {
            bucket.take(100, start).unwrap();
        }
        for tenth in 1..=100_u32 {
            let now = start + Duration::from_millis(100) * tenth;
            let taken = (0..20).filter(|_| bucket.take(100, now).is_ok()).count();
            assert!((9..=11).contains(&taken), "{taken} at {tenth}");
        }
    }

    #[test]
    fn one_publisher_that_is_out_does_not_stop_another() {
        let publishers = Publishers::new(1);
        let now = Instant::now();
        publishers.take("key:a", now).unwrap();
        assert!(publishers.take("key:a", now).is_err());
        publishers.take("key:b", now).unwrap();
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let publishers = Publishers::new(1);
        let now = Instant::now();
        for number in 0..PUBLISHERS_MAX + 10 {
            let _ = publishers.take(&number.to_string(), now);
        }
        let kept = publishers.buckets.lock().unwrap().known.len();
        assert!(kept <= PUBLISHERS_MAX + 1, "{kept}");
        let later = now + Duration::from_secs(2);
        publishers.take("late", later).unwrap();
        assert!(publishers.buckets.lock().unwrap().known.len() <= 2);
    }
}
