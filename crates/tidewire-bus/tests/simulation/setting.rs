//! How one run is set up: bounds, speeds and faults, all from its seed.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tidewire_bus::Retention;

use crate::model::Rules;
use crate::universe::TOPICS;

#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) steps: u64,
    pub(crate) rules: Rules,
    pub(crate) window_max_events: usize,
    pub(crate) window_max_bytes: usize,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// How often the pump and the sweeps get a turn.
    pub(crate) pump: f64,
    /// How often an engine's answer takes a turn longer.
    pub(crate) stall: f64,
    /// How often the engine refuses or does not answer.
    pub(crate) fault: f64,
    /// How long a publisher pauses, in turns.
    pub(crate) pause: u64,
}

impl Setting {
    pub(crate) fn choose(rng: &mut StdRng) -> Self {
        let rules = Rules {
            topics: (0..TOPICS.len()).map(|_| limits(rng)).collect(),
            max_bytes: one(rng, &[8_000, 40_000, u64::MAX]),
            key_window: Duration::from_secs(one(rng, &[2, 20])),
        };
        Self {
            steps: one(rng, &[500, 2_000, 2_000, 6_000]),
            rules,
            window_max_events: match rng.random_range(0..3) {
                0 => rng.random_range(1..6),
                1 => rng.random_range(6..50),
                _ => 10_000,
            },
            window_max_bytes: one(rng, &[2_000, 1 << 20, 1 << 20]),
            publishers: rng.random_range(1..4),
            subscribers: rng.random_range(2..7),
            pump: one(rng, &[0.02, 0.1, 0.3]),
            stall: one(rng, &[0.0, 0.1, 0.5]),
            fault: one(rng, &[0.0, 0.0, 0.02]),
            pause: one(rng, &[2, 6, 20]),
        }
    }

    /// Subscribers first, then publishers, then the one who forgets.
    pub(crate) fn actors(&self) -> usize {
        self.subscribers + self.publishers + 1
    }
}

fn limits(rng: &mut StdRng) -> Retention {
    let mut limits = Retention {
        max_events: None,
        max_bytes: None,
        max_age: None,
    };
    match rng.random_range(0..6) {
        0 | 1 => limits.max_events = Some(one(rng, &[1, 2, 5, 20])),
        2 => limits.max_bytes = Some(one(rng, &[40, 200, 1_000])),
        3 => limits.max_age = Some(Duration::from_secs(one(rng, &[1, 10, 60]))),
        4 => {
            limits.max_events = Some(20);
            limits.max_age = Some(Duration::from_secs(20));
        }
        _ => {}
    }
    limits
}

fn one<T: Copy>(rng: &mut StdRng, choices: &[T]) -> T {
    *choices.choose(rng).unwrap()
}
