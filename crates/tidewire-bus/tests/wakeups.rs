//! Goal: the read of the log and the registration to be woken are one step.
//! Method: a publisher and a poll that is just being parked race each other, again and again. A lost
//! wake-up would leave the poll parked until its time limit.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::sync::Arc;
use std::time::Duration;

use tidewire_bus::{
    Append, Bus, BusConfig, MemoryConfig, MemoryEngine, Retention, RetentionTable, SessionOptions,
};
use tidewire_protocol::{EventBody, Pattern, StartAt, Topic};
use tokio::sync::mpsc;

/// `TIDEWIRE_ROUNDS` sets the number of races.
fn rounds() -> u64 {
    let rounds = std::env::var("TIDEWIRE_ROUNDS").ok();
    rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(100_000)
}

fn bus() -> Bus {
    let keep = Retention {
        max_events: Some(100),
        max_bytes: None,
        max_age: None,
    };
    let retention = RetentionTable::new(Vec::new(), keep);
    let engine = Arc::new(MemoryEngine::new(MemoryConfig::default(), retention));
    Bus::start(engine, BusConfig::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_poll_that_is_just_being_parked_misses_an_event() {
    let bus = bus();
    let rounds = rounds();
    // The publisher starts each round as soon as the poller has a cursor, at no particular moment.
    let (go, mut starts) = mpsc::channel::<u64>(1);
    let publisher = bus.clone();
    let publishing = tokio::spawn(async move {
        while let Some(round) = starts.recv().await {
            for _ in 0..round % 50 {
                std::hint::spin_loop();
            }
            let append = Append {
                topic: Topic::parse(["a.x", "a.y"][(round % 2) as usize]).unwrap(),
                body: EventBody::from_stored(format!(",\"data\":{round}}}").into()),
                key: None,
            };
            publisher.append(vec![append]).await.pop().unwrap().unwrap();
        }
    });

    let mut cursor = bus.head();
    for round in 0..rounds {
        go.send(round).await.unwrap();
        let pattern = Pattern::parse(if round % 3 == 0 { ">" } else { "a.*" }).unwrap();
        let mut poll = bus.open(SessionOptions::default());
        let subscribed = poll
            .subscribe(vec![pattern], StartAt::After(cursor))
            .await
            .unwrap();
        assert!(subscribed.resumed, "round {round}");
        let batch = poll.next_within(Duration::from_secs(30)).await.unwrap();
        let batch = batch.unwrap_or_else(|| panic!("a lost wake-up in round {round}"));
        assert_eq!(batch.events.len(), 1, "round {round}");
        cursor = batch.cursor;
    }
    drop(go);
    publishing.await.unwrap();
}
