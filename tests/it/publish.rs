//! Publishing: what one refused element costs the others.

use tidewire_client::{NewEvent, Transport};
use tidewire_tests::{Engine, Gateway, within};

/// Goal: a publisher over its rate keeps its order. Method: three times what the rate lets through at once,
/// in batches whose refused elements the client repeats, at a rate that lets tokens drip in while one batch
/// is being looked at; the subscriber sees the events in their order.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_the_rate_keeps_its_order() {
    let gateway = Gateway::with(Engine::Memory, |settings| {
        settings.server.limits.publishes_per_second = 2_000;
    });
    let mut subscriber = gateway.subscribe(Transport::Sse, &["n"], "now").await;
    let events: Vec<_> = (0..6_000)
        .map(|n| NewEvent::json("n", &n).unwrap())
        .collect();
    let client = gateway.client();
    let publishing = tokio::spawn(async move { client.publish_all(&events).await.unwrap() });
    let expected: Vec<_> = (0..6_000).map(serde_json::Value::from).collect();
    assert_eq!(subscriber.data(6_000).await, expected);
    let answers = within(publishing).await.unwrap();
    assert_eq!(answers.len(), 6_000);
}

/// Goal: a key that a publisher chooses never runs into the key of an element. Method: a single publish
/// with a key that looks like the first element's, then an array under that header.
#[tokio::test(flavor = "multi_thread")]
async fn an_element_of_an_array_has_a_key_of_its_own() {
    for engine in Engine::ALL {
        let gateway = Gateway::start(engine);
        let mut subscriber = gateway.subscribe(Transport::Sse, &["n"], "now").await;
        for key in ["a#0", "a0", "a\u{20}0"] {
            let event = NewEvent::json("n", &1).unwrap().key(key);
            gateway.client().publish(&event).await.unwrap();
        }
        let body = r#"[{"topic":"n","data":2},{"topic":"n","data":3}]"#;
        for duplicate in [false, true] {
            let answer = gateway
                .post("/publish", &[("Idempotency-Key", "a")], body)
                .await;
            let duplicates = answer.matches("\"duplicate\":true").count();
            assert_eq!(duplicates, if duplicate { 2 } else { 0 }, "{answer}");
        }
        assert_eq!(subscriber.data(5).await, [1, 1, 1, 2, 3]);
    }
}

/// Goal: a refusal is heard although the body was not wanted. Method: over HTTP/2, where answering early
/// resets the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_publish_is_answered_after_its_body_was_read() {
    let gateway = Gateway::start(Engine::Memory);
    for _ in 0..20 {
        let body = "x".repeat(100_000);
        let answer = gateway.post("/topics/%24own", &[], &body).await;
        assert!(answer.contains("\"code\":\"forbidden\""), "{answer}");
    }
}
