//! Goal: between two wake-ups of the same sessions lies at least the interval, and nothing is lost or late by more.
//! Method: the runtime's clock stands still and moves only when nobody has anything to do, so the times that are
//! seen are exact.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::sync::Arc;
use std::time::Duration;

use tidewire_bus::{
    Append, Bus, BusConfig, MemoryConfig, MemoryEngine, RetentionTable, Session, SessionOptions,
};
use tidewire_protocol::{EventBody, Pattern, StartAt, Topic};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

const INTERVAL: Duration = Duration::from_millis(100);

fn bus(flush_interval: Duration) -> Bus {
    let engine = MemoryEngine::new(MemoryConfig::default(), RetentionTable::default());
    let config = BusConfig {
        flush_interval,
        ..BusConfig::default()
    };
    Bus::start(Arc::new(engine), config)
}

async fn subscribe(bus: &Bus, pattern: &str) -> Session {
    let mut session = bus.open(SessionOptions::default());
    let patterns = vec![Pattern::parse(pattern).unwrap()];
    session.subscribe(patterns, StartAt::Now).await.unwrap();
    session
}

/// What it gets: how long after `from`, and how many events at once.
fn follow(mut session: Session, from: Instant, events: usize) -> JoinHandle<Vec<(u64, usize)>> {
    tokio::spawn(async move {
        let mut got = Vec::new();
        while got.iter().map(|(_, events)| events).sum::<usize>() < events {
            let batch = session.next().await.unwrap();
            got.push((from.elapsed().as_millis() as u64, batch.events.len()));
        }
        got
    })
}

/// An event to each of these topics at each of these milliseconds.
async fn publish(bus: &Bus, from: Instant, topics: &[&str], times_ms: &[u64]) {
    for time_ms in times_ms {
        sleep_until(from + Duration::from_millis(*time_ms)).await;
        let append = |topic: &&str| Append {
            topic: Topic::parse(topic).unwrap(),
            body: EventBody::from_stored(",\"data\":1}".into()),
            key: None,
        };
        let answers = bus.append(topics.iter().map(append).collect()).await;
        assert!(answers.iter().all(Result::is_ok));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_event_after_silence_comes_at_once_and_the_others_together() {
    let bus = bus(INTERVAL);
    let from = Instant::now();
    let got = follow(subscribe(&bus, "a").await, from, 9);
    publish(
        &bus,
        from,
        &["a"],
        &[0, 10, 20, 90, 130, 150, 300, 450, 460],
    )
    .await;
    let expected = [(0, 1), (100, 3), (200, 2), (300, 1), (450, 1), (550, 1)];
    assert_eq!(got.await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn each_pattern_has_an_interval_of_its_own() {
    let bus = bus(INTERVAL);
    let from = Instant::now();
    let a = follow(subscribe(&bus, "a.x").await, from, 3);
    let b = follow(subscribe(&bus, "b.*").await, from, 2);
    publish(&bus, from, &["a.x"], &[0, 10]).await;
    publish(&bus, from, &["b.x"], &[40, 50]).await;
    publish(&bus, from, &["a.x"], &[60]).await;
    assert_eq!(a.await.unwrap(), [(0, 1), (100, 2)]);
    assert_eq!(b.await.unwrap(), [(40, 1), (140, 1)]);
}

#[tokio::test(start_paused = true)]
async fn everybody_on_a_hot_topic_is_woken_at_the_same_moments() {
    let bus = bus(INTERVAL);
    let from = Instant::now();
    let mut all = Vec::new();
    for _ in 0..1_000 {
        all.push(follow(subscribe(&bus, "hot").await, from, 4));
    }
    publish(&bus, from, &["hot"], &[5, 6, 7, 8]).await;
    for got in all {
        assert_eq!(got.await.unwrap(), [(5, 1), (105, 3)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_comes_meanwhile_gets_what_there_is() {
    let bus = bus(INTERVAL);
    let from = Instant::now();
    let start = bus.head();
    let other = follow(subscribe(&bus, "a").await, from, 2);
    publish(&bus, from, &["a"], &[0, 10]).await;
    let mut poll = bus.open(SessionOptions::default());
    let patterns = vec![Pattern::parse("a").unwrap()];
    let subscribed = poll.subscribe(patterns, StartAt::After(start)).await;
    assert!(subscribed.unwrap().resumed);
    bus.probe().await.unwrap();
    let batch = poll.next_within(Duration::from_secs(1)).await.unwrap();
    assert_eq!(
        (batch.unwrap().events.len(), from.elapsed().as_millis()),
        (2, 10)
    );
    assert_eq!(other.await.unwrap(), [(0, 1), (100, 1)]);
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_each_event_comes_at_once() {
    let bus = bus(Duration::ZERO);
    let from = Instant::now();
    let got = follow(subscribe(&bus, "a").await, from, 3);
    publish(&bus, from, &["a"], &[0, 10, 20]).await;
    assert_eq!(got.await.unwrap(), [(0, 1), (10, 1), (20, 1)]);
}
