//! Which publishes were seen before.
//! Shape: one entry for each key, in the order of their times; the engine keeps them durable.
//! Unit: the window in milliseconds of the steady clock.
//! Bound: [`KEYS_MAX`] keys at once; a publish with one more is refused until the window moves on.
//! Failure: the same key with another payload is told apart by a digest of the payload.
//! Source: protocol section 4.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tidewire_protocol::{EventBody, Topic};

use crate::engine::IdempotencyKey;

/// Keys that one engine remembers at once, about 100 bytes each.
pub(crate) const KEYS_MAX: usize = 1_000_000;

/// How long a key is remembered.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(120);

/// A digest that stands for publisher, topic and key together, or for a payload.
pub(crate) type Digest16 = [u8; 16];

/// The first publish of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstPublish {
    /// The place that it got.
    pub(crate) place: u64,
    /// When it got it, by the wall clock,
    pub(crate) time_ms: u64,
    /// and by the steady clock.
    pub(crate) since_ms: u64,
    /// What it said.
    pub(crate) body: Digest16,
}

/// What a key turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Never,
    Before(FirstPublish),
    WithAnotherPayload,
    /// There is no room for another key.
    Full,
}

/// The keys of the window.
#[derive(Debug)]
pub(crate) struct Keys {
    window_ms: u64,
    first: HashMap<Digest16, FirstPublish>,
    /// In the order of their entry, to let the oldest go.
    order: VecDeque<(u64, Digest16)>,
}

impl Keys {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
            first: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Publisher, topic and key as one name.
    pub(crate) fn name(topic: &Topic, key: &IdempotencyKey) -> Digest16 {
        let mut hash = Sha256::new();
        // The number of an element is a part of its own: no key that a publisher can choose runs into it.
        let element = key.element.map(|element| element.to_string());
        let element = element.as_deref().unwrap_or_default();
        for part in [&*key.publisher, topic.as_str(), &*key.key, element] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        shorten(hash)
    }

    /// A payload as one name.
    pub(crate) fn body(body: &EventBody) -> Digest16 {
        shorten(Sha256::new().chain_update(body.as_bytes()))
    }

    /// Looks a key up; keys that are older than the window are no longer known.
    pub(crate) fn look_up(&self, name: &Digest16, body: &Digest16, now_ms: u64) -> Seen {
        match self.first.get(name) {
            Some(first) if self.is_over(first.since_ms, now_ms) => Seen::Never,
            Some(first) if first.body == *body => Seen::Before(*first),
            Some(_) => Seen::WithAnotherPayload,
            None if self.first.len() >= KEYS_MAX => Seen::Full,
            None => Seen::Never,
        }
    }

    /// Remembers a first publish.
    pub(crate) fn remember(&mut self, name: Digest16, first: FirstPublish) {
        self.order.push_back((first.since_ms, name));
        self.first.insert(name, first);
    }

    /// Takes the keys that the window has left behind.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<Digest16> {
        let mut gone = Vec::new();
        while let Some(&(since_ms, name)) = self.order.front() {
            if !self.is_over(since_ms, now_ms) {
                break;
            }
            self.order.pop_front();
            // A key that was used again after its window has a later entry of its own.
            if self
                .first
                .get(&name)
                .is_some_and(|first| first.since_ms == since_ms)
            {
                self.first.remove(&name);
                gone.push(name);
            }
        }
        gone
    }

    fn is_over(&self, since_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(since_ms) > self.window_ms
    }
}

fn shorten(hash: Sha256) -> Digest16 {
    let mut short = Digest16::default();
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Digest16 = [1; 16];
    const BODY: Digest16 = [7; 16];

    fn first(place: u64, since_ms: u64) -> FirstPublish {
        FirstPublish {
            place,
            time_ms: since_ms,
            since_ms,
            body: BODY,
        }
    }

    #[test]
    fn a_key_is_known_until_its_window_is_over_and_may_then_be_used_again() {
        let mut keys = Keys::new(Duration::from_millis(100));
        keys.remember(A, first(1, 1000));
        assert_eq!(keys.look_up(&A, &BODY, 1100), Seen::Before(first(1, 1000)));
        assert_eq!(keys.look_up(&A, &[8; 16], 1100), Seen::WithAnotherPayload);
        assert_eq!(keys.look_up(&A, &BODY, 1101), Seen::Never);

        keys.remember(A, first(2, 1101));
        assert_eq!(
            keys.expire(1150),
            Vec::<Digest16>::new(),
            "the later use stays"
        );
        assert_eq!(keys.look_up(&A, &BODY, 1150), Seen::Before(first(2, 1101)));
        assert_eq!(keys.expire(1300), vec![A]);
        assert!(keys.first.is_empty() && keys.order.is_empty());
    }

    #[test]
    fn a_clock_that_jumps_back_forgets_no_key() {
        let mut keys = Keys::new(Duration::from_millis(100));
        keys.remember(A, first(1, 10_000));
        assert!(keys.expire(5_000).is_empty());
        assert_eq!(
            keys.look_up(&A, &BODY, 5_000),
            Seen::Before(first(1, 10_000))
        );
    }

    #[test]
    fn publisher_topic_and_key_never_run_into_one_another() {
        let name = |publisher: &str, topic: &str, key: &str| {
            let key = IdempotencyKey {
                publisher: publisher.into(),
                key: key.into(),
                element: None,
            };
            Keys::name(&Topic::parse(topic).unwrap(), &key)
        };
        assert_ne!(name("ab", "c", "d"), name("a", "bc", "d"));
        assert_ne!(name("a", "b", "cd"), name("a", "bc", "d"));
    }
}
