//! A WebSocket whose frames a test writes itself.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::within;

/// An open WebSocket, past its `hello`.
pub struct Frames(WebSocketStream<TlsStream<TcpStream>>);

impl Frames {
    /// Opens one at `https://127.0.0.1:PORT`, for a client that trusts this certificate.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(url: &str, certificate: &[u8]) -> Self {
        let config = crate::trusting(certificate);
        let address: SocketAddr = url.trim_start_matches("https://").parse().unwrap();
        let open = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::from(address.ip());
            let connector = TlsConnector::from(config);
            let stream = connector.connect(name, stream).await.unwrap();
            let url = format!("wss://{address}/ws");
            let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
            let mut frames = Self(socket);
            assert_eq!(frames.next().await["op"], "hello");
            frames
        };
        Box::pin(within(open)).await
    }

    /// Publishes with a key and waits for the answer.
    pub async fn publish(&mut self, topic: &str, data: &Value, key: &str) -> Value {
        let frame = json!({"op": "publish", "ref": 1, "topic": topic, "data": data, "key": key});
        let text = Message::text(frame.to_string());
        within(self.0.send(text)).await.unwrap();
        loop {
            let answer = within(self.next()).await;
            if answer["ref"] == 1 {
                return answer;
            }
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = self.0.next().await.expect("the connection ended").unwrap();
            if let Message::Text(text) = message {
                return serde_json::from_str(text.as_str()).unwrap();
            }
        }
    }
}
