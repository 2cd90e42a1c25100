//! The client against a server that follows a script: what no well-behaved gateway does, it meets here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::time::Duration;

use futures_util::FutureExt;
use server::{Reply, Server, answer, header, stream, within};
use tidewire_client::{
    Backoff, Client, ClientError, Frame, Item, NewEvent, PublishElement, Request, Subscription,
    Transport, TransportChoice,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

fn client(server: &Server) -> Client {
    Client::builder(&server.url)
        .token("tw_key")
        .build()
        .unwrap()
}

fn subscription(server: &Server, choice: TransportChoice) -> Subscription {
    let quick = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
    client(server)
        .subscribe(["a.>"])
        .transport(choice)
        .backoff(quick)
        .open()
}

/// The next item as a short text, errors included.
async fn told(subscription: &mut Subscription) -> String {
    match within(subscription.next()).await {
        None => "end".into(),
        Some(Err(error)) => format!("error: {error}"),
        Some(Ok(Item::Event(event))) => format!("event {}", event.id),
        Some(Ok(Item::Gap(gap))) => format!("gap {} to {}", gap.reason, gap.cursor),
        Some(Ok(Item::Connected {
            transport, resumed, ..
        })) => format!("{transport} resumed={resumed}"),
        Some(Ok(Item::Disconnected { .. })) => "disconnected".into(),
    }
}

fn hello(cursor: &str, resumed: bool, heartbeat_ms: u32) -> String {
    format!(
        r#"{{"session":"s","cursor":"{cursor}","resumed":{resumed},"heartbeat_ms":{heartbeat_ms}}}"#
    )
}

fn opening(cursor: &str, resumed: bool) -> String {
    let hello = hello(cursor, resumed, 15000);
    format!(
        "retry: 1\nevent: hello\nid: {cursor}\ndata: {hello}\n\nevent: hb\ndata: {{\"cursor\":\"{cursor}\"}}\n\n"
    )
}

fn event(id: &str) -> String {
    format!(r#"{{"id":"{id}","topic":"a.b","time":1,"data":1}}"#)
}

fn block(id: &str) -> String {
    format!("id: {id}\ndata: {}\n\n", event(id))
}

fn problem(status: u16, code: &str) -> String {
    format!(
        r#"{{"type":"about:blank","title":"x","status":{status},"code":"{code}","detail":"d"}}"#
    )
}

#[tokio::test]
async fn a_publish_is_repeated_with_the_same_key_until_it_is_answered() {
    let busy = answer(503, "retry-after: 0\r\n", &problem(503, "unavailable"));
    let done = answer(201, "", r#"{"id":"k-11","topic":"a.b"}"#);
    let mut server = Server::start([Reply::Cut, busy, done]).await;
    let event = NewEvent::text("a.b", "1.10").event_type("t");
    let answer = within(client(&server).publish(&event)).await.unwrap();
    assert_eq!(answer.id, "k-11");
    let first = server.request().await;
    assert!(first.starts_with("POST /publish "), "{first}");
    assert!(first.contains(r#"{"topic":"a.b","type":"t","data":1.10,"key":""#));
    assert_eq!(header(&first, "authorization").unwrap(), "Bearer tw_key");
    for _ in 0..2 {
        assert_eq!(server.request().await, first);
    }
}

#[tokio::test]
async fn a_publish_that_is_refused_is_not_repeated() {
    let mut server = Server::start([answer(409, "", &problem(409, "key_reused"))]).await;
    let error = within(client(&server).publish(&NewEvent::text("a", "1"))).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "the gateway answered 409 key_reused: d");
    server.request().await;
}

#[tokio::test]
async fn a_publish_without_a_gateway_gives_up_at_the_deadline() {
    let server = Server::start([]).await;
    let client = Client::builder(&server.url)
        .publish_deadline(Duration::from_millis(50))
        .build()
        .unwrap();
    let error = within(client.publish(&NewEvent::text("a", "1"))).await;
    assert!(
        matches!(error, Err(ClientError::GaveUp { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn of_a_batch_only_what_may_pass_is_repeated() {
    let first = format!(
        r#"[{{"id":"k-11","topic":"a"}},{},{}]"#,
        problem(429, "rate_limited"),
        problem(400, "bad_topic")
    );
    let second = r#"[{"id":"k-12","topic":"b"}]"#;
    let mut server = Server::start([answer(200, "", &first), answer(200, "", second)]).await;
    let events = ["a", "b", "c"].map(|topic| NewEvent::text(topic, "1"));
    let outcomes = within(client(&server).publish_all(&events)).await.unwrap();
    let ids: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            PublishElement::Answer(answer) => answer.id.as_str(),
            PublishElement::Problem(problem) => problem.code.as_str(),
        })
        .collect();
    assert_eq!(ids, ["k-11", "k-12", "bad_topic"]);
    let (first, second) = (server.request().await, server.request().await);
    let kept =
        &first[first.find(r#"{"topic":"b""#).unwrap()..first.find(r#",{"topic":"c""#).unwrap()];
    assert!(second.ends_with(&format!("[{kept}]")), "{second}");
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_with_its_cursor() {
    let first = stream(&(opening("k-10", false) + &block("k-11") + "id: k-12\ndata: {"));
    let second = stream(&(opening("k-11", true) + &block("k-11") + &block("k-12")));
    let mut server = Server::start([Reply::Bytes(first), Reply::Hold(second)]).await;
    let mut events = subscription(&server, TransportChoice::Sse);
    for expected in [
        "sse resumed=false",
        "event k-11",
        "disconnected",
        "sse resumed=true",
        "event k-12",
    ] {
        assert_eq!(told(&mut events).await, expected);
    }
    assert_eq!(events.cursor(), Some("k-12"));
    assert!(server.request().await.starts_with("GET /sse?topic=a.%3E "));
    let again = server.request().await;
    assert!(
        again.starts_with("GET /sse?topic=a.%3E&after=k-11 "),
        "{again}"
    );
}

#[tokio::test]
async fn a_silent_stream_is_dead_after_two_heartbeats() {
    let quick = opening("k-10", false).replace("15000", "100");
    let server = Server::start([Reply::Hold(stream(&quick))]).await;
    let mut events = subscription(&server, TransportChoice::Sse);
    assert_eq!(told(&mut events).await, "sse resumed=false");
    let Some(Ok(Item::Disconnected { reason, .. })) = within(events.next()).await else {
        panic!("not disconnected");
    };
    assert_eq!(reason, "sse: nothing came for 200ms");
}

#[tokio::test]
async fn a_proxy_in_the_way_makes_auto_fall_back() {
    let poll = r#"{"cursor":"k-10","events":[],"more":false}"#;
    let replies = [
        answer(404, "", "<html>"),
        answer(200, "content-type: text/html\r\n", "<html>"),
        answer(200, "", poll),
    ];
    let mut server = Server::start(replies).await;
    let mut events = subscription(&server, TransportChoice::Auto);
    for expected in ["disconnected", "disconnected", "poll resumed=false"] {
        assert_eq!(told(&mut events).await, expected);
    }
    for path in ["GET /ws?", "GET /sse?", "GET /poll?"] {
        let request = server.request().await;
        assert!(request.starts_with(path), "{request}");
    }
}

#[tokio::test]
async fn a_refusal_by_the_gateway_ends_the_subscription() {
    for choice in [
        TransportChoice::Auto,
        TransportChoice::Sse,
        TransportChoice::Poll,
    ] {
        let server = Server::start([answer(403, "", &problem(403, "forbidden"))]).await;
        let mut events = subscription(&server, choice);
        let refused = "error: the gateway answered 403 forbidden: d";
        assert_eq!(told(&mut events).await, refused);
        assert_eq!(told(&mut events).await, "end");
    }
}

#[tokio::test]
async fn polls_follow_each_other_by_cursor() {
    let gap = r#"{"topics":["a.>"],"after":"k-10","cursor":"k-212","reason":"evicted"}"#;
    let first = format!(
        r#"{{"cursor":"k-213","gap":{gap},"events":[{}],"more":true}}"#,
        event("k-213")
    );
    let second = format!(
        r#"{{"cursor":"k-214","events":[{}],"more":false}}"#,
        event("k-214")
    );
    let mut server = Server::start([answer(200, "", &first), answer(200, "", &second)]).await;
    let mut events = client(&server)
        .subscribe(["a.>"])
        .after("k-10")
        .transport(Transport::Poll)
        .open();
    for expected in [
        "poll resumed=false",
        "gap evicted to k-212",
        "event k-213",
        "event k-214",
    ] {
        assert_eq!(told(&mut events).await, expected);
    }
    let (first, second) = (server.request().await, server.request().await);
    assert!(
        first.starts_with("GET /poll?topic=a.%3E&after=k-10&wait=0&"),
        "{first}"
    );
    assert!(
        second.starts_with("GET /poll?topic=a.%3E&after=k-213&wait=25&"),
        "{second}"
    );
}

fn op(op: &str, json: &str) -> Message {
    Message::text(json.replacen('{', &format!(r#"{{"op":"{op}","#), 1))
}

fn close(code: u16) -> Message {
    let code = CloseCode::from(code);
    let reason = "why".into();
    Message::Close(Some(CloseFrame { code, reason }))
}

#[tokio::test]
async fn a_websocket_that_is_drained_comes_back_and_one_that_is_forbidden_does_not() {
    let first = vec![
        op("hello", &hello("k-10", false, 15000)),
        Message::text(event("k-11")),
        op("bye", r#"{"code":4203,"reason":"draining","retry_ms":3}"#),
        close(4203),
    ];
    let second = vec![op("hello", &hello("k-11", true, 15000)), close(4003)];
    let replies = [Reply::WebSocket(first), Reply::WebSocket(second)];
    let mut server = Server::start(replies).await;
    let mut events = subscription(&server, TransportChoice::WebSocket);
    assert_eq!(told(&mut events).await, "websocket resumed=false");
    assert_eq!(told(&mut events).await, "event k-11");
    let Some(Ok(Item::Disconnected { retry_in, .. })) = within(events.next()).await else {
        panic!("not disconnected");
    };
    assert!(retry_in >= Duration::from_millis(3), "{retry_in:?}");
    assert_eq!(told(&mut events).await, "websocket resumed=true");
    let forbidden = "error: the gateway ended the session: why (4003)";
    assert_eq!(told(&mut events).await, forbidden);
    assert_eq!(told(&mut events).await, "end");
    let first = server.request().await;
    assert!(first.starts_with("GET /ws?topic=a.%3E "), "{first}");
    let header = header(&first, "sec-websocket-protocol").unwrap();
    assert_eq!(header, "tidewire.v1");
    let second = server.request().await;
    assert!(
        second.starts_with("GET /ws?topic=a.%3E&after=k-11 "),
        "{second}"
    );
}

#[tokio::test]
async fn a_switch_goes_on_where_the_events_were_handed_over() {
    let buffered = opening("k-10", false) + &block("k-11") + &block("k-12");
    let poll = format!(
        r#"{{"cursor":"k-12","events":[{}],"more":false}}"#,
        event("k-12")
    );
    let replies = [Reply::Hold(stream(&buffered)), answer(200, "", &poll)];
    let mut server = Server::start(replies).await;
    let mut events = subscription(&server, TransportChoice::Sse);
    assert_eq!(told(&mut events).await, "sse resumed=false");
    assert_eq!(told(&mut events).await, "event k-11");
    events.switch(Transport::Poll);
    assert_eq!(told(&mut events).await, "poll resumed=true");
    assert_eq!(told(&mut events).await, "event k-12");
    server.request().await;
    let poll = server.request().await;
    assert!(poll.contains("after=k-11"), "{poll}");
}

#[tokio::test]
async fn dropped_calls_lose_nothing() {
    let blocks: String = (11..31).map(|n| block(&format!("k-{n}"))).collect();
    let whole = stream(&(opening("k-10", false) + &blocks));
    let server = Server::start([Reply::Hold(whole)]).await;
    let mut events = subscription(&server, TransportChoice::Sse);
    let mut ids = Vec::new();
    within(async {
        while ids.len() < 20 {
            // Polled once and dropped, again and again.
            match events.next().now_or_never() {
                Some(Some(Ok(Item::Event(event)))) => ids.push(event.id),
                Some(Some(Ok(Item::Connected { .. }))) => {}
                None => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let expected: Vec<_> = (11..31).map(|n| format!("k-{n}")).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn one_connection_shows_every_frame_and_its_end() {
    let bye = "event: bye\ndata: {\"code\":4203,\"reason\":\"draining\",\"retry_ms\":5}\n\n";
    let whole = stream(&(opening("k-10", false) + &block("k-11") + ": comment\n\n" + bye));
    let server = Server::start([Reply::Bytes(whole)]).await;
    let request = Request {
        topics: vec!["a.>".into()],
        ..Request::default()
    };
    let client = client(&server);
    let mut connection = within(client.connect(Transport::Sse, &request))
        .await
        .unwrap();
    let mut kinds = Vec::new();
    let end = loop {
        match within(connection.next()).await {
            Ok(Frame::Hello(_)) => kinds.push("hello"),
            Ok(Frame::Event(_)) => kinds.push("event"),
            Ok(Frame::Heartbeat { .. }) => kinds.push("heartbeat"),
            Ok(Frame::Bye { .. }) => kinds.push("bye"),
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert_eq!(kinds, ["hello", "heartbeat", "event", "bye"]);
    assert!(
        matches!(end, ClientError::Closed { code: 4203, .. }),
        "{end:?}"
    );
}
