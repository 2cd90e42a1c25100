//! The drain.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{DEADLINE, Gateway, json, sent};

#[tokio::test]
async fn a_drain_says_goodbye_on_every_transport() {
    let gateway = Gateway::start();
    let mut socket = gateway.websocket("/ws?topic=a").await;
    let mut stream = sent(gateway.get("/sse?topic=a")).await;
    let begin = json(sent(gateway.get("/poll?topic=a")).await).await;
    let path = format!("/poll?topic=a&after={}", begin["cursor"].as_str().unwrap());
    let held = tokio::spawn(sent(gateway.get(&path)));
    for transport in ["websocket", "sse", "poll"] {
        gateway
            .counted(&format!(
                "tidewire_connections{{transport=\"{transport}\"}} 1"
            ))
            .await;
    }

    gateway.shutdown.cancel();

    let mut text = Vec::new();
    while let Some(chunk) = timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap() {
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("event: bye") && text.contains("\"code\":4203"),
        "{text}"
    );
    assert!(text.contains("retry_ms"), "{text}");
    let poll = held.await.unwrap();
    assert_eq!(poll.status(), 200);
    assert_eq!(json(poll).await["cursor"], begin["cursor"]);
    let mut frames = Vec::new();
    let close = loop {
        match timeout(DEADLINE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
        {
            Message::Close(frame) => break frame.unwrap(),
            Message::Text(text) => frames.push(serde_json::from_str::<Value>(&text).unwrap()),
            _ => {}
        }
    };
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (4203, "draining")
    );
    assert_eq!(frames.last().unwrap()["op"], "bye");
    // The codec answers the close frame while it is read on.
    while socket.next().await.is_some() {}
    timeout(DEADLINE, gateway.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(gateway.address).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let gateway = Gateway::with(|config| config.limits.drain_timeout = Duration::from_millis(200));
    // A request whose body never comes to its end, and a WebSocket that never answers the close frame.
    let mut half = gateway.connect(b"http/1.1").await;
    let request = b"POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf";
    half.write_all(request).await.unwrap();
    let mut upgraded = crate::raw::upgraded(&gateway).await;
    gateway
        .counted("tidewire_connections{transport=\"websocket\"} 1")
        .await;
    gateway.shutdown.cancel();
    timeout(DEADLINE, gateway.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    crate::raw::rest(&mut half).await;
    crate::raw::rest(&mut upgraded).await;
}

#[tokio::test]
async fn a_dropped_server_cuts_its_sessions() {
    let gateway = Gateway::start();
    let mut socket = gateway.websocket("/ws").await;
    socket.next().await.unwrap().unwrap();
    gateway.served.abort();
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(DEADLINE, ended).await.unwrap();
}

#[tokio::test]
async fn a_publish_in_flight_is_answered() {
    let gateway = Gateway::start();
    let mut stream = gateway.connect(b"http/1.1").await;
    let head = b"POST /topics/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(head).await.unwrap();
    // The 100 says that the gateway has begun to read the body.
    let mut goes_on = [0; 25];
    timeout(DEADLINE, stream.read_exact(&mut goes_on))
        .await
        .unwrap()
        .unwrap();
    assert!(goes_on.starts_with(b"HTTP/1.1 100 "));
    gateway.shutdown.cancel();
    stream.write_all(b"true").await.unwrap();
    let answer = String::from_utf8(crate::raw::rest(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    timeout(DEADLINE, gateway.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(gateway.bus.stats().head, 1);
}
