//! The socket of one WebSocket: messages in, frames out, and a clean end.
//!
//! Shape: the codec's connection over what HTTP left, a deadline on every write, and one way to close.
//! Bound: one batch waits to be written; what comes in is bounded by the codec. While nothing moves there is no buffer.
//! Failure: [`End`] says why it ends, and whether the other side can still be told.
//! Source: RFC 6455; protocol section 3.3.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tidewire_protocol::{Bye, CloseReason, Retry, ServerFrame};
use tidewire_websocket::{Close, Connection, Ended, Message, Violation};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::{drain::retry_ms, listener::Opened};

/// Why a WebSocket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// We end it and say why.
    Say(CloseReason),
    /// The other side has closed, or is gone.
    Gone(CloseReason),
}

impl End {
    pub(super) fn reason(self) -> CloseReason {
        match self {
            Self::Say(reason) | Self::Gone(reason) => reason,
        }
    }
}

/// An open WebSocket.
pub(super) struct Socket {
    connection: Connection<Stream>,
    write_timeout: Duration,
    last_sent: Instant,
}

impl Socket {
    pub(super) fn new(connection: Connection<Stream>, write_timeout: Duration) -> Self {
        Self {
            connection,
            write_timeout,
            last_sent: Instant::now(),
        }
    }

    /// Whether a compressed frame of a payload of so many bytes may be fed.
    pub(super) fn takes_deflated(&self, payload_bytes: usize) -> bool {
        self.connection.takes_deflated(payload_bytes)
    }

    /// When the last text frame was written.
    pub(super) fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// The next message.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing: what was read stays in the codec.
    pub(super) async fn receive(&mut self) -> Result<Message, End> {
        self.connection.receive().await.map_err(ended)
    }

    /// Puts encoded frames to those that wait for the next flush.
    pub(super) fn feed(&mut self, frames: Bytes) {
        self.connection.feed(frames);
    }

    /// Puts one text frame to those that wait for the next flush.
    pub(super) fn feed_text(&mut self, text: impl AsRef<[u8]>) {
        self.connection.feed_text(text.as_ref());
    }

    /// Puts what was received to what waits; a pong is the codec's.
    pub(super) fn feed_back(&mut self, message: &Message) {
        match message {
            Message::Text(text) => self.connection.feed_text_deflated(text.as_bytes()),
            Message::Binary(bytes) => self.connection.feed_binary_deflated(bytes),
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }

    /// Writes one text frame and everything before it.
    pub(super) async fn send(&mut self, text: impl AsRef<[u8]>) -> Result<(), End> {
        self.feed_text(text);
        self.flush().await
    }

    /// Writes what waits: one TLS record, one system call, as far as it fits.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        // Mostly the socket takes all of it at once; only a wait needs a deadline.
        let at_once = poll_fn(|context| Poll::Ready(self.connection.poll_flush(context))).await;
        match at_once {
            Poll::Ready(written) => written.map_err(|error| failed(&error))?,
            Poll::Pending => Box::pin(self.flush_in_time()).await?,
        }
        self.last_sent = Instant::now();
        Ok(())
    }

    async fn flush_in_time(&mut self) -> Result<(), End> {
        match timeout(self.write_timeout, self.connection.flush()).await {
            Ok(written) => written.map_err(|error| failed(&error)),
            Err(_elapsed) => Err(End::Say(CloseReason::TooSlow)),
        }
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), End> {
        let sent = self.last_sent;
        self.connection.feed_ping(&[]);
        let flushed = self.flush().await;
        // A ping is no text frame: it does not put a heartbeat off.
        self.last_sent = sent;
        flushed
    }

    /// The one end: `bye` and a Close frame where they can be said, then a short wait for the other side's.
    pub(super) async fn end(&mut self, end: End) {
        if let End::Say(reason) = end {
            let bye = Bye::new(reason, (reason.retry() != Retry::Never).then(retry_ms));
            self.feed_text(ServerFrame::Bye(&bye).encode());
        }
        self.close(end).await;
    }

    /// The same without `bye`.
    pub(super) async fn close(&mut self, end: End) {
        // Whoever does not take it in time is cut; the outcome changes nothing.
        let _ = timeout(FAREWELL, self.farewell(end)).await;
    }

    async fn farewell(&mut self, end: End) -> io::Result<()> {
        if let End::Say(reason) = end {
            self.connection.close(reason.code(), reason.reason());
            self.connection.flush().await?;
            // RFC 6455 section 7.1.1: the server closes the connection, after the client's Close has come.
            while self.connection.receive().await.is_ok() {}
        }
        self.connection.finish().await
    }
}

fn ended(ended: Ended) -> End {
    match ended {
        Ended::Closed(close) => End::Gone(said(&close)),
        Ended::Violation(violation) => End::Say(broken(&violation)),
        Ended::Io(error) => failed(&error),
    }
}

/// The reason for the metrics when the other side closes.
fn said(close: &Close) -> CloseReason {
    match close.code {
        1000 | Close::NO_CODE => CloseReason::Done,
        _ => CloseReason::GoingAway,
    }
}

fn broken(violation: &Violation) -> CloseReason {
    tracing::debug!(%violation, "bad bytes");
    CloseReason::from_code(violation.code).unwrap_or(CloseReason::ProtocolError)
}

fn failed(error: &io::Error) -> End {
    End::Gone(match error.kind() {
        io::ErrorKind::TimedOut => CloseReason::TooSlow,
        _ => CloseReason::GoingAway,
    })
}

/// What HTTP left.
pub(super) enum Stream {
    /// Of HTTP/1.1 the connection itself, with nothing around it.
    Connection(Opened),
    /// Of HTTP/2 one of its streams.
    Part(TokioIo<Upgraded>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(stream) => Pin::new(stream).poll_read(context, into),
            Self::Part(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Connection(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Part(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Connection(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Part(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Connection(stream) => stream.is_write_vectored(),
            Self::Part(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(stream) => Pin::new(stream).poll_flush(context),
            Self::Part(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Part(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// For `bye`, Close, and the other side's Close.
const FAREWELL: Duration = Duration::from_secs(2);
