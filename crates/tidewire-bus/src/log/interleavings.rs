//! Interleavings of "register, read, wait" with "apply, wake", by shuttle: our locks are its own, so
//! that it chooses which thread goes on at each of them. A lost wake-up leaves a session waiting for
//! ever, and shuttle reports the deadlock.
//!
//! What runs is the product: sessions, the log and its pump, on the memory engine. What is taken as one
//! step: tokio's `Notify` and semaphore, the waker of a session, and the engine's own lock, which nobody holds while he waits.
//!
//! `cargo test -p tidewire-bus --lib --features shuttle interleavings`, and nothing else with this
//! feature: shuttle's locks work in its own threads only. `TIDEWIRE_SEED` chooses the same schedules again,
//! `TIDEWIRE_SCHEDULES` how many of each kind.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};
use tidewire_protocol::{Cursor, Pattern, StartAt, Topic};
use tokio_util::sync::CancellationToken;

use super::{Log, WindowBounds};
use crate::testing::body;
use crate::{
    Append, Engine, MemoryConfig, MemoryEngine, Retention, RetentionTable, Session, SessionOptions,
};

/// Goal: a session that is just about to wait misses no event. Method: sessions that had to begin, on
/// patterns that overlap, while a publisher appends; each waits until it has had the last event.
#[test]
fn no_wake_up_is_lost_between_reading_and_waiting() {
    explore(|| {
        let gateway = Gateway::start(100);
        let sessions = [&["a.x"][..], &[">"], &["a.*", "*.x"]].map(|patterns| {
            let session = gateway.session();
            thread::spawn(move || read_all(session, patterns, EVENTS))
        });
        gateway.publish(EVENTS);
        for session in sessions {
            session.join().unwrap();
        }
        gateway.stop();
    });
}

/// Goal: nothing is lost either where the window no longer has what a session needs. Method: a window
/// of one event, so that sessions go to the engine and back while more is appended.
#[test]
fn no_event_is_lost_between_the_engine_and_the_window() {
    explore(|| {
        let gateway = Gateway::start(1);
        let sessions = [&["a.x"][..], &["a.>"]].map(|patterns| {
            let session = gateway.session();
            thread::spawn(move || read_all(session, patterns, EVENTS))
        });
        gateway.publish(EVENTS);
        for session in sessions {
            session.join().unwrap();
        }
        gateway.stop();
    });
}

/// Goal: a session that comes, goes or is forgotten about by the sweep does not take another one's
/// wake-ups with it. Method: two sessions share a pattern, one goes after its first event, and the log
/// sweeps all the while.
#[test]
fn a_session_that_goes_takes_no_wake_up_with_it() {
    explore(|| {
        let gateway = Gateway::start(100);
        let (short, long) = (gateway.session(), gateway.session());
        let short = thread::spawn(move || read_all(short, &["a.x"], 1));
        let long = thread::spawn(move || read_all(long, &["a.x"], EVENTS));
        let log = Arc::clone(&gateway.log);
        let sweep = thread::spawn(move || {
            log.sweep();
            log.sweep();
        });
        gateway.publish(EVENTS);
        for part in [short, long, sweep] {
            part.join().unwrap();
        }
        gateway.stop();
    });
}

/// Goal: whoever has not had a forgotten event is told, and woken for it if need be. Method: the topic is
/// forgotten while sessions read; each waits until it has had the last event or was told a gap.
#[test]
fn forgetting_wakes_whom_it_concerns() {
    explore(|| {
        let gateway = Gateway::start(100);
        let sessions = [&["a.x"][..], &["a.*"]].map(|patterns| {
            let session = gateway.session();
            thread::spawn(move || read_or_told(session, patterns))
        });
        gateway.publish(EVENTS);
        let topic = Topic::parse("a.x").unwrap();
        block_on(gateway.engine.forget(topic)).unwrap();
        for session in sessions {
            session.join().unwrap();
        }
        gateway.stop();
    });
}

/// Goal: what is applied while a wave is under way is not missed, and a session that comes or goes in the middle of
/// one hides nothing from the others. Method: sessions share a pattern, so that each wake-up is a wave of two tasks
/// with a session in each part; one comes late, one goes early.
#[test]
fn nobody_is_missed_by_a_wave() {
    explore(|| {
        let gateway = Gateway::start(100);
        let sessions = [EVENTS, 1, EVENTS].map(|until| {
            let session = gateway.session();
            thread::spawn(move || read_all(session, &["a.x"], until))
        });
        gateway.publish(EVENTS - 1);
        let late = gateway.session();
        let late = thread::spawn(move || read_all(late, &["a.x"], EVENTS));
        gateway.publish_from(EVENTS, EVENTS);
        for session in sessions.into_iter().chain([late]) {
            session.join().unwrap();
        }
        gateway.stop();
    });
}

