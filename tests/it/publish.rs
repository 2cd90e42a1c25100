//! Publishing: what one refused element costs the others.

use tidewire_client::{NewEvent, Transport};
use tidewire_tests::{Engine, Gateway, within};

/// Goal: a publisher over its rate keeps its order. Method: ten times what the rate lets through, in
/// batches whose refused elements the client repeats; the subscriber sees them in the order of the batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_the_rate_keeps_its_order() {
    let gateway = Gateway::with(Engine::Memory, |settings| {
        settings.server.limits.publishes_per_second = 200;
    });
    let mut subscriber = gateway.subscribe(Transport::Sse, &["n"], "now").await;
    let events: Vec<_> = (0..600).map(|n| NewEvent::json("n", &n).unwrap()).collect();
    let client = gateway.client();
    let publishing = tokio::spawn(async move { client.publish_all(&events).await.unwrap() });
    let expected: Vec<_> = (0..600).map(serde_json::Value::from).collect();
    assert_eq!(subscriber.data(600).await, expected);
    let answers = within(publishing).await.unwrap();
    assert_eq!(answers.len(), 600);
}
