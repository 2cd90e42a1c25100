//! Publishing over a WebSocket: the client library does it over REST only.
//! Shape: one connection; each event is a `publish` frame, and all wait for their answers together.
//! Bound: a time for the connection and a time for the answers.
//! Failure: what has no answer when the connection ends or the time is over is unknown.
//! Source: protocol section 3.3.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tidewire_client::{Code, NewEvent};
use tidewire_protocol::ReceivedFrame;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::history::Answer;

/// An open WebSocket without a subscription.
pub(crate) struct Socket {
    stream: WebSocketStream<TlsStream<TcpStream>>,
    next_reference: u64,
}

impl Socket {
    /// Opens one; an error in words.
    pub(crate) async fn open(address: SocketAddr, certificate: &[u8]) -> Result<Self, String> {
        let opening = Self::connect(address, certificate);
        match timeout(CONNECT_MAX, opening).await {
            Ok(opened) => opened,
            Err(_) => Err("no connection in time".to_owned()),
        }
    }

    async fn connect(address: SocketAddr, certificate: &[u8]) -> Result<Self, String> {
        let tcp = TcpStream::connect(address).await.map_err(words)?;
        tcp.set_nodelay(true).map_err(words)?;
        let name = ServerName::from(address.ip());
        let tls = TlsConnector::from(trusting(certificate)?);
        let tls = tls.connect(name, tcp).await.map_err(words)?;
        let url = format!("wss://{address}/ws");
        let (stream, _answer) = client_async(url, tls).await.map_err(words)?;
        Ok(Self {
            stream,
            next_reference: 0,
        })
    }

    /// Publishes events; an answer for each. `false`: the connection is of no use any more.
    pub(crate) async fn publish(
        &mut self,
        events: &[&NewEvent],
        patience: Duration,
    ) -> (Vec<Answer>, bool) {
        let mut answers =
            vec![Answer::Unknown("no answer over the WebSocket".into()); events.len()];
        let mut open: HashMap<String, usize> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            self.next_reference += 1;
            let reference = self.next_reference.to_string();
            let event = serde_json::to_string(event).expect("an event is JSON");
            let frame = format!("{{\"op\":\"publish\",\"ref\":{reference},{}", &event[1..]);
            open.insert(reference, index);
            // Without room in the socket it waits for the server, and the server may wait for us to read.
            let sent = timeout(patience, self.stream.send(Message::text(frame))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return (answers, false);
            }
        }
        let heard = timeout(patience, self.hear(&mut open, &mut answers)).await;
        (answers, heard == Ok(true))
    }

    /// Reads until nothing is open. `false`: the connection has ended.
    async fn hear(&mut self, open: &mut HashMap<String, usize>, answers: &mut [Answer]) -> bool {
        while !open.is_empty() {
            let text = match self.stream.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => return false,
            };
            let (reference, answer) = match ReceivedFrame::parse(text.as_str()) {
                Ok(ReceivedFrame::Ok(ok)) => {
                    let id = ok.id.unwrap_or_default();
                    let duplicate = ok.duplicate;
                    (ok.reference, Answer::Stored { id, duplicate })
                }
                Ok(ReceivedFrame::Error(error)) => {
                    let passing = [Code::Unavailable, Code::RateLimited, Code::Internal];
                    let is_passing = passing.iter().any(|code| code.as_str() == error.code);
                    let answer = match is_passing {
                        true => Answer::Unknown(error.code),
                        false => Answer::Refused(error.code),
                    };
                    (error.reference, answer)
                }
                _ => continue,
            };
            let reference = reference.map(|reference| reference.get().to_owned());
            if let Some(index) = open.remove(&reference.unwrap_or_default()) {
                answers[index] = answer;
            }
        }
        true
    }
}

fn trusting(certificate: &[u8]) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificate) {
        roots.add(certificate.map_err(words)?).map_err(words)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(words)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// For TCP, TLS and the upgrade.
const CONNECT_MAX: Duration = Duration::from_secs(5);
