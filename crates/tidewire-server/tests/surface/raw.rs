//! Hand-made bytes: what client libraries refuse to send, and connections that are held open by silence.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::gateway::{DEADLINE, Gateway};

/// Everything until the other side closes, however it closes.
pub(crate) async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let reading = async {
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            bytes.extend_from_slice(&chunk[..count]);
        }
    };
    timeout(DEADLINE, reading)
        .await
        .expect("the connection was not closed");
    bytes
}

/// A WebSocket after its 101, as bytes.
pub(crate) async fn upgraded(gateway: &Gateway) -> TlsStream<TcpStream> {
    let mut stream = gateway.connect(b"http/1.1").await;
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(gateway: &Gateway, request: &str) -> String {
    let mut stream = gateway.connect(b"http/1.1").await;
    stream.write_all(request.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&rest(&mut stream).await).into_owned()
}

#[tokio::test]
async fn a_missing_a_doubled_and_a_false_host_are_400() {
    let gateway = Gateway::start();
    for hosts in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: user@a\r\n",
    ] {
        let request = format!("GET /poll?topic=a HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = answer(&gateway, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{hosts}: {answer}");
        assert!(
            answer.contains("application/problem+json"),
            "{hosts}: {answer}"
        );
        assert!(answer.contains("nosniff"), "{hosts}: {answer}");
    }
}

#[tokio::test]
async fn a_handshake_without_a_good_key_is_400() {
    let gateway = Gateway::start();
    for key in ["", "Sec-WebSocket-Key: short\r\n"] {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n{key}\r\n"
        );
        let mut stream = gateway.connect(b"http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        timeout(DEADLINE, stream.read_exact(&mut head))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&head, b"HTTP/1.1 400");
    }
}

#[tokio::test]
async fn silence_ends_a_connection_in_each_of_its_states() {
    let gateway = Gateway::with(|config| {
        config.limits.handshake_timeout = Duration::from_millis(100);
        config.limits.header_timeout = Duration::from_millis(100);
        config.limits.heartbeat = Duration::from_millis(100);
    });
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    rest(&mut silent).await;
    for (alpn, sent) in [
        (&b"http/1.1"[..], &b""[..]),
        (b"h2", b""),
        (b"h2", b"PRI * HTTP/2.0\r\n"),
        (
            b"http/1.1",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        ),
        // The preface and an empty SETTINGS, then nothing: no answer to the gateway's ping either.
        (
            b"h2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        ),
    ] {
        let mut stream = gateway.connect(alpn).await;
        stream.write_all(sent).await.unwrap();
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let gateway = Gateway::with(|config| config.limits.body_timeout = Duration::from_millis(100));
    let request = "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf";
    let answer = answer(&gateway, request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_header_without_end_is_refused() {
    let gateway = Gateway::start();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = answer(&gateway, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let gateway = Gateway::with(|config| config.limits.connections_per_address = 1);
    let _first = gateway.connect(b"http/1.1").await;
    let request = "GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = answer(&gateway, request).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("retry-after: "),
        "{answer}"
    );
}

/// Goal: over the caps a connection is closed at once. Method: the deadlines are far away, and only the cap can close one that
/// is silent.
async fn so_many_are_held_and_the_next_is_closed(address: SocketAddr, held: usize) {
    let mut silent = Vec::new();
    for _ in 0..held {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // They are counted in the order in which they came.
    let mut next = TcpStream::connect(address).await.unwrap();
    rest(&mut next).await;
}

fn patient() -> Gateway {
    Gateway::with(|config| {
        config.limits.connections_per_address = 1;
        config.limits.handshake_timeout = Duration::from_secs(3600);
        config.limits.header_timeout = Duration::from_secs(3600);
    })
}

#[tokio::test]
async fn far_too_many_connections_are_closed_before_any_work_is_done() {
    let gateway = patient();
    // One that is let in, and sixteen that would be told that they are too many.
    so_many_are_held_and_the_next_is_closed(gateway.address, 17).await;
}

#[tokio::test]
async fn the_admin_port_takes_no_more_than_64_connections() {
    let gateway = patient();
    so_many_are_held_and_the_next_is_closed(gateway.admin, 64).await;
}
