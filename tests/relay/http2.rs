//! HTTP/2: every WebSocket is a stream of one shared connection, as in a browser.
//! Shape: [`Http2::pass`] reads the upgrade, opens the stream, then two copies run until both have ended.
//! Bound: the windows of HTTP/2 in both directions; room is given back only for bytes that the client has taken, so a
//! client that does not read stops its own stream.
//! Failure: END_STREAM is the end of a direction, RST_STREAM is a reset, each way (RFC 8441 section 5). A connection
//! that is gone fails its streams; the next WebSocket opens another one.

use std::future::poll_fn;
use std::io;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{Ping, Reason, RecvStream, SendStream};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Mutex;

use crate::target::Target;
use crate::upgrade::Upgrade;
use crate::{CHUNK_BYTES, Lost, ignore, reset};

/// The way to the gateway, opened when it is first needed.
#[derive(Debug)]
pub(crate) struct Http2 {
    target: Target,
    /// Async mutex: held while the connection is opened, so that there is one and not one for each who asks.
    open: Mutex<Option<SendRequest<Bytes>>>,
}

impl Http2 {
    pub(crate) fn new(target: Target) -> Self {
        let open = Mutex::default();
        Self { target, open }
    }

    /// Passes one WebSocket from its upgrade to its end.
    pub(crate) async fn pass(&self, mut client: TcpStream) -> Result<(), Lost> {
        let mut early = BytesMut::new();
        let upgrade = Upgrade::read(&mut client, &mut early).await;
        let upgrade = upgrade.map_err(Lost::Client)?;
        let request = upgrade.request(self.target.address());
        let request = request.map_err(Lost::Client)?;
        let mut connection = self.connection().await.map_err(Lost::Gateway)?;
        let (answer, mut up) = connection
            .send_request(request, false)
            .map_err(Lost::gateway)?;
        let answer = answer.await.map_err(Lost::gateway)?;
        if answer.status() != StatusCode::OK {
            let refused = format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", answer.status());
            let written = client.write_all(refused.as_bytes()).await;
            return written.map_err(Lost::Client);
        }
        let head = upgrade.accepted(answer.headers());
        client.write_all(&head).await.map_err(Lost::Client)?;
        let (from, to) = client.split();
        let passed = tokio::try_join!(
            to_gateway(from, early, &mut up),
            to_client(answer.into_body(), to)
        );
        if passed.is_err() {
            up.send_reset(Reason::CANCEL);
            reset(&client);
        }
        passed.map(|_| ())
    }

    /// The shared connection, with room for one more stream.
    async fn connection(&self) -> io::Result<SendRequest<Bytes>> {
        let mut open = self.open.lock().await;
        if let Some(connection) = open.take()
            && let Ok(ready) = connection.ready().await
        {
            *open = Some(ready.clone());
            return Ok(ready);
        }
        let opened = self.connect().await?;
        let ready = opened.ready().await.map_err(io::Error::other)?;
        *open = Some(ready.clone());
        Ok(ready)
    }

    async fn connect(&self) -> io::Result<SendRequest<Bytes>> {
        let tls = self.target.connect(b"h2").await?;
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(tls)
            .await
            .map_err(io::Error::other)?;
        let mut pings = connection.ping_pong();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("gateway: the connection ended: {error}");
            }
        });
        // RFC 8441 section 3: a client asks only after SETTINGS has said that it may. They are the first frame of the
        // gateway, so they were here before its answer to a ping.
        if let Some(pings) = &mut pings {
            let ping = pings.ping(Ping::opaque());
            ping.await.map_err(io::Error::other)?;
        }
        if !sender.is_extended_connect_protocol_enabled() {
            return Err(io::Error::other("extended CONNECT is not offered"));
        }
        Ok(sender)
    }
}

/// What the client sends, as the gateway's windows admit it.
async fn to_gateway(
    mut from: ReadHalf<'_>,
    mut waiting: BytesMut,
    up: &mut SendStream<Bytes>,
) -> Result<(), Lost> {
    loop {
        if waiting.is_empty() {
            waiting.reserve(CHUNK_BYTES);
            let read = from.read_buf(&mut waiting).await;
            if read.map_err(Lost::Client)? == 0 {
                break;
            }
        }
        up.reserve_capacity(waiting.len());
        let Some(Ok(room)) = poll_fn(|cx| up.poll_capacity(cx)).await else {
            return ignore(from).await;
        };
        let part = waiting.split_to(room.min(waiting.len())).freeze();
        if !part.is_empty() && up.send_data(part, false).is_err() {
            return ignore(from).await;
        }
    }
    // A stream that the gateway has ended already needs no end of ours.
    let _ = up.send_data(Bytes::new(), true);
    Ok(())
}

/// What the gateway sends, as the client takes it.
async fn to_client(mut down: RecvStream, mut to: WriteHalf<'_>) -> Result<(), Lost> {
    while let Some(data) = down.data().await {
        let data = data.map_err(Lost::gateway)?;
        to.write_all(&data).await.map_err(Lost::Client)?;
        let room = down.flow_control().release_capacity(data.len());
        room.map_err(Lost::gateway)?;
    }
    to.shutdown().await.map_err(Lost::Client)
}

/// What the gateway may send on one stream before the client has taken it.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// As much for all streams together: more than the suite has open at a time, so that none waits for another.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
