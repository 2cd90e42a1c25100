//! A session that retention passes while its reader does not read.

use serde_json::json;
use tidewire_client::{NewEvent, Transport};
use tidewire_protocol::{Cursor, GapReason};
use tidewire_tests::{Engine, Gateway, Seen, within};

use super::{Cause, rule};

/// Goal: a reader that was too slow is told so once it reads on, before the events that follow and with the
/// pattern that lost something alone; everything else came. Method: more than the sockets hold is published
/// to a topic that keeps two events while nobody reads; a topic beside it keeps everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_retention_passed_is_told_that_it_was_slow() {
    for engine in Engine::ALL {
        for (transport, lossy, beside) in [
            (Transport::WebSocket, "a.x", "b.>"),
            (Transport::Sse, "a.*", "b"),
        ] {
            eprintln!("{engine:?} {transport:?} {lossy} {beside}");
            let gateway = Gateway::with(engine, |settings| {
                settings.rules = vec![rule("a.x", Cause::Count.limits())];
                settings.bus.window_max_events = 3;
            });
            let topics = [lossy, beside];
            let mut subscriber = gateway.subscribe(transport, &topics, "now").await;
            let payload = "x".repeat(60_000);
            let mut published = Vec::new();
            for batch in 0..BATCHES {
                let mut events: Vec<_> = (0..10)
                    .map(|n| NewEvent::json("a.x", &json!([batch, n, payload])).unwrap())
                    .collect();
                let beside = if beside == "b.>" { "b.k" } else { "b" };
                events.push(NewEvent::json(beside, &batch).unwrap());
                let answers = within(gateway.client().publish_all(&events)).await.unwrap();
                for (answer, event) in answers.into_iter().zip(0..) {
                    let tidewire_client::PublishElement::Answer(answer) = answer else {
                        panic!("{answer:?}");
                    };
                    published.push((answer.id, event < 10));
                }
            }

            let last = published.last().unwrap().0.clone();
            let place = |id: &str| Cursor::parse(id).unwrap().place;
            let (mut due, mut passed, mut gaps) = (0_usize, 0, 0);
            let mut told_to = 0;
            loop {
                match within(subscriber.next()).await {
                    Seen::Gap(gap) => {
                        gaps += 1;
                        assert_eq!(gap.reason, GapReason::Slow);
                        assert_eq!(gap.topics, [lossy]);
                        assert!(place(&gap.after) <= place(&gap.cursor));
                        // Up to here everything came; what follows begins after there.
                        let had = due.checked_sub(1).map_or(0, |had| place(&published[had].0));
                        assert!(place(&gap.after) >= had, "{gap:?}");
                        told_to = place(&gap.cursor);
                    }
                    Seen::Event(event) => {
                        assert!(place(&event.id) > told_to);
                        while published[due].0 != event.id {
                            assert!(gaps > 0, "a hole before anything was told");
                            assert!(published[due].1, "{} was kept", published[due].0);
                            passed += 1;
                            due += 1;
                        }
                        due += 1;
                        if event.id == last {
                            break;
                        }
                    }
                }
            }
            assert_eq!(due, published.len());
            assert!(
                gaps > 0 && passed > 0,
                "{gaps} gaps, {passed} events: the reader was not slow"
            );
        }
    }
}

/// Each of ten large events and one small.
const BATCHES: usize = 30;
