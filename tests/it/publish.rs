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
