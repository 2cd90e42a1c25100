//! WebSocket over TLS.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::gateway::{DEADLINE, Gateway, WebSocket};

async fn next(socket: &mut WebSocket) -> Value {
    loop {
        match timeout(DEADLINE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
        {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn ask(socket: &mut WebSocket, frame: Value) -> Value {
    socket.send(Message::text(frame.to_string())).await.unwrap();
    next(socket).await
}

/// Everything until the close frame; gives its code and the code of the `bye` before it.
async fn closed(socket: &mut WebSocket) -> (u16, Option<u64>) {
    let mut bye = None;
    loop {
        match timeout(DEADLINE, socket.next()).await.unwrap() {
            Some(Ok(Message::Close(frame))) => return (frame.unwrap().code.into(), bye),
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["op"] == "bye" {
                    bye = frame["code"].as_u64();
                }
            }
            Some(Ok(_)) => {}
            other => panic!("no close frame: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_session_subscribes_publishes_and_gets_its_events() {
    let gateway = Gateway::start();
    let mut socket = gateway.websocket("/ws").await;
    let hello = next(&mut socket).await;
    assert_eq!(
        (&hello["op"], &hello["resumed"]),
        (&json!("hello"), &json!(false))
    );
    let ok = ask(
        &mut socket,
        json!({"op": "subscribe", "ref": 1, "topics": ["a.*"]}),
    )
    .await;
    assert_eq!(
        (&ok["op"], &ok["ref"], &ok["cursor"]),
        (&json!("ok"), &json!(1), &hello["cursor"])
    );
    let publish = json!({"op": "publish", "ref": "x", "topic": "a.b", "type": "t", "data": {"n": 1}, "key": "k"});
    let mut got = [
        ask(&mut socket, publish.clone()).await,
        next(&mut socket).await,
    ];
    got.sort_by_key(|frame| frame.get("op").is_none());
    assert_eq!(
        (&got[0]["ref"], &got[0]["id"]),
        (&json!("x"), &got[1]["id"])
    );
    assert_eq!(got[1]["data"]["n"], 1);
    let again = ask(&mut socket, publish).await;
    assert_eq!(
        (&again["id"], &again["duplicate"]),
        (&got[0]["id"], &json!(true))
    );
    assert_eq!(
        ask(&mut socket, json!({"op": "ping", "ref": 6})).await,
        json!({"op": "pong", "ref": 6})
    );
    let ok = ask(
        &mut socket,
        json!({"op": "unsubscribe", "ref": 2, "topics": ["a.*"]}),
    )
    .await;
    assert_eq!(ok, json!({"op": "ok", "ref": 2}));
}

#[tokio::test]
async fn the_query_subscribes_and_resumes() {
    let gateway = Gateway::start();
    let first = gateway.publish("a", json!(1)).await;
    let second = gateway.publish("a", json!(2)).await;
    let mut socket = gateway
        .websocket(&format!("/ws?topic=a&after={first}"))
        .await;
    let hello = next(&mut socket).await;
    assert_eq!(
        (&hello["resumed"], &hello["cursor"]),
        (&json!(true), &json!(first))
    );
    assert_eq!(next(&mut socket).await["id"], second);
}

#[tokio::test]
async fn what_is_wrong_in_a_frame_is_an_error_and_the_connection_stays() {
    let gateway = Gateway::with(|config| config.limits.topics_per_session = 2);
    let mut socket = gateway.websocket("/ws").await;
    next(&mut socket).await;
    for (frame, code) in [
        (
            json!({"op": "subscribe", "ref": 1, "topics": ["a..b"]}),
            "bad_topic",
        ),
        (
            json!({"op": "subscribe", "ref": 1, "topics": ["a"], "after": "-1"}),
            "bad_cursor",
        ),
        (
            json!({"op": "subscribe", "ref": 1, "topics": ["a", "b", "c"]}),
            "bad_request",
        ),
        (
            json!({"op": "subscribe", "ref": 1, "topics": ["$sys.a"]}),
            "unauthorized",
        ),
        (
            json!({"op": "publish", "ref": 1, "topic": "$sys", "data": 1}),
            "forbidden",
        ),
        (
            json!({"op": "publish", "ref": 1, "topic": "a", "data": "x".repeat(70_000)}),
            "too_large",
        ),
        (
            json!({"op": "auth", "ref": 1, "token": "nonsense"}),
            "unauthorized",
        ),
        (
            json!({"op": "presence", "ref": 1, "topic": "a"}),
            "bad_request",
        ),
        (json!({"op": "dance", "ref": 1}), "bad_request"),
    ] {
        let error = ask(&mut socket, frame).await;
        assert_eq!(
            (&error["op"], &error["ref"], &error["code"]),
            (&json!("error"), &json!(1), &json!(code)),
            "{error}"
        );
    }
    assert_eq!(ask(&mut socket, json!({"op": "ping"})).await["op"], "pong");
}

#[tokio::test]
async fn every_bad_message_has_its_close_code() {
    let gateway = Gateway::start();
    for (message, code) in [
        (Message::text("[]"), 4000),
        (Message::text("nonsense"), 4000),
        (Message::binary(vec![0]), 1003),
        (Message::text(" ".repeat(64 * 1024 + 16 * 1024 + 1)), 1009),
        (Message::text(" ".repeat(3_000_000)), 1009),
    ] {
        let mut socket = gateway.websocket("/ws").await;
        next(&mut socket).await;
        // The gateway may close before all of it is sent.
        let _ = socket.send(message).await;
        assert_eq!(closed(&mut socket).await, (code, Some(code.into())));
    }
    gateway
        .counted("tidewire_session_ends_total{code=\"1009\"} 2")
        .await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let gateway = Gateway::start();
    let mut socket = gateway.websocket("/ws").await;
    next(&mut socket).await;
    socket.close(None).await.unwrap();
    assert!(matches!(
        socket.next().await,
        Some(Ok(Message::Close(None)))
    ));
    gateway
        .counted("tidewire_session_ends_total{code=\"1000\"} 1")
        .await;
}

#[tokio::test]
async fn only_the_known_subprotocol_is_chosen() {
    let gateway = Gateway::start();
    let ours = gateway
        .try_websocket("/ws", &[("sec-websocket-protocol", "x, tidewire.v1")])
        .await;
    assert!(ours.is_ok());
    // A strict client refuses an answer without the header; it has got its 101 all the same.
    let other = gateway
        .try_websocket("/ws", &[("sec-websocket-protocol", "x")])
        .await;
    assert!(matches!(other, Err(Error::Protocol(_))), "{other:?}");
}

#[tokio::test]
async fn bad_credentials_and_a_foreign_origin_get_no_101() {
    let gateway = Gateway::start();
    for (header, status) in [
        (("authorization", "Bearer nonsense"), 401),
        (("origin", "https://evil.io"), 403),
    ] {
        match gateway.try_websocket("/ws?topic=a", &[header]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status),
            other => panic!("{other:?}"),
        }
    }
}

fn with_key(config: &mut tidewire_server::ServerConfig) {
    config.limits.auth_timeout = Duration::from_millis(200);
    config.auth = serde_json::from_value(json!({
        "anonymous": {},
        "keys": [{
            "name": "shop",
            "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
            "publish": [], "subscribe": ["orders.>"]
        }]
    }))
    .unwrap();
}

#[tokio::test]
async fn without_an_auth_frame_a_session_that_may_do_nothing_ends() {
    let gateway = Gateway::with(with_key);
    let mut socket = gateway.websocket("/ws").await;
    next(&mut socket).await;
    let error = next(&mut socket).await;
    assert_eq!(
        (&error["op"], &error["code"]),
        (&json!("error"), &json!("unauthorized"))
    );
    assert_eq!(closed(&mut socket).await, (4001, Some(4001)));
}

#[tokio::test]
async fn an_auth_frame_opens_the_topics_of_the_query() {
    let gateway = Gateway::with(|config| {
        with_key(config);
        config.limits.auth_timeout = DEADLINE;
    });
    let mut socket = gateway.websocket("/ws?topic=orders.a").await;
    let hello = next(&mut socket).await;
    let topic = tidewire_protocol::Topic::parse("orders.a").unwrap();
    let payload = tidewire_protocol::Payload::from_content(None, b"1").unwrap();
    let append = tidewire_bus::Append {
        topic,
        body: tidewire_protocol::EventBody::new(None, &payload),
        key: None,
    };
    let id = gateway.bus.append(vec![append]).await.remove(0).unwrap().id;
    assert_ne!(hello["cursor"], json!(id));
    let ok = ask(
        &mut socket,
        json!({"op": "auth", "ref": 4, "token": "secret"}),
    )
    .await;
    assert_eq!(ok, json!({"op": "ok", "ref": 4}));
    assert_eq!(next(&mut socket).await["id"], json!(id));
}

#[tokio::test]
async fn sessions_of_one_subject_are_counted_also_when_it_says_who_it_is_later() {
    let gateway = Gateway::with(|config| {
        with_key(config);
        config.limits.auth_timeout = DEADLINE;
        config.limits.sessions_per_subject = 1;
    });
    let auth = json!({"op": "auth", "ref": 1, "token": "secret"});
    let key = [("authorization", "Bearer secret")];
    let mut first = gateway.websocket("/ws").await;
    next(&mut first).await;
    assert_eq!(ask(&mut first, auth.clone()).await["op"], "ok");
    // The same session once more costs no other place.
    assert_eq!(ask(&mut first, auth.clone()).await["op"], "ok");
    for limited in 1..=2 {
        let mut another = match limited {
            1 => gateway.try_websocket("/ws", &key).await.unwrap(),
            _ => gateway.websocket("/ws").await,
        };
        another.send(Message::text(auth.to_string())).await.unwrap();
        assert_eq!(closed(&mut another).await, (4100, Some(4100)));
        let line = "tidewire_refused_total{limit=\"sessions_per_subject\"}";
        gateway.counted(&format!("{line} {limited}")).await;
    }
    first.close(None).await.unwrap();
    let gone = "tidewire_connections{transport=\"websocket\"} 0";
    gateway.counted(gone).await;
    let mut last = gateway.try_websocket("/ws", &key).await.unwrap();
    assert_eq!(next(&mut last).await["op"], "hello");
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_given_up() {
    let gateway = Gateway::with(|config| config.limits.heartbeat = Duration::from_millis(100));
    // tungstenite answers pings while it is read, so this client writes the handshake itself and reads nothing more.
    let mut raw = crate::raw::upgraded(&gateway).await;
    let bytes = crate::raw::rest(&mut raw).await;
    let close = [0x88, 0x13, 0x10, 0x69];
    assert!(
        bytes.windows(4).any(|window| window == close),
        "no close frame with 4201"
    );
    assert!(String::from_utf8_lossy(&bytes).contains("\"op\":\"hb\""));
}

#[tokio::test]
async fn a_flood_of_frames_ends_with_4101() {
    let gateway = Gateway::with(|config| config.limits.frames_per_second = 10);
    let mut socket = gateway.websocket("/ws").await;
    next(&mut socket).await;
    for _ in 0..100 {
        if socket.send(Message::Ping(Vec::new().into())).await.is_err() {
            break;
        }
    }
    assert_eq!(closed(&mut socket).await, (4101, Some(4101)));
}

#[tokio::test]
async fn without_room_a_websocket_is_closed_with_4100() {
    let gateway = Gateway::with(|config| config.limits.connections_per_address = 1);
    let mut first = gateway.websocket("/ws").await;
    next(&mut first).await;
    let mut second = gateway.websocket("/ws").await;
    assert_eq!(closed(&mut second).await, (4100, Some(4100)));
}

#[tokio::test]
async fn a_websocket_rides_on_an_http2_stream() {
    let gateway = Gateway::start();
    let stream = gateway.connect(b"h2").await;
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    // RFC 8441 section 4: the client waits for the setting.
    while !client.is_extended_connect_protocol_enabled() {
        client = timeout(DEADLINE, client.ready()).await.unwrap().unwrap();
        tokio::task::yield_now().await;
    }
    let mut request = http::Request::builder()
        .method("CONNECT")
        .uri(gateway.url("/ws?topic=a"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "tidewire.v1")
        .body(())
        .unwrap();
    request
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    let (answer, mut send) = client.send_request(request, false).unwrap();
    let answer = timeout(DEADLINE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "tidewire.v1");
    let mut body = answer.into_body();
    let hello = timeout(DEADLINE, body.data())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&hello).contains("\"op\":\"hello\""));
    let id = gateway.publish("a", json!(1)).await;
    let event = timeout(DEADLINE, body.data())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&event).contains(&id));
    // A masked close frame with 1000; the mask is zero.
    let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    send.send_data(close.to_vec().into(), false).unwrap();
    let answered = timeout(DEADLINE, body.data())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(answered[..], [0x88, 0x02, 0x03, 0xe8]);
}

#[tokio::test]
async fn the_echo_of_conformance_suites_is_there_only_when_it_is_asked_for() {
    let gateway = Gateway::with(|config| config.conformance_echo = true);
    let mut socket = gateway.websocket("/echo").await;
    for message in [Message::text("two words"), Message::binary(vec![0, 255])] {
        socket.send(message.clone()).await.unwrap();
        let echoed = timeout(DEADLINE, socket.next()).await.unwrap();
        assert_eq!(echoed.unwrap().unwrap(), message);
    }
    let without = Gateway::start();
    let answer = without.get("/echo").send().await.unwrap();
    assert_eq!(answer.status(), 404);
}
