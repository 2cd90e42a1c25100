//! Reads of the window, and finding whom an event concerns.
//!
//! Unit: `read`: one poll of what is ready, which registers, reads and leaves; the name says how many events it
//! brings. `interest`: one event through a log on which so many patterns are subscribed and nobody is waiting.
//! What it leaves out: waiting, transports, the engine's own reads. `cargo bench -p tidewire-bus --bench read`

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench has no callers")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidewire_bus::{
    Append, Bus, BusConfig, MemoryConfig, MemoryEngine, RetentionTable, Session, SessionOptions,
};
use tidewire_protocol::{Cursor, EventBody, Pattern, StartAt, Topic};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn bus() -> Bus {
    let engine = MemoryEngine::new(MemoryConfig::default(), RetentionTable::default());
    Bus::start(Arc::new(engine), BusConfig::default())
}

fn append(topic: &str) -> Append {
    Append {
        topic: Topic::parse(topic).unwrap(),
        body: EventBody::from_stored(format!(",\"data\":\"{}\"}}", "x".repeat(126)).into()),
        key: None,
    }
}

async fn subscribed(bus: &Bus, patterns: &[Pattern], start: StartAt) -> Session {
    let mut session = bus.open(SessionOptions::default());
    session.subscribe(patterns.to_vec(), start).await.unwrap();
    session
}

fn read(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("read");
    let cases: [(&str, &[&str]); 3] = [
        ("exact", &["a.b.c"]),
        ("pattern", &["a.*.c"]),
        ("three_patterns", &["a.b.c", "a.>", "x.>"]),
    ];
    for (name, patterns) in cases {
        let patterns: Vec<_> = patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern).unwrap())
            .collect();
        for events in [1, 16, 256] {
            let bus = runtime.block_on(async {
                let bus = bus();
                // Somebody keeps the interests alive, as other sessions do.
                let other = subscribed(&bus, &patterns, StartAt::Now).await;
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(other);
                });
                bus.append((0..events).map(|_| append("a.b.c")).collect())
                    .await;
                bus.probe().await.unwrap();
                bus
            });
            let start = StartAt::After(Cursor::new(bus.epoch(), 0));
            group.throughput(Throughput::Elements(events));
            group.bench_function(BenchmarkId::new(name, events), |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        let mut session = subscribed(&bus, &patterns, start).await;
                        let batch = session.next_within(Duration::ZERO).await.unwrap();
                        assert_eq!(batch.unwrap().events.len() as u64, events);
                    });
                });
            });
        }
    }
    group.finish();
}

fn interest(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("interest");
    for patterns in [1_usize, 1_000, 100_000] {
        let (bus, sessions) = runtime.block_on(async {
            let bus = bus();
            let mut sessions = Vec::new();
            for number in 0..patterns {
                // Half of them exact; of the others one in three matches what is published.
                let pattern = match number % 6 {
                    0 | 2 | 4 => format!("orders.eu.{number}"),
                    1 => "orders.*.7".to_owned(),
                    3 => format!("*.us.{number}.>"),
                    _ => format!("orders.{number}.*"),
                };
                let pattern = Pattern::parse(&pattern).unwrap();
                sessions.push(subscribed(&bus, &[pattern], StartAt::Now).await);
            }
            (bus, sessions)
        });
        group.bench_function(BenchmarkId::new("apply", patterns), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    bus.append(vec![append("orders.eu.7")]).await;
                    bus.probe().await.unwrap();
                });
            });
        });
        black_box(&sessions);
    }
    group.finish();
}

criterion_group!(benches, read, interest);
criterion_main!(benches);
