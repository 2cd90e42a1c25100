//! `conflate=latest`: a subscriber that is behind gets the newest value of each topic, and is told of the rest.

mod reader;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tidewire_client::{Client, NewEvent, Transport};
use tidewire_tests::{Case, Engine, Executable, Gateway, Settings, rounds, within};

use reader::{Reader, Tally, UPGRADE};

/// Goal: a slow reader of a ticker gets the last value of every topic, in order, and every value is either
/// delivered or counted. Method: 1,000 topics; the reader reads as much as one round has while ten are published.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_ticker_gets_the_last_value_of_every_topic() {
    Case::each(|case| async move {
        let gateway = Gateway::with(case.engine, set);
        let client = gateway.client();
        let mut reader = Reader::open(&gateway, case.transport, "ticker.*").await;
        let mut tally = Tally::default();
        let turns = rounds(3, 2) as u64;
        for turn in 0..turns {
            for round in 0..10 {
                publish_round(&client, turn * 10 + round).await;
                reader.show_life().await;
            }
            let enough = tally.delivered + TOPICS;
            while tally.delivered < enough {
                reader.read(&mut tally).await;
            }
        }

        let published = turns * 10 * TOPICS;
        while tally.delivered + tally.skipped < published {
            reader.read(&mut tally).await;
        }
        eprintln!(
            "{published} published, {} delivered, {} skipped",
            tally.delivered, tally.skipped
        );
        assert_eq!(
            tally.delivered + tally.skipped,
            published,
            "nothing is told twice"
        );
        assert_eq!(tally.newest.len() as u64, TOPICS);
        for (topic, value) in &tally.newest {
            assert_eq!(*value, turns * 10 - 1, "the last value of {topic}");
        }
        assert!(
            tally.delivered < published / 2,
            "{} delivered",
            tally.delivered
        );
    })
    .await;
}

/// Goal: a subscriber that never gets a quiet moment is told of what was skipped all the same. Method: the
/// publisher goes on without a pause until it has been told twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_skipped_is_told_although_events_never_pause() {
    for transport in [Transport::WebSocket, Transport::Sse] {
        let gateway = Gateway::with(Engine::Memory, set);
        let client = gateway.client();
        let mut reader = Reader::open(&gateway, transport, "ticker.*").await;
        let is_told = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_told);
        let publishing = tokio::spawn(async move {
            let mut events = 0;
            // Few topics: of each batch some values are always skipped, however fast the reader is.
            while !stop.load(Ordering::Relaxed) {
                let event = |n: u64| {
                    NewEvent::json(format!("ticker.{}", n % 5), &json!([events + n])).unwrap()
                };
                let batch: Vec<_> = (0..50).map(event).collect();
                events += 50;
                client.publish_all(&batch).await.unwrap();
            }
            events
        });
        let mut tally = Tally::default();
        let told_twice = async {
            while tally.told < 2 {
                reader.read(&mut tally).await;
            }
        };
        within(told_twice).await;
        is_told.store(true, Ordering::Relaxed);
        let published = within(publishing).await.unwrap();
        while tally.delivered + tally.skipped < published {
            reader.read(&mut tally).await;
        }
        assert_eq!(tally.delivered + tally.skipped, published);
    }
}

/// Goal: conflating readers that stop cost no more than their connection and one batch each, however far they lie
/// behind and however many look ahead at the same time. Method: the log is filled until the gateway has reached its size;
/// then readers that begin at its start stop, and as much again is published.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflating_reader_that_stops_costs_no_memory() {
    let folder = Executable::folder();
    let patience = [
        ("TIDEWIRE_LIMITS__WRITE_TIMEOUT", "10m"),
        ("TIDEWIRE_LIMITS__HEARTBEAT", "10m"),
    ];
    let gateway = Executable::with(folder.path(), Engine::Disk, "127.0.0.1:0", &patience).await;
    let client = gateway.client();
    let payload = "x".repeat(20_000);
    let publish = async |batches: u64| {
        for batch in 0..batches {
            let event = |n: u64| {
                let topic = format!("load.{}", (batch * 50 + n) % 300);
                NewEvent::json(topic, &payload).unwrap()
            };
            let events: Vec<_> = (0..50).map(event).collect();
            within(client.publish_all(&events)).await.unwrap();
        }
    };
    publish(120).await;
    let (before, _) = gateway.memory();
    let stopped: Vec<_> = (0..STOPPED)
        .map(|number| {
            let (path, upgrade) = if number % 2 == 0 { ("ws", UPGRADE) } else { ("sse", "") };
            let request = format!(
                "GET /{path}?topic=load.*&after=start&conflate=latest HTTP/1.1\r\nHost: {}\r\n{upgrade}\r\n",
                gateway.address()
            );
            crate::slow::reader_that_stops(gateway.address(), gateway.certificate(), &request)
        })
        .collect();
    publish(60).await;
    let (after, peak) = gateway.memory();
    let open = gateway
        .metric("tidewire_connections{transport=\"websocket\"}")
        .await
        + gateway
            .metric("tidewire_connections{transport=\"sse\"}")
            .await;
    assert_eq!(
        open as usize, STOPPED,
        "nobody was closed to give the memory back"
    );
    let grown = after.saturating_sub(before);
    let peak = peak.saturating_sub(before);
    eprintln!(
        "memory grew by {} MB, at most {} MB, with {STOPPED} that stopped",
        grown >> 20,
        peak >> 20
    );
    assert!(grown < MEMORY_BOUND, "{grown} bytes");
    drop(stopped);
}

fn set(settings: &mut Settings) {
    settings.server.limits.heartbeat = HEARTBEAT;
    settings.server.limits.publishes_per_second = 1_000_000;
}

/// One value for each topic.
async fn publish_round(client: &Client, round: u64) {
    let event = |topic| {
        let padding = "x".repeat(PADDING);
        NewEvent::json(format!("ticker.{topic}"), &json!([round, padding])).unwrap()
    };
    let events: Vec<_> = (0..TOPICS).map(event).collect();
    within(client.publish_all(&events)).await.unwrap();
}

const TOPICS: u64 = 1_000;
/// Much more in ten rounds than the sockets between the gateway and its reader hold.
const PADDING: usize = 900;
const HEARTBEAT: Duration = Duration::from_secs(2);
const STOPPED: usize = 60;
/// What the store still grows by, a batch for each, and what few sessions at a time may hold while they look ahead.
const MEMORY_BOUND: u64 = 110 << 20;
