//! Live delivery: the same event, the same bytes, on every transport.

use serde_json::json;
use tidewire_client::Transport;
use tidewire_tests::{Case, Engine, Gateway, within};

/// Goal: one event is the same bytes on every transport. Method: three subscribers of one gateway.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_the_same_bytes_on_every_transport() {
    for engine in Engine::ALL {
        let gateway = Gateway::start(engine);
        let mut subscribers = Vec::new();
        for transport in Transport::ALL {
            subscribers.push(
                gateway
                    .subscribe(transport, &["orders.*", "orders.>"], "now")
                    .await,
            );
        }
        let id = gateway
            .publish("orders.eu", json!({"total": 42, "note": "\u{2028}ü"}))
            .await;
        let mut bytes = Vec::new();
        for subscriber in &mut subscribers {
            let event = subscriber.event().await;
            assert_eq!(event.id, id);
            bytes.push(event.json);
        }
        assert!(bytes.iter().all(|json| *json == bytes[0]), "{bytes:?}");

        gateway.publish("orders.us", 2).await;
        for subscriber in &mut subscribers {
            let data = within(subscriber.data(1)).await;
            assert_eq!(data, [json!(2)], "an event that matches twice comes once");
        }
    }
}

/// Goal: order and completeness under load. Method: 2,000 events in batches, read while they come.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_published_comes_once_and_in_order() {
    Case::each(|case| async move {
        let gateway = Gateway::start(case.engine);
        let mut subscriber = gateway.subscribe(case.transport, &["n.>"], "now").await;
        let client = gateway.client();
        let publishing = tokio::spawn(async move {
            for batch in 0..20_u32 {
                let event = |n| {
                    let topic = format!("n.{}", n % 7);
                    tidewire_client::NewEvent::json(topic, &(batch * 100 + n)).unwrap()
                };
                let events: Vec<_> = (0..100).map(event).collect();
                client.publish_all(&events).await.unwrap();
            }
        });
        let expected: Vec<_> = (0..2_000).map(|n| json!(n)).collect();
        assert_eq!(subscriber.data(2_000).await, expected);
        publishing.await.unwrap();
    })
    .await;
}
