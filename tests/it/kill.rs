//! `kill -9` in the middle of publishing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng;
use tidewire_client::{NewEvent, Transport};
use tidewire_tests::{Engine, Executable, Subscriber, rounds, seeded, within};

/// Goal: every acknowledged event is there after the restart, in order, and the cursor of before the
/// kill resumes. Method: publishers without a pause, a kill after a random number of answers.
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_is_there_after_a_kill() {
    let mut random = seeded();
    let folder = Executable::folder();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut slowest_start = Duration::ZERO;
    let mut address = "127.0.0.1:0".to_owned();
    let rounds = rounds(50, 5);
    let mut before_kill: Option<(String, Vec<String>)> = None;
    for round in 0..rounds {
        let started = Instant::now();
        let gateway = Executable::start(folder.path(), Engine::Disk, &address).await;
        slowest_start = slowest_start.max(started.elapsed());
        gateway.address().clone_into(&mut address);

        if let Some((cursor, rest)) = before_kill.take() {
            let transport = Transport::ALL[round % 3];
            let client = gateway.client();
            let mut subscriber = Subscriber::open(&client, transport, &["kill.>"], &cursor).await;
            for id in &rest {
                // Unacknowledged events may stand between; acknowledged ones are all there.
                while subscriber.event().await.id != *id {}
            }
        }

        let answers = Arc::new(Mutex::new(Vec::new()));
        let mut publishers = Vec::new();
        for publisher in 0..4 {
            let answers = Arc::clone(&answers);
            let client = gateway.client();
            publishers.push(tokio::spawn(async move {
                for n in 0.. {
                    let event = NewEvent::json(format!("kill.{publisher}"), &n).unwrap();
                    match client.publish(&event).await {
                        Ok(answer) => answers.lock().unwrap().push(answer.id.to_string()),
                        Err(_) => return,
                    }
                }
            }));
        }
        let enough = random.random_range(1..200);
        let cursor = acknowledged.last().cloned();
        within(async {
            while answers.lock().unwrap().len() < enough {
                tokio::task::yield_now().await;
            }
        })
        .await;
        gateway.kill().await;
        for publisher in publishers {
            publisher.abort();
            // It was cut in the middle of a publish whose outcome nobody knows.
            let _ = within(publisher).await;
        }
        let mut new = std::mem::take(&mut *answers.lock().unwrap());
        new.sort();
        acknowledged.extend(new.iter().cloned());
        before_kill = cursor.map(|cursor| (cursor, new));
    }

    let gateway = Executable::start(folder.path(), Engine::Disk, &address).await;
    let client = gateway.client();
    let mut subscriber = Subscriber::open(&client, Transport::Sse, &["kill.>"], "start").await;
    assert!(
        acknowledged.is_sorted(),
        "ids sort in log order across restarts"
    );
    for id in &acknowledged {
        while subscriber.event().await.id != *id {}
    }
    eprintln!(
        "{} events acknowledged; slowest start {slowest_start:?}",
        acknowledged.len()
    );
    assert!(slowest_start < Duration::from_secs(20), "{slowest_start:?}");
}

/// Goal: a relaxed durability is about the machine: a kill of the gateway loses nothing, and cursors go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_under_a_relaxed_durability_either() {
    for durability in ["interval", "none"] {
        let folder = Executable::folder();
        let relaxed = [
            ("TIDEWIRE_DISK__DURABILITY", durability),
            ("TIDEWIRE_DISK__SYNC_INTERVAL", "1h"),
        ];
        let start = || Executable::with(folder.path(), Engine::Disk, "127.0.0.1:0", &relaxed);
        let gateway = start().await;
        let mut first = None;
        for n in 1..=100 {
            let event = NewEvent::json("kill", &n).unwrap();
            let answer = within(gateway.client().publish(&event)).await.unwrap();
            first.get_or_insert(answer.id.to_string());
        }
        gateway.kill().await;
        let gateway = start().await;
        let client = gateway.client();
        let first = first.unwrap();
        let mut resumed = Subscriber::open(&client, Transport::Sse, &["kill"], &first).await;
        assert!(resumed.resumed(), "{durability}");
        let rest: Vec<_> = (2..=100).map(serde_json::Value::from).collect();
        assert_eq!(resumed.data(99).await, rest, "{durability}");
    }
}
