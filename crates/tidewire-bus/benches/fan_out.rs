//! One event to all sessions of its topic, in process: applied, everybody woken, each polled, each has read it.
//!
//! Unit: one event. The time of one delivery is that of one event divided by the number of sessions.
//! What it counts: the append to the memory engine, the log, the wake-ups, tokio's scheduling, the reads. What it
//! leaves out: every transport. `cargo bench -p tidewire-bus --bench fan_out`
//! Also here, for counts that are steadier than time: `TIDEWIRE_ROUNDS=100` runs so many rounds without criterion, for
//! `valgrind --tool=callgrind` or CPU seconds; `TIDEWIRE_SESSIONS` and `TIDEWIRE_THREADS` say for how many and on how
//! many.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench has no callers")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use tidewire_bus::{
    Append, Bus, BusConfig, MemoryConfig, MemoryEngine, Retention, RetentionTable, SessionOptions,
};
use tidewire_protocol::{EventBody, Pattern, StartAt, Topic};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// Sessions that count what they get.
struct Audience {
    bus: Bus,
    sessions: usize,
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    events: AtomicUsize,
    /// Where everybody has had everything.
    until: AtomicUsize,
    all: Notify,
}

impl Audience {
    async fn of(sessions: usize, patterns: &[&str]) -> Self {
        let keep = Retention {
            max_events: Some(1_000),
            ..Retention::default()
        };
        let engine = MemoryEngine::new(
            MemoryConfig::default(),
            RetentionTable::new(Vec::new(), keep),
        );
        let bus = Bus::start(Arc::new(engine), BusConfig::default());
        let counted = Arc::new(Counted::default());
        for _ in 0..sessions {
            let mut session = bus.open(SessionOptions::default());
            let patterns = patterns
                .iter()
                .map(|pattern| Pattern::parse(pattern).unwrap());
            let patterns = patterns.collect();
            session.subscribe(patterns, StartAt::Now).await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                while let Ok(batch) = session.next().await {
                    black_box(batch.cursor);
                    counted.add(batch.events.len());
                }
            });
        }
        Self {
            bus,
            sessions,
            counted,
        }
    }

    /// So many events, one append after the other, until everybody has had all of them.
    async fn round(&self, events: usize) {
        let until = self.counted.until.load(Ordering::SeqCst) + events * self.sessions;
        self.counted.until.store(until, Ordering::SeqCst);
        for _ in 0..events {
            self.publish("bench.hot").await;
        }
        self.all_had(until).await;
    }

    /// How long this takes just after an event that concerns everybody.
    async fn while_busy(&self, action: impl AsyncFn(&Self)) -> Duration {
        let until = self.counted.until.load(Ordering::SeqCst) + self.sessions;
        self.counted.until.store(until, Ordering::SeqCst);
        self.publish("bench.hot").await;
        let began = Instant::now();
        action(self).await;
        let taken = began.elapsed();
        self.all_had(until).await;
        taken
    }

    async fn publish_elsewhere(&self) {
        self.publish("bench.quiet").await;
        self.bus.probe().await.unwrap();
    }

    async fn come_and_go(&self) {
        let mut session = self.bus.open(SessionOptions::default());
        let pattern = Pattern::parse("bench.hot").unwrap();
        session
            .subscribe(vec![pattern], StartAt::Now)
            .await
            .unwrap();
    }

    async fn publish(&self, topic: &str) {
        let append = Append {
            topic: Topic::parse(topic).unwrap(),
            body: EventBody::from_stored(BODY.into()),
            key: None,
        };
        self.bus.append(vec![append]).await.pop().unwrap().unwrap();
    }

    async fn all_had(&self, until: usize) {
        while self.counted.events.load(Ordering::SeqCst) < until {
            self.counted.all.notified().await;
        }
    }
}

impl Counted {
    fn add(&self, events: usize) {
        let had = self.events.fetch_add(events, Ordering::SeqCst) + events;
        if had >= self.until.load(Ordering::SeqCst) {
            self.all.notify_one();
        }
    }
}

fn runtime(threads: usize) -> Runtime {
    if threads == 1 {
        return Builder::new_current_thread().enable_all().build().unwrap();
    }
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

fn fan_out(criterion: &mut Criterion) {
    let cases: [(&str, usize, &[&str]); 5] = [
        ("exact", 1_000, &["bench.hot"]),
        ("exact", 10_000, &["bench.hot"]),
        ("exact", 100_000, &["bench.hot"]),
        ("pattern", 10_000, &["bench.*"]),
        ("three_patterns", 10_000, &["bench.hot", "other", "third.>"]),
    ];
    for threads in [1, 2] {
        let runtime = runtime(threads);
        let mut group = criterion.benchmark_group(format!("fan_out/{threads}_threads"));
        group.sample_size(20);
        for (name, sessions, patterns) in cases {
            let audience = runtime.block_on(Audience::of(sessions, patterns));
            group.throughput(Throughput::Elements(sessions as u64));
            group.bench_function(BenchmarkId::new(name, sessions), |bencher| {
                bencher.iter(|| runtime.block_on(audience.round(1)));
            });
        }
        // A burst: what comes while others still read gathers.
        let audience = runtime.block_on(Audience::of(10_000, &["bench.hot"]));
        group.throughput(Throughput::Elements(10_000 * BURST as u64));
        group.bench_function(BenchmarkId::new("burst", 10_000), |bencher| {
            bencher.iter(|| runtime.block_on(audience.round(BURST)));
        });
        group.finish();
    }
}

/// What others wait for while a hot topic's sessions are being woken: a publisher until its event is applied, and a
/// session that comes to the same topic and goes. Only that is timed, not the fan-out.
fn beside(criterion: &mut Criterion) {
    let runtime = runtime(2);
    let mut group = criterion.benchmark_group("beside_a_fan_out");
    group.sample_size(20);
    for sessions in [10_000, 100_000] {
        let audience = runtime.block_on(Audience::of(sessions, &["bench.hot"]));
        group.bench_function(BenchmarkId::new("publish", sessions), |bencher| {
            bencher.iter_custom(|rounds| {
                let timed = |_| runtime.block_on(audience.while_busy(Audience::publish_elsewhere));
                (0..rounds).map(timed).sum()
            });
        });
        group.bench_function(BenchmarkId::new("come_and_go", sessions), |bencher| {
            bencher.iter_custom(|rounds| {
                let timed = |_| runtime.block_on(audience.while_busy(Audience::come_and_go));
                (0..rounds).map(timed).sum()
            });
        });
    }
    group.finish();
}

/// 128 bytes of payload.
const BODY: &str = concat!(
    r#","data":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"#,
    r#"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd"}"#
);
/// Events of a burst.
const BURST: usize = 16;

criterion_group!(benches, fan_out, beside);

fn main() {
    let rounds = std::env::var("TIDEWIRE_ROUNDS").ok();
    let Some(rounds) = rounds.and_then(|rounds| rounds.parse().ok()) else {
        benches();
        return Criterion::default().configure_from_args().final_summary();
    };
    let number = |name: &str, otherwise: usize| {
        let given = std::env::var(name).ok();
        given.map_or(otherwise, |given| given.parse().unwrap())
    };
    let runtime = runtime(number("TIDEWIRE_THREADS", 1));
    let sessions = number("TIDEWIRE_SESSIONS", 1_000);
    let audience = runtime.block_on(Audience::of(sessions, &["bench.hot"]));
    for _ in 0..rounds {
        runtime.block_on(audience.round(1));
    }
}
