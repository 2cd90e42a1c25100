//! A conflating subscriber by hand: it reads only when it is told to, and sees what heartbeats and poll answers say.
//! Our client hides both on purpose.
//! Bound: its receive buffer is small, so that the gateway feels at once that it does not read.

use std::collections::HashMap;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tidewire_client::Transport;
use tidewire_tests::{Gateway, within};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What has come, checked as it comes.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) skipped: u64,
    /// The newest value of each topic.
    pub(super) newest: HashMap<String, u64>,
    /// Heartbeats and answers that told of skipped events.
    pub(super) told: u64,
    last_id: String,
}

impl Tally {
    fn event(&mut self, event: &Value) {
        let id = event["id"].as_str().unwrap();
        assert!(*id > *self.last_id, "{id} after {}", self.last_id);
        id.clone_into(&mut self.last_id);
        let value = event["data"][0].as_u64().unwrap();
        let topic = event["topic"].as_str().unwrap().to_owned();
        let before = self.newest.insert(topic, value);
        assert!(before.is_none_or(|before| before < value), "{event}");
        self.delivered += 1;
    }

    fn told(&mut self, word: &Value) {
        assert_eq!(word["gap"], Value::Null, "nothing is lost");
        if let Some(skipped) = word["skipped"].as_u64() {
            self.skipped += skipped;
            self.told += 1;
        }
    }
}

/// One connection, or for a poll one after the other.
pub(super) struct Reader {
    transport: Transport,
    connector: TlsConnector,
    address: std::net::SocketAddr,
    topics: &'static str,
    cursor: String,
    /// Of a stream.
    tls: Option<BufReader<TlsStream<TcpStream>>>,
}

impl Reader {
    /// Subscribes from now on.
    pub(super) async fn open(
        gateway: &Gateway,
        transport: Transport,
        topics: &'static str,
    ) -> Self {
        let mut reader = Self {
            transport,
            connector: connector(&gateway.certificate()),
            address: gateway.url.trim_start_matches("https://").parse().unwrap(),
            topics,
            cursor: gateway.bus.head().to_string(),
            tls: None,
        };
        let (path, headers) = match transport {
            Transport::WebSocket => ("ws", UPGRADE),
            Transport::Sse => ("sse", ""),
            Transport::Poll => return reader,
        };
        let mut tls = reader.ask(path, headers).await;
        // The end of the headers; a stream then says hello.
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            within(tls.read_line(&mut line)).await.unwrap();
        }
        reader.tls = Some(tls);
        reader
    }

    /// Reads what comes next: one event or one heartbeat, or a whole poll answer.
    pub(super) async fn read(&mut self, tally: &mut Tally) {
        match self.transport {
            Transport::WebSocket => {
                let frame = self.frame().await;
                match frame["op"].as_str() {
                    None => tally.event(&frame),
                    Some("hello" | "hb") => tally.told(&frame),
                    Some(other) => panic!("{other}: {frame}"),
                }
            }
            Transport::Sse => match self.block().await {
                (name, data) if name.is_empty() => tally.event(&data),
                (name, data) if name == "hb" || name == "hello" => tally.told(&data),
                (name, data) => panic!("{name}: {data}"),
            },
            Transport::Poll => {
                let answer = self.poll().await;
                answer["cursor"]
                    .as_str()
                    .unwrap()
                    .clone_into(&mut self.cursor);
                answer["events"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|event| tally.event(event));
                tally.told(&answer);
            }
        }
    }

    /// Shows a WebSocket's gateway that somebody is there, without reading.
    pub(super) async fn show_life(&mut self) {
        if let (Transport::WebSocket, Some(tls)) = (self.transport, &mut self.tls) {
            tls.write_all(&PONG).await.unwrap();
        }
    }

    async fn ask(&self, path: &str, headers: &str) -> BufReader<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        let tcp = within(socket.connect(self.address)).await.unwrap();
        let name = ServerName::from(self.address.ip());
        let mut tls = within(self.connector.connect(name, tcp)).await.unwrap();
        let request = format!(
            "GET /{path}?conflate=latest&topic={}&limit=1000&wait=5&after={} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.topics, self.cursor, self.address
        );
        tls.write_all(request.as_bytes()).await.unwrap();
        BufReader::new(tls)
    }

    async fn poll(&self) -> Value {
        let mut answer = String::new();
        let mut tls = self.ask("poll", "Connection: close\r\n").await;
        within(tls.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// The next block's name and data. A chunk of the body is a whole number of blocks, so what stands between
    /// two chunks are lines of their own, which are passed over like every other unknown line.
    async fn block(&mut self) -> (String, Value) {
        let tls = self.tls.as_mut().unwrap();
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(
                within(tls.read_line(&mut line)).await.unwrap(),
                0,
                "it ended"
            );
            if let Some(event) = line.strip_prefix("event: ") {
                event.trim_end().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The next text frame. RFC 6455 section 5.2: a server's frames have no mask.
    async fn frame(&mut self) -> Value {
        let tls = self.tls.as_mut().unwrap();
        loop {
            let opcode = within(tls.read_u8()).await.unwrap() & 0x0f;
            let length = match tls.read_u8().await.unwrap() {
                126 => u64::from(tls.read_u16().await.unwrap()),
                127 => tls.read_u64().await.unwrap(),
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            within(tls.read_exact(&mut payload)).await.unwrap();
            match opcode {
                1 => return serde_json::from_slice(&payload).unwrap(),
                9 => tls.write_all(&PONG).await.unwrap(),
                _ => panic!("{opcode}: {}", String::from_utf8_lossy(&payload)),
            }
        }
    }
}

fn connector(certificate: &[u8]) -> TlsConnector {
    let config = tidewire_tests::trusting(certificate);
    TlsConnector::from(config)
}

pub(super) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// An empty one, masked with zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
const RECEIVE_BUFFER: u32 = 64 << 10;
