//! A server that follows a script: one reply for each connection, in order, over plain TCP.
//!
//! Shape: the test gives the replies and gets the requests. Failure: a connection without a reply is cut.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// What one connection gets.
#[derive(Debug)]
pub(crate) enum Reply {
    /// These bytes, then the end.
    Bytes(String),
    /// These bytes, then silence.
    Hold(String),
    /// An upgrade, these messages, then silence.
    WebSocket(Vec<Message>),
    /// The end, without a byte.
    Cut,
}

/// An HTTP answer.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Bytes(format!(
        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

/// The head of an event stream and its first blocks.
pub(crate) fn stream(blocks: &str) -> String {
    format!(
        "HTTP/1.1 200 x\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n{blocks}"
    )
}

/// The server and the requests it got.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reply = replies.pop_front().unwrap_or(Reply::Cut);
                tokio::spawn(converse(stream, reply, sender.clone()));
            }
        });
        Server { url, requests }
    }

    /// The next request: its first line, its head and its body as one text.
    pub(crate) async fn request(&mut self) -> String {
        within(self.requests.recv()).await.unwrap()
    }
}

/// One generous deadline that only catches a hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("nothing happened for 20 s")
}

async fn converse(mut stream: TcpStream, reply: Reply, sender: mpsc::UnboundedSender<String>) {
    let request = read_request(&mut stream).await;
    let _ = sender.send(request.clone());
    match reply {
        Reply::Cut => {}
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
        Reply::Hold(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.read(&mut [0]).await;
        }
        Reply::WebSocket(messages) => {
            let key = header(&request, "sec-websocket-key").unwrap_or_default();
            let accept = derive_accept_key(key.as_bytes());
            let head = format!(
                "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                 sec-websocket-protocol: tidewire.v1\r\nsec-websocket-accept: {accept}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            for message in messages {
                let _ = socket.send(message).await;
            }
            while let Some(Ok(_)) = socket.next().await {}
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").unwrap_or("0".into());
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}

pub(crate) fn header(request: &str, name: &str) -> Option<String> {
    request.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().into())
    })
}
