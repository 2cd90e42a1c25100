//! SSE and long-poll over TLS, HTTP/1.1 and HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use serde_json::{Value, json};
use tidewire_protocol::event_stream::{Block, Parser};
use tokio::time::timeout;

use crate::gateway::{DEADLINE, Gateway, json, refused, sent};

/// Reads blocks from a stream.
struct Stream {
    response: Response,
    parser: Parser,
    ready: std::collections::VecDeque<Block>,
}

impl Stream {
    fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            parser: Parser::new(1 << 20),
            ready: Default::default(),
        }
    }

    async fn next(&mut self) -> Option<Block> {
        while self.ready.is_empty() {
            let chunk: Bytes = timeout(DEADLINE, self.response.chunk())
                .await
                .unwrap()
                .unwrap()?;
            self.ready.extend(self.parser.push(&chunk).unwrap());
        }
        self.ready.pop_front()
    }

    async fn expect(&mut self, name: &str) -> Value {
        let block = self.next().await.unwrap();
        assert_eq!(block.event, name);
        serde_json::from_str(&block.data).unwrap()
    }
}

#[tokio::test]
async fn a_stream_says_hello_and_a_heartbeat_at_once_and_then_events() {
    let gateway = Gateway::start();
    for http1 in [true, false] {
        let alpn: &[&[u8]] = if http1 { &[b"http/1.1"] } else { &[b"h2"] };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(gateway.tls(alpn))
            .build()
            .unwrap();
        let response = sent(client.get(gateway.url("/sse?topic=orders.%3E"))).await;
        assert_eq!(
            response.headers()["cache-control"],
            "no-store, no-transform"
        );
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut stream = Stream::new(response);
        let hello = stream.expect("hello").await;
        assert_eq!(hello["heartbeat_ms"], 15_000);
        assert_eq!(hello["resumed"], false);
        assert_eq!(stream.expect("hb").await["cursor"], hello["cursor"]);
        let id = gateway.publish("orders.1", json!({"http1": http1})).await;
        let event = stream.next().await.unwrap();
        assert_eq!(event.id.as_deref(), Some(id.as_str()));
        assert_eq!(event.event, "message");
    }
}

#[tokio::test]
async fn a_cut_stream_goes_on_with_its_last_event_id() {
    let gateway = Gateway::start();
    let first = gateway.publish("a", json!(1)).await;
    let second = gateway.publish("a", json!(2)).await;
    let request = gateway
        .get("/sse?topic=a&after=now")
        .header("last-event-id", &first);
    let mut stream = Stream::new(sent(request).await);
    assert_eq!(stream.expect("hello").await["resumed"], true);
    stream.expect("hb").await;
    assert_eq!(stream.next().await.unwrap().id, Some(second));
}

#[tokio::test]
async fn the_payload_alone_comes_with_its_type_as_the_event_name() {
    let gateway = Gateway::start();
    let mut stream = Stream::new(sent(gateway.get("/sse?topic=a&format=data")).await);
    stream.expect("hello").await;
    stream.expect("hb").await;
    sent(
        gateway
            .post("/topics/a?type=note")
            .header("content-type", "text/plain")
            .body("two\nlines"),
    )
    .await;
    let block = stream.next().await.unwrap();
    assert_eq!(
        (block.event.as_str(), block.data.as_str()),
        ("note", "two\nlines")
    );
}

#[tokio::test]
async fn silence_is_broken_by_heartbeats() {
    let gateway = Gateway::with(|config| config.limits.heartbeat = Duration::from_millis(50));
    let mut stream = Stream::new(sent(gateway.get("/sse?topic=a")).await);
    stream.expect("hello").await;
    for _ in 0..4 {
        stream.expect("hb").await;
    }
}

#[tokio::test]
async fn a_poll_waits_for_an_event_and_answers_with_its_cursor() {
    let gateway = Gateway::start();
    let begin = json(sent(gateway.get("/poll?topic=a")).await).await;
    assert_eq!(begin["events"], json!([]));
    let path = format!("/poll?topic=a&after={}", begin["cursor"].as_str().unwrap());
    let held = tokio::spawn(sent(gateway.get(&path)));
    gateway
        .counted("tidewire_connections{transport=\"poll\"} 1")
        .await;
    let id = gateway.publish("a", json!("hi")).await;
    let answer = json(held.await.unwrap()).await;
    assert_eq!(answer["events"][0]["id"], id);
    assert_eq!(answer["cursor"], id);
    assert_eq!(answer["more"], false);
    let again = json(sent(gateway.get(&format!("/poll?topic=a&after={id}&wait=0"))).await).await;
    assert_eq!(
        (&again["events"], &again["cursor"]),
        (&json!([]), &json!(id))
    );
}

#[tokio::test]
async fn a_poll_takes_no_more_than_its_limit_and_says_that_there_is_more() {
    let gateway = Gateway::start();
    for number in 0..5 {
        gateway.publish("a", json!(number)).await;
    }
    let page = json(sent(gateway.get("/poll?topic=a&after=start&limit=3")).await).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 3);
    assert_eq!(page["more"], true);
    let path = format!(
        "/poll?topic=a&limit=3&after={}",
        page["cursor"].as_str().unwrap()
    );
    let page = json(sent(gateway.get(&path)).await).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    assert_eq!(page["more"], false);
}

#[tokio::test]
async fn without_room_an_event_source_gets_a_bye_and_a_poll_a_503() {
    let gateway = Gateway::with(|config| config.limits.sessions_per_address = 1);
    let mut first = Stream::new(sent(gateway.get("/sse?topic=a")).await);
    first.expect("hello").await;
    let native = gateway
        .get("/sse?topic=a")
        .header("accept", "text/event-stream");
    let mut second = Stream::new(sent(native).await);
    assert_eq!(second.expect("bye").await["code"], 4100);
    assert!(second.next().await.is_none());
    let headers = refused(gateway.get("/sse?topic=a"), 503, "unavailable").await;
    assert!(headers.contains_key("retry-after"));
    refused(gateway.get("/poll?topic=a&after=start"), 503, "unavailable").await;
    drop(first);
    gateway
        .counted("tidewire_connections{transport=\"sse\"} 0")
        .await;
    let mut third = Stream::new(sent(gateway.get("/sse?topic=a")).await);
    third.expect("hello").await;
}
