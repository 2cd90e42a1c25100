//! The conformance suite that every engine passes (feature `testing`).
//! Shape: random steps against an engine and against a model of one vector; both must agree at each
//! step. A failing sequence shrinks to a short one, and proptest prints it.
//! Bound: [`holds`] says what a number of cases costs; a fact is waited for for ten seconds.
//! Source: [`crate::engine::Engine`], "The contract"; protocol sections 3, 4 and 8.
//!
//! # An engine of your own
//!
//! 1. Depend on `tidewire-bus`, and for your tests on its feature `testing`.
//! 2. Write the engine: a type with [`crate::Engine`]. Its feed is made by
//!    [`crate::engine::feed::feed`]: keep the sender, and give the receiver away at the first call of
//!    [`crate::Engine::feed`]. Before an append asks for its places it
//!    [reserves](crate::engine::feed::FeedSender::reserve) room for its events; what it appended it
//!    [pushes](crate::engine::feed::FeedSender::push) in the order of the places, and then says how much of
//!    the room was [used](crate::engine::feed::Reservation::used).
//! 3. Make each event once, with [`Event::new`](tidewire_protocol::Event::new) and
//!    [`Encoded::new`](crate::Encoded::new); to store one, keep its topic, its time and
//!    [`EventBody::as_bytes`](tidewire_protocol::EventBody::as_bytes).
//! 4. Take the bounds of a topic from [`RetentionTable::of`], and the window of the keys from the
//!    [`Setup`]. Stamp an event by the wall clock of its [`Clock`], and count ages and the window by its
//!    steady one. Number the evictions, so that [`crate::engine::Read::told`]
//!    can name one.
//! 5. Write a [`Subject`], which opens your engine, and run the suite in a test:
//!
//! ```
//! use std::sync::Arc;
//!
//! use futures_util::future::BoxFuture;
//! use tidewire_bus::contract::{self, Setup, Subject};
//! use tidewire_bus::{Engine, MemoryConfig, MemoryEngine};
//!
//! struct Mine;
//!
//! impl Subject for Mine {
//!     fn open(&mut self, setup: Setup) -> BoxFuture<'_, Arc<dyn Engine>> {
//!         let config = MemoryConfig {
//!             idempotency_window: setup.idempotency_window,
//!             clock: setup.clock,
//!             ..MemoryConfig::default()
//!         };
//!         Box::pin(async { Arc::new(MemoryEngine::new(config, setup.retention)) as Arc<dyn Engine> })
//!     }
//!
//!     fn reopen(&mut self, _: Arc<dyn Engine>, _: Setup) -> BoxFuture<'_, Option<Arc<dyn Engine>>> {
//!         Box::pin(async { None }) // It keeps nothing when it stops.
//!     }
//! }
//!
//! contract::holds(1, || Mine);
//! ```
//!
//! 6. When it fails, the message has what the engine did and the shortest sequence of steps that was
//!    found; `tests/third_party` has a small engine that passes, and what the suite says of its faults.
//!
//! What the suite does not reach is the engine's own business: what survives a power cut, how it
//! behaves when its store fails, and the bounds that only it has.

mod checks;
mod concurrent;
mod model;
mod sequence;
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::{Clock, Engine, RetentionTable};

/// Under what an engine is opened.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How long events are kept.
    pub retention: RetentionTable,
    /// How long a key is remembered: a repeat that comes exactly then still counts as one.
    pub idempotency_window: Duration,
    /// The only time that the engine goes by. The suite moves it.
    pub clock: Clock,
}

/// An engine under test, and how to close and open it again.
pub trait Subject {
    /// Opens an engine with nothing in it.
    fn open(&mut self, setup: Setup) -> BoxFuture<'_, Arc<dyn Engine>>;

    /// Stops it and opens it again; `None` where nothing survives a stop: it is then opened anew.
    fn reopen(
        &mut self,
        engine: Arc<dyn Engine>,
        setup: Setup,
    ) -> BoxFuture<'_, Option<Arc<dyn Engine>>>;

    /// The time comes from elsewhere, such as a server: what needs the clock to be moved is left out.
    fn has_clock_of_its_own(&self) -> bool {
        false
    }
}

/// Runs the suite: `cases` random sequences of steps; for each hundred of them sixteen in which events
/// become too old; for each ten of them one with publishers and readers at once.
///
/// Most of its time is waiting for events to become too old: some 5 s for 100 cases in a debug build.
///
/// # Panics
/// When the engine breaks the contract; the message has the shortest sequence that was found.
pub fn holds<S: Subject>(cases: u32, make: impl Fn() -> S) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let sequences = (steps::steps(), sequence::follower());
    check(cases, sequences, |(steps, follower)| {
        runtime.block_on(sequence::run(&mut make(), &steps, follower))
    });
    if !make().has_clock_of_its_own() {
        // An engine looks for old events now and then, so many sequences wait for that together.
        let aged = prop::collection::vec((steps::aged(), sequence::follower()), 16);
        check(cases.div_ceil(100), aged, |sequences| {
            let run = |(steps, follower): (Vec<_>, _)| {
                let mut subject = make();
                async move { sequence::run(&mut subject, &steps, follower).await }
            };
            let results = runtime.block_on(join_all(sequences.into_iter().map(run)));
            results.into_iter().collect()
        });
    }
    check(cases.div_ceil(10), concurrent::load(), |load| {
        runtime.block_on(concurrent::run(&mut make(), load))
    });
}

/// Tries random values until one fails, and then makes that one smaller.
fn check<V: Strategy>(cases: u32, values: V, run: impl Fn(V::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        max_shrink_time: SHRINK_MS,
        ..Config::default()
    });
    if let Err(error) = runner.run(&values, run) {
        panic!("{error}");
    }
}

/// The time that the suite gives to the engine.
#[derive(Clone, Debug)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_795_235_358_123)))
    }

    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn pass(&self, time: Duration) {
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(time_ms, Ordering::SeqCst);
    }

    fn setup(&self) -> Setup {
        let time = self.clone();
        Setup {
            retention: model::retention(),
            idempotency_window: model::WINDOW,
            clock: Clock::from_fn(move || time.now_ms()),
        }
    }
}

/// Waits for something that the engine owes.
async fn owed<T>(what: &str, future: impl Future<Output = T>) -> Result<T, TestCaseError> {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.map_err(|_| TestCaseError::fail(format!("waited {PATIENCE:?} in vain: {what}")))
}

/// Long enough for a loaded machine; it only catches what never comes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a failing sequence is made smaller.
const SHRINK_MS: u32 = 10_000;
