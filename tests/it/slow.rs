//! A subscriber that never reads, beside those that do.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;
use tidewire_client::{NewEvent, Transport};
use tidewire_tests::{Engine, Executable, Seen, Subscriber, within};

/// Goal: publishers and other subscribers are not held up, memory stays bounded, the slow one is
/// closed with 4200 and can resume. Method: 20 connections with tiny buffers that never read, half of
/// them WebSockets, 100 that do, 40 MB published through the real binary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_does_not_delay_the_others() {
    let folder = Executable::folder();
    let patience = [("TIDEWIRE_LIMITS__WRITE_TIMEOUT", "5s")];
    let gateway = Executable::with(folder.path(), Engine::Disk, "127.0.0.1:0", &patience).await;
    let client = gateway.client();
    let stopped: Vec<_> = (0..20)
        .map(|number| {
            let upgrade = if number % 2 == 0 { UPGRADE } else { "" };
            let path = if number % 2 == 0 { "ws" } else { "sse" };
            let request = format!(
                "GET /{path}?topic=load HTTP/1.1\r\nHost: {}\r\n{upgrade}\r\n",
                gateway.address()
            );
            reader_that_stops(gateway.address(), gateway.certificate(), &request)
        })
        .collect();

    let mut readers = Vec::new();
    let mut opened = Vec::new();
    for reader in 0..100 {
        let transport = Transport::ALL[reader % 3];
        opened.push(Subscriber::open(&client, transport, &["load"], "now").await);
    }
    let (before, _) = gateway.memory();
    let cursor = opened[0].cursor().to_owned();
    for mut reader in opened {
        readers.push(tokio::spawn(async move {
            for n in 0..EVENTS {
                let event = reader.event().await;
                assert!(event.data.unwrap().get().starts_with(&format!("[{n},")));
            }
        }));
    }
    let payload = "x".repeat(PAYLOAD);
    for batch in 0..EVENTS / 50 {
        let event = |n| NewEvent::json("load", &json!([batch * 50 + n, payload])).unwrap();
        let events: Vec<_> = (0..50).map(event).collect();
        within(client.publish_all(&events)).await.unwrap();
    }
    for reader in readers {
        within(reader).await.unwrap();
    }

    let (_, peak) = gateway.memory();
    let grown = peak.saturating_sub(before);
    eprintln!("memory grew by {} MB", grown >> 20);
    assert!(grown < MEMORY_BOUND, "{grown} bytes");

    // Who stopped reading comes back with a cursor and gets everything, or is told.
    let mut back = Subscriber::open(&client, Transport::WebSocket, &["load"], &cursor).await;
    let mut got = 0;
    loop {
        match within(back.next()).await {
            Seen::Event(event) => {
                got += 1;
                if event
                    .data
                    .unwrap()
                    .get()
                    .starts_with(&format!("[{},", EVENTS - 1))
                {
                    break;
                }
            }
            Seen::Gap(gap) => assert_eq!(got, 0, "{gap:?}"),
        }
    }
    assert_eq!(got, EVENTS);

    // Those that stopped were let go of, with the reason of the table.
    within(async {
        while gateway
            .metric("tidewire_session_ends_total{code=\"4200\"}")
            .await
            < 20.0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stopped);
}

/// Asks over TLS and never reads the answer.
pub(crate) fn reader_that_stops(
    address: &str,
    certificate: &[u8],
    request: &str,
) -> impl Sized + use<> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address: std::net::SocketAddr = address.parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    let config = tidewire_tests::trusting(certificate);
    let name = rustls::pki_types::ServerName::from(address.ip());
    let connection = rustls::ClientConnection::new(config, name).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, stream);
    tls.write_all(request.as_bytes()).unwrap();
    tls
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const EVENTS: usize = 2_000;
const PAYLOAD: usize = 20_000;
/// The window (64 MB), the store's cache and buffers (64 MB each), and a batch for each connection.
const MEMORY_BOUND: u64 = 320 << 20;
