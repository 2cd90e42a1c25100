//! One cursor, every transport: cut anywhere, go on anywhere.

use rand::Rng;
use rand::seq::IndexedRandom;
use tidewire_client::{NewEvent, Transport};
use tidewire_tests::{Case, Engine, Gateway, Seen, rounds, seeded, within};

/// Goal: a subscriber that is cut before any event arrives loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_is_cut_before_its_first_event_loses_nothing() {
    Case::each(|case| async move {
        let gateway = Gateway::start(case.engine);
        let subscriber = gateway.subscribe(case.transport, &["a"], "now").await;
        let cursor = subscriber.cursor().to_owned();
        drop(subscriber);
        gateway.publish("a", 1).await;

        for transport in Transport::ALL {
            let mut subscriber = gateway.subscribe(transport, &["a"], &cursor).await;
            assert!(subscriber.resumed() || transport == Transport::Poll);
            assert_eq!(subscriber.data(1).await, [1]);
        }
    })
    .await;
}

/// Goal: one and the same subscriber, cut at any point on one transport, goes on with its cursor on
/// another: every event once, in order.
/// Method: a publisher that never pauses; for each ordered pair of transports, cuts after a random
/// number of events or at once; one topic and patterns; both engines. The checker compares with what
/// the publisher had acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_is_cut_anywhere_goes_on_on_any_transport() {
    let mut random = seeded();
    let cuts = rounds(1_008, 72);
    for engine in Engine::ALL {
        // A small window, so that many of the resumes read the engine.
        let gateway = Gateway::with(engine, |settings| settings.bus.window_max_events = 64);
        let client = gateway.client();
        let stop = tokio_util::sync::CancellationToken::new();
        let stopped = stop.clone();
        let publishing = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !stopped.is_cancelled() {
                let topic = ["a.x", "a.y", "b"][acknowledged.len() % 3];
                let event = NewEvent::json(topic, &acknowledged.len()).unwrap();
                let answer = client.publish(&event).await.unwrap();
                acknowledged.push((answer.id.to_string(), topic));
            }
            acknowledged
        });

        let client = gateway.client();
        let start = gateway.bus.head().to_string();
        let sets: [&[&str]; 3] = [&["a.x"], &["a.*"], &["a.x", "b", "a.>"]];
        let pairs: Vec<_> = Transport::ALL
            .iter()
            .flat_map(|from| Transport::ALL.map(|to| (*from, to)))
            .collect();
        let mut histories = Vec::new();
        for topics in sets {
            let mut cursor = start.clone();
            let mut got = Vec::new();
            for cut in 0..cuts / sets.len() / Engine::ALL.len() {
                let (from, to) = pairs[cut % pairs.len()];
                for transport in [from, to] {
                    let mut subscriber =
                        tidewire_tests::Subscriber::open(&client, transport, topics, &cursor).await;
                    let wanted = *[0, 0, 1, 2, 3, random.random_range(0..40)]
                        .choose(&mut random)
                        .unwrap();
                    for _ in 0..wanted {
                        match subscriber.next().await {
                            Seen::Event(event) => got.push((event.id, event.topic)),
                            Seen::Gap(gap) => panic!("nothing was evicted: {gap:?}"),
                        }
                    }
                    cursor = subscriber.cursor().to_owned();
                }
            }
            histories.push((topics, got));
        }
        stop.cancel();
        let acknowledged = within(publishing).await.unwrap();
        for (topics, got) in histories {
            let patterns: Vec<_> = topics
                .iter()
                .map(|topic| tidewire_protocol::Pattern::parse(topic).unwrap())
                .collect();
            let matches = |topic: &str| {
                let topic = tidewire_protocol::Topic::parse(topic).unwrap();
                patterns.iter().any(|pattern| pattern.matches(&topic))
            };
            let expected = acknowledged
                .iter()
                .filter(|(id, topic)| *id > start && matches(topic))
                .map(|(id, topic)| (id.clone(), (*topic).to_owned()));
            // Up to where the subscriber got: what was published after its last cut it did not ask for.
            let expected: Vec<_> = expected.take(got.len()).collect();
            assert_eq!(got, expected, "{topics:?} on {engine:?}");
            assert!(!got.is_empty());
        }
        gateway.stop().await;
    }
}