/// Events of one schedule. Few: what matters happens around one.
const EVENTS: u64 = 3;

struct Gateway {
    engine: Arc<MemoryEngine>,
    log: Arc<Log>,
    pump: thread::JoinHandle<()>,
    stopped: CancellationToken,
}

impl Gateway {
    fn start(window_max_events: usize) -> Self {
        // The engine wants a runtime for its sweep by age, which is never run here.
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let keep = RetentionTable::new(Vec::new(), Retention::default());
        let entered = runtime.enter();
        let engine = Arc::new(MemoryEngine::new(MemoryConfig::default(), keep));
        drop(entered);
        let bounds = WindowBounds {
            max_events: window_max_events,
            max_bytes: usize::MAX,
        };
        let log = Arc::new(Log::new(bounds, engine.head(), Duration::ZERO));
        let stopped = CancellationToken::new();
        let pump = Arc::clone(&log).pump(engine.feed().unwrap());
        let pump = stopped.clone().run_until_cancelled_owned(pump);
        Self {
            engine,
            log,
            pump: thread::spawn(move || {
                block_on(pump);
            }),
            stopped,
        }
    }

    fn session(&self) -> Session {
        Session::new(
            SessionOptions {
                batch_max_events: 2,
                ..SessionOptions::default()
            },
            Arc::clone(&self.log),
            Arc::clone(&self.engine) as Arc<dyn Engine>,
            Arc::new(AtomicUsize::new(0)),
        )
    }

    /// Here, in this thread: one event after the other.
    fn publish(&self, events: u64) {
        self.publish_from(1, events);
    }

    fn publish_from(&self, first: u64, last: u64) {
        for data in first..=last {
            let append = Append {
                topic: Topic::parse("a.x").unwrap(),
                body: body(data),
                key: None,
            };
            let answers = block_on(self.engine.append(vec![append]));
            assert_eq!(answers[0].as_ref().unwrap().id.place, data);
        }
    }

    fn stop(self) {
        self.stopped.cancel();
        self.pump.join().unwrap();
    }
}

fn subscribe(session: &mut Session, patterns: &[&str]) {
    let patterns = patterns
        .iter()
        .map(|pattern| Pattern::parse(pattern).unwrap());
    let start = StartAt::After(Cursor::new(session.cursor().epoch, 0));
    let subscribed = block_on(session.subscribe(patterns.collect(), start));
    subscribed.unwrap();
}

/// Reads from the first event on until it has had so many.
fn read_all(mut session: Session, patterns: &[&str], until: u64) {
    subscribe(&mut session, patterns);
    let mut had = 0;
    while had < until {
        let batch = block_on(session.next()).unwrap();
        assert!(batch.gap.is_none(), "nothing is lost");
        for event in &batch.events {
            had += 1;
            assert_eq!(event.place(), had, "in order, each once");
        }
        assert_eq!(batch.cursor.place, session.cursor().place);
    }
}

fn read_or_told(mut session: Session, patterns: &[&str]) {
    subscribe(&mut session, patterns);
    let mut had = 0;
    while had < EVENTS {
        let batch = block_on(session.next()).unwrap();
        if batch.gap.is_some() {
            had = EVENTS;
        }
        for event in &batch.events {
            had += 1;
            assert_eq!(event.place(), had, "in order, each once");
        }
    }
}

/// Runs it under random schedules, and under those that look for a bug of a given depth.
fn explore(run: impl Fn() + Send + Sync + Clone + 'static) {
    let given = std::env::var("TIDEWIRE_SEED").ok();
    let seed = given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    eprintln!("TIDEWIRE_SEED={seed}");
    let schedules = std::env::var("TIDEWIRE_SCHEDULES").ok();
    let schedules = schedules.and_then(|count| count.parse().ok());
    let schedules = schedules.unwrap_or(if std::env::var_os("TIDEWIRE_QUICK").is_some() {
        1_000
    } else {
        10_000
    });
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    let random = RandomScheduler::new_from_seed(seed, schedules);
    Runner::new(random, config.clone()).run(run.clone());
    let pct = PctScheduler::new_from_seed(seed, 3, schedules);
    Runner::new(pct, config).run(run);
}
