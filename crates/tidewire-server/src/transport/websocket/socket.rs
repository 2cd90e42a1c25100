//! The socket of one WebSocket: messages in, frames out, and a clean end.
//!
//! Shape: axum's WebSocket with small buffers, a deadline on every write, and one way to close.
//! Bound: [`READ_BUFFER_BYTES`]; frames gather up to [`WRITE_BUFFER_BYTES`] before they are written; the write buffer never
//! holds more than two events; control frames are coalesced by the codec.
//! Failure: [`End`] says why it ends, and whether the other side can still be told.
//! Source: RFC 6455; protocol section 3.3; hazards part 3, tungstenite (both sizes must be set).

use std::{
    future::Future,
    io,
    time::{Duration, Instant},
};

use axum::extract::{
    WebSocketUpgrade,
    ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tidewire_protocol::{Bye, CloseReason, Retry, ServerFrame};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;

use crate::{drain::retry_ms, limits::LimitsConfig};

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

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A text message.
    Text(Utf8Bytes),
    /// A ping or a pong: a sign of life.
    Life,
}

/// Sets every bound of the upgrade by name.
pub(super) fn configure(upgrade: WebSocketUpgrade, limits: &LimitsConfig) -> WebSocketUpgrade {
    let message_max = limits.frame_max_bytes();
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES + 2 * message_max)
        .max_message_size(message_max)
        .max_frame_size(message_max)
}

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Socket {
    inner: WebSocket,
    write_timeout: Duration,
    last_sent: Instant,
}

impl Socket {
    pub(super) fn new(inner: WebSocket, write_timeout: Duration) -> Self {
        Self {
            inner,
            write_timeout,
            last_sent: Instant::now(),
        }
    }

    /// When the last text frame was written.
    pub(super) fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// The next message.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing: what was read stays in the codec.
    pub(super) async fn receive(&mut self) -> Result<Heard, End> {
        match self.inner.next().await {
            Some(Ok(Message::Text(text))) => Ok(Heard::Text(text)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Heard::Life),
            Some(Ok(Message::Binary(_))) => Err(End::Say(CloseReason::Unsupported)),
            Some(Ok(Message::Close(frame))) => Err(End::Gone(said(frame.as_ref()))),
            Some(Err(error)) => Err(failed(error)),
            None => Err(End::Gone(CloseReason::GoingAway)),
        }
    }

    /// Writes one text frame and everything before it.
    pub(super) async fn send(&mut self, text: impl Into<Bytes>) -> Result<(), End> {
        self.feed(text).await?;
        self.flush().await
    }

    /// Puts one text frame to those that gather; writes them when they are many.
    pub(super) async fn feed(&mut self, text: impl Into<Bytes>) -> Result<(), End> {
        // What we send was encoded from text; the check costs less than a wrong frame.
        let text =
            Utf8Bytes::try_from(text.into()).map_err(|_| End::Say(CloseReason::GoingAway))?;
        within(self.write_timeout, self.inner.feed(Message::Text(text))).await
    }

    /// Writes what has gathered: one TLS record, one system call, as far as it fits.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        within(self.write_timeout, self.inner.flush()).await?;
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), End> {
        within(
            self.write_timeout,
            self.inner.send(Message::Ping(Bytes::new())),
        )
        .await
    }

    /// The one end: `bye` and a Close frame where they can be said, then a short wait for the other side's.
    pub(super) async fn end(&mut self, end: End) {
        let farewell = async {
            match end {
                End::Say(reason) => self.say(reason).await,
                // The codec answers the other side's Close.
                End::Gone(_) => self.inner.flush().await,
            }
        };
        // Whoever does not take it in time is cut; the outcome changes nothing.
        let _ = timeout(FAREWELL, farewell).await;
    }

    async fn say(&mut self, reason: CloseReason) -> Result<(), axum::Error> {
        let bye = Bye::new(reason, (reason.retry() != Retry::Never).then(retry_ms));
        self.inner
            .feed(Message::Text(ServerFrame::Bye(&bye).encode().into()))
            .await?;
        let close = CloseFrame {
            code: reason.code(),
            reason: Utf8Bytes::from_static(reason.reason()),
        };
        self.inner.send(Message::Close(Some(close))).await?;
        // RFC 6455 section 7.1.1: the server closes the connection, after the client's Close has come.
        while let Some(Ok(_)) = self.inner.next().await {}
        Ok(())
    }
}

async fn within(
    time: Duration,
    write: impl Future<Output = Result<(), axum::Error>>,
) -> Result<(), End> {
    match timeout(time, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(error)),
        Err(_elapsed) => Err(End::Say(CloseReason::TooSlow)),
    }
}

/// Whose fault an error is, and whether it can still be said.
fn failed(error: axum::Error) -> End {
    use tungstenite::error::{Error, ProtocolError};

    let Ok(error) = error.into_inner().downcast::<Error>() else {
        return End::Gone(CloseReason::GoingAway);
    };
    match *error {
        Error::Capacity(_) => End::Say(CloseReason::TooBig),
        Error::Utf8(_) => End::Say(CloseReason::BadUtf8),
        Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        ) => End::Gone(CloseReason::GoingAway),
        Error::Protocol(_) => End::Say(CloseReason::ProtocolError),
        Error::WriteBufferFull(_) => End::Gone(CloseReason::TooSlow),
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            End::Gone(CloseReason::TooSlow)
        }
        _ => End::Gone(CloseReason::GoingAway),
    }
}

/// The reason for the metrics when the other side closes.
fn said(frame: Option<&CloseFrame>) -> CloseReason {
    match frame.map(|frame| frame.code) {
        Some(1000) | None => CloseReason::Done,
        Some(_) => CloseReason::GoingAway,
    }
}

/// The one subprotocol.
const SUBPROTOCOL: &str = "tidewire.v1";
/// Allocated for every connection; a longer frame gets its own buffer while it is read.
const READ_BUFFER_BYTES: usize = 1024;
/// One TLS record. Nothing is allocated before the first frame.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// For `bye`, Close, and the other side's Close.
const FAREWELL: Duration = Duration::from_secs(2);
