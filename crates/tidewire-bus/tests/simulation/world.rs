//! What all parts of a run share: the seed's random numbers, the truth, the clock and the trace.

use std::collections::VecDeque;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::Model;
use crate::setting::Setting;

#[derive(Debug)]
pub(crate) struct World {
    state: Mutex<State>,
    now_ms: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rng: StdRng,
    pub(crate) setting: Setting,
    pub(crate) model: Model,
    /// Polls and other actions until now.
    pub(crate) step: u64,
    /// Who is polled.
    pub(crate) actor: usize,
    /// For each actor, what its session has had from the engine since it was last asked.
    pub(crate) looks: Vec<Vec<Look>>,
    /// Grows with each payload, so that no two are the same.
    pub(crate) payloads: u64,
    /// The newest place that the last forgetting took.
    pub(crate) last_forgotten: u64,
    pub(crate) counts: Counts,
    trace: VecDeque<String>,
    hash: DefaultHasher,
}

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) steps: u64,
    pub(crate) sessions: u64,
    pub(crate) batches: u64,
    pub(crate) events: u64,
    /// In the order of `GapReason`.
    pub(crate) gaps: [u64; 4],
    pub(crate) cuts: u64,
    pub(crate) forgets: u64,
    pub(crate) restarts: u64,
    pub(crate) settled: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.sessions += other.sessions;
        self.batches += other.batches;
        self.events += other.events;
        for (all, one) in self.gaps.iter_mut().zip(other.gaps) {
            *all += one;
        }
        self.cuts += other.cuts;
        self.forgets += other.forgets;
        self.restarts += other.restarts;
        self.settled += other.settled;
    }

    /// Whether nothing was left out.
    pub(crate) fn has_all(&self) -> bool {
        let others = [self.sessions, self.batches, self.events, self.cuts];
        let rare = [self.forgets, self.restarts, self.settled];
        others
            .iter()
            .chain(&rare)
            .chain(&self.gaps)
            .all(|&count| count > 0)
    }
}

/// What a session had from the engine.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    Read {
        patterns: Vec<usize>,
        after: u64,
        evictions: u64,
        /// Where delivery goes on, were something lost.
        continues: u64,
        /// When the page was made, and when the session got it.
        made: u64,
        given: u64,
    },
    Seek {
        after: u64,
        evictions: u64,
    },
}

impl World {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let setting = Setting::choose(&mut rng);
        let model = Model::new(setting.rules.clone());
        Arc::new(Self {
            state: Mutex::new(State {
                rng,
                looks: vec![Vec::new(); setting.actors()],
                setting,
                model,
                step: 0,
                actor: 0,
                payloads: 0,
                last_forgotten: 0,
                counts: Counts::default(),
                trace: VecDeque::new(),
                hash: DefaultHasher::new(),
            }),
            now_ms: AtomicU64::new(1_000_000),
        })
    }

    /// One thread runs everything, so nobody else ever has it; after a panic the trace is still wanted.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("it is held already"),
        }
    }

    pub(crate) fn setting(&self) -> Setting {
        self.state().setting.clone()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn move_clock(&self, by_ms: u64) {
        self.now_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.state().rng.random_range(0..bound)
    }

    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.state().rng.random_bool(probability)
    }

    /// Notes what happened; a run's trace depends on its seed alone.
    pub(crate) fn note(&self, what: &str) {
        self.state().note(what);
    }

    /// What the actor's session had from the engine since this was last asked.
    pub(crate) fn take_looks(&self, actor: usize) -> Vec<Look> {
        std::mem::take(&mut self.state().looks[actor])
    }

    /// Now and then lets others go first.
    pub(crate) async fn stall(&self) {
        let stall = self.state().setting.stall;
        while self.chance(stall) {
            Yield::default().await;
        }
    }

    /// The newest lines of the trace, and a digest of all of it.
    pub(crate) fn trace(&self) -> (Vec<String>, u64) {
        let state = self.state();
        (state.trace.iter().cloned().collect(), state.hash.finish())
    }
}

impl State {
    pub(crate) fn note(&mut self, what: &str) {
        let line = match self.actor {
            NOBODY => format!("{:>7}     {what}", self.step),
            actor => format!("{:>7} #{actor:<2} {what}", self.step),
        };
        line.hash(&mut self.hash);
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }
}

/// Comes back the next time that the scheduler chooses it.
#[derive(Debug, Default)]
pub(crate) struct Yield {
    has_yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The scheduler itself.
pub(crate) const NOBODY: usize = usize::MAX;
/// Lines of the trace that a failure shows.
const TRACE_LINES: usize = 40;
