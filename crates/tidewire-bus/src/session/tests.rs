//! The shell of a session that conflates, over a real log.

use std::sync::Arc;
use std::time::Duration;

use tidewire_protocol::{Pattern, StartAt, Topic};
use tokio::time::timeout;

use super::SessionOptions;
use crate::testing::body;
use crate::{Append, Bus, BusConfig, MemoryConfig, MemoryEngine, RetentionTable};

async fn bus_with(events: u64) -> Bus {
    let engine = MemoryEngine::new(MemoryConfig::default(), RetentionTable::default());
    let bus = Bus::start(Arc::new(engine), BusConfig::default());
    append(&bus, events).await;
    bus
}

async fn append(bus: &Bus, events: u64) {
    let append = |data| Append {
        topic: Topic::parse(&format!("t.{}", data % 10)).unwrap(),
        body: body(data),
        key: None,
    };
    let all: Vec<_> = (0..events).map(append).collect();
    for part in all.chunks(1_000) {
        bus.append(part.to_vec()).await;
    }
    bus.probe().await.unwrap();
}

fn conflate() -> SessionOptions {
    SessionOptions {
        conflate: true,
        ..SessionOptions::default()
    }
}

/// Goal: a client that sends all the time gets its events all the same. Method: each call is dropped at its first
/// wait, as the loop of a WebSocket does when a frame comes.
#[tokio::test]
async fn a_read_that_is_dropped_again_and_again_comes_to_its_end() {
    let bus = bus_with(10_000).await;
    let mut session = bus.open(conflate());
    let all = vec![Pattern::parse(">").unwrap()];
    session.subscribe(all, StartAt::Start).await.unwrap();
    let mut calls = 0;
    let batch = loop {
        calls += 1;
        assert!(calls < 1_000, "each call begins anew");
        if let Ok(batch) = timeout(Duration::ZERO, session.next()).await {
            break batch.unwrap();
        }
    };
    assert!(calls > 5, "nothing was dropped");
    assert_eq!((batch.events.len(), batch.skipped), (10, 9_990));
    assert_eq!(batch.cursor, bus.head());
}

/// Goal: a wake-up does not go with a read that was dropped. Method: a session that was at the end of the log begins to read
/// what has come, without waiting, and is dropped halfway; then it waits.
#[tokio::test]
async fn a_read_that_was_dropped_leaves_the_wake_up_to_the_next() {
    let bus = bus_with(10).await;
    let mut session = bus.open(conflate());
    let all = vec![Pattern::parse(">").unwrap()];
    session.subscribe(all, StartAt::Start).await.unwrap();
    session.next().await.unwrap();
    append(&bus, 10_000).await;
    let halfway = timeout(Duration::ZERO, session.next_within(Duration::ZERO)).await;
    assert!(halfway.is_err());
    let batch = timeout(DEADLINE, session.next()).await;
    let batch = batch.expect("it waits for ever").unwrap();
    assert_eq!(batch.cursor, bus.head());
}

/// Goal: what was seen for other patterns is not delivered for these. Method: the patterns change between two
/// calls, the first of which is dropped halfway.
#[tokio::test]
async fn what_was_seen_before_the_patterns_changed_is_looked_at_anew() {
    let bus = bus_with(10_000).await;
    let mut session = bus.open(conflate());
    let (one, two) = (
        Pattern::parse("t.1").unwrap(),
        Pattern::parse("t.2").unwrap(),
    );
    let both = vec![one.clone(), two];
    session.subscribe(both, StartAt::Start).await.unwrap();
    let halfway = timeout(Duration::ZERO, session.next()).await;
    assert!(halfway.is_err());
    session.unsubscribe(&[one]);
    let batch = session.next().await.unwrap();
    assert_eq!((batch.events.len(), batch.skipped), (1, 999));
    assert_eq!(batch.events[0].event().topic().as_str(), "t.2");
}

/// Goal: nobody gets an event once its topic was forgotten. Method: it is forgotten while a read is halfway.
#[tokio::test]
async fn what_was_forgotten_halfway_through_a_read_is_not_delivered() {
    let bus = bus_with(10_000).await;
    let mut session = bus.open(conflate());
    let all = vec![Pattern::parse(">").unwrap()];
    session.subscribe(all, StartAt::Start).await.unwrap();
    let halfway = timeout(Duration::ZERO, session.next()).await;
    assert!(halfway.is_err());
    let topic = Topic::parse("t.9").unwrap();
    bus.forget(&topic).await.unwrap();
    let batch = session.next().await.unwrap();
    let topics = batch.events.iter().map(|event| event.event().topic());
    assert!(!topics.collect::<Vec<_>>().contains(&&topic));
}

/// Goal: a session is a cursor: between two batches it holds none of the events that it has seen. Method: count
/// who holds each event, before and after a read that has kept ten and delivered two.
#[tokio::test]
async fn nothing_of_what_was_seen_is_held_between_two_batches() {
    let bus = bus_with(1_000).await;
    let all = || vec![Pattern::parse(">").unwrap()];
    let mut reader = bus.open(SessionOptions {
        batch_max_events: 1_000,
        ..SessionOptions::default()
    });
    reader.subscribe(all(), StartAt::Start).await.unwrap();
    let log = reader.next().await.unwrap().events;
    assert_eq!(log.len(), 1_000);
    let holders = || log.iter().map(Arc::strong_count).collect::<Vec<_>>();
    let before = holders();

    let mut session = bus.open(SessionOptions {
        batch_max_events: 2,
        ..conflate()
    });
    session.subscribe(all(), StartAt::Start).await.unwrap();
    let batch = session.next().await.unwrap();
    assert_eq!((batch.events.len(), batch.skipped), (2, 990));
    drop(batch);
    assert_eq!(holders(), before);
}

const DEADLINE: Duration = Duration::from_secs(30);
