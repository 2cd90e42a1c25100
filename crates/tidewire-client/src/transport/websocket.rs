//! A session over one WebSocket.
//!
//! Shape: TCP, TLS for https, HTTP/1.1 Upgrade with the topics in the query; then text frames.
//! Bound: buffers of `BUFFER` bytes, frames of `FRAME_MAX`; what is written is only answers to pings and a close.
//! Failure: a refused upgrade is told with its problem, a close frame with its code, anything else as lost.
//! Source: protocol section 3.3.

use std::{fmt, io, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tidewire_protocol::ReceivedFrame;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        handshake::client::Request as Upgrade,
        http::{
            HeaderValue,
            header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use url::Url;

use crate::{
    error::{ClientError, innermost, seconds},
    gateway::{CONNECT_LIMIT, Gateway},
    request::Request,
    transport::{FRAME_MAX, Frame, Opened},
};

/// An open WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<Box<dyn Io>>,
    /// What `bye` asked for; the close frame has no room for it.
    bye: Option<Option<Duration>>,
    /// Why it ended: said again should somebody ask again.
    ended: Option<ClientError>,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}

impl Socket {
    pub(super) async fn open(gateway: &Gateway, request: &Request) -> Result<Socket, ClientError> {
        let url = request.url(gateway.url("ws"));
        let upgrade = upgrade(gateway, &url)?;
        let io = timeout(CONNECT_LIMIT, dial(gateway, &url))
            .await
            .map_err(|_| ClientError::Unreachable("no connection in time".into()))??;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(16 * BUFFER)
            .max_message_size(Some(FRAME_MAX))
            .max_frame_size(Some(FRAME_MAX));
        let (stream, _answer) = client_async_with_config(upgrade, io, Some(config))
            .await
            .map_err(refused)?;
        Ok(Socket {
            stream,
            bye: None,
            ended: None,
        })
    }

    /// Cancel safe: a message is taken from the stream and turned into its frame without a wait between.
    pub(super) async fn next(&mut self) -> Result<Frame, ClientError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let ended = match self.stream.next().await {
            Some(Ok(Message::Text(text))) => return self.frame(text.as_str()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                return Ok(Frame::Alive);
            }
            Some(Ok(Message::Binary(_))) => ClientError::Protocol("a binary frame came".into()),
            Some(Ok(Message::Close(close))) => self.closed(close.as_ref()),
            Some(Err(error)) => lost(&error),
            None => ClientError::Lost("the connection ended without a close frame".into()),
        };
        self.ended = Some(ended.clone());
        // Our half of the closing handshake, which the read has queued. Nothing depends on it.
        let _ = timeout(CLOSE_LIMIT, self.stream.flush()).await;
        Err(ended)
    }

    /// Says that the session is done, and waits a moment for the answer so that nothing is cut.
    pub(super) async fn close(mut self) {
        let done = CloseFrame {
            code: CloseCode::Normal,
            reason: "done".into(),
        };
        let _ = timeout(CLOSE_LIMIT, async {
            self.stream.close(Some(done)).await?;
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<(), Error>(())
        })
        .await;
    }

    fn frame(&mut self, text: &str) -> Result<Frame, ClientError> {
        let received =
            ReceivedFrame::parse(text).map_err(|error| ClientError::Protocol(error.to_string()))?;
        let frame = match received {
            ReceivedFrame::Event(event) => Frame::Event(event),
            ReceivedFrame::Hello(hello) => Frame::Hello(Opened::from(hello)),
            ReceivedFrame::Gap(gap) => Frame::Gap(gap),
            ReceivedFrame::Hb(hb) => Frame::Heartbeat { cursor: hb.cursor },
            ReceivedFrame::Bye(bye) => {
                self.bye = Some(bye.retry_ms.map(Duration::from_millis));
                Frame::from(bye)
            }
            // Answers to frames that this client never sends, and words of a later protocol.
            ReceivedFrame::Ok(_)
            | ReceivedFrame::Error(_)
            | ReceivedFrame::Pong { .. }
            | ReceivedFrame::Unknown { .. } => Frame::Alive,
        };
        Ok(frame)
    }

    fn closed(&self, close: Option<&CloseFrame>) -> ClientError {
        // RFC 6455 section 7.1.5: a close frame without a code counts as 1005.
        let (code, reason) = match close {
            Some(close) => (u16::from(close.code), close.reason.to_string()),
            None => (1005, "no reason given".into()),
        };
        ClientError::Closed {
            code,
            reason,
            retry_after: self.bye.flatten(),
            bye: self.bye.is_some(),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

fn upgrade(gateway: &Gateway, url: &Url) -> Result<Upgrade, ClientError> {
    let mut url = url.clone();
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme)
        .expect("http and ws are both special schemes");
    let mut upgrade = url
        .as_str()
        .into_client_request()
        .map_err(|error| ClientError::Url {
            url: url.to_string(),
            detail: error.to_string(),
        })?;
    let headers = upgrade.headers_mut();
    let subprotocol = HeaderValue::from_static("tidewire.v1");
    headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    if let Some(authorization) = gateway.authorization() {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    Ok(upgrade)
}

async fn dial(gateway: &Gateway, url: &Url) -> Result<Box<dyn Io>, ClientError> {
    let host = url.host_str().unwrap_or_default();
    // A URL writes an IPv6 address in brackets; resolver and certificate do without.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(443);
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(|error| ClientError::from_connect(&error))?;
    tcp.set_nodelay(true)
        .map_err(|error| ClientError::from_connect(&error))?;
    // HTTP/1.1 only: the upgrade of RFC 6455 does not exist in HTTP/2.
    let Some(tls) = gateway.tls(&[b"http/1.1"]) else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| ClientError::Unreachable(error.to_string()))?;
    let tls = TlsConnector::from(tls)
        .connect(name, tcp)
        .await
        .map_err(|error| ClientError::from_connect(&error))?;
    Ok(Box::new(tls))
}

fn refused(error: Error) -> ClientError {
    match error {
        Error::Http(answer) => {
            let retry_after = answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| seconds(value.as_bytes()));
            let body = answer.body().as_deref().unwrap_or_default();
            ClientError::refused(answer.status().as_u16(), body, retry_after)
        }
        other => lost(&other),
    }
}

fn lost(error: &Error) -> ClientError {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            ClientError::Lost("the connection was cut".into())
        }
        Error::Io(error) => ClientError::Lost(innermost(error)),
        Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) | Error::HttpFormat(_) => {
            ClientError::Protocol(error.to_string())
        }
        _ => ClientError::Lost(error.to_string()),
    }
}

/// The read buffer; a client holds few connections, so it need not be as small as a server's.
const BUFFER: usize = 16 * 1024;
/// Time for the closing handshake, which is a courtesy.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
