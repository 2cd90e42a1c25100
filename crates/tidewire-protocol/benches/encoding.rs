//! Wire forms of one event, and patterns against topics.
//!
//! Unit: one event with so many bytes of payload. What it leaves out: sharing; a form is made once for all who send
//! it. `cargo bench -p tidewire-protocol`

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench has no callers")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidewire_protocol::{Cursor, Epoch, Event, EventBody, Pattern, Topic, event_stream};

fn event(payload_bytes: usize) -> Event {
    let id = Cursor::new(Epoch::parse("bench").unwrap(), 41_042);
    let body = format!(",\"data\":\"{}\"}}", "x".repeat(payload_bytes - 2));
    let body = EventBody::from_stored(body.into());
    Event::new(id, topic(), 1_700_000_000_000, &body)
}

fn topic() -> Topic {
    Topic::parse("orders.eu.shop-17.42").unwrap()
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    for payload_bytes in [128, 4_096] {
        let event = event(payload_bytes);
        let (id, topic, time_ms) = (event.id(), topic(), event.time_ms());
        let body = EventBody::from_stored(
            format!(",\"data\":\"{}\"}}", "x".repeat(payload_bytes - 2)).into(),
        );
        group.throughput(Throughput::Bytes(payload_bytes as u64));
        group.bench_function(BenchmarkId::new("json", payload_bytes), |bencher| {
            bencher.iter(|| Event::new(black_box(id), topic.clone(), time_ms, &body));
        });
        group.bench_function(BenchmarkId::new("sse", payload_bytes), |bencher| {
            bencher.iter(|| event_stream::event(black_box(&event)));
        });
        group.bench_function(BenchmarkId::new("sse_data", payload_bytes), |bencher| {
            bencher.iter(|| event_stream::event_data(black_box(&event)));
        });
    }
    group.finish();
}

fn patterns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pattern");
    let topic = topic();
    for pattern in [
        "orders.eu.shop-17.42",
        "orders.*.*.42",
        "orders.>",
        "other.*.>",
    ] {
        let pattern = Pattern::parse(pattern).unwrap();
        group.bench_function(BenchmarkId::new("matches", &pattern), |bencher| {
            bencher.iter(|| black_box(&pattern).matches(black_box(&topic)));
        });
    }
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Pattern::parse(black_box("orders.*.shop-17.42")));
    });
    group.finish();
}

criterion_group!(benches, encoding, patterns);
criterion_main!(benches);
