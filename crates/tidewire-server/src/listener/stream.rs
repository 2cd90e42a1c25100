//! The byte stream of one connection, with the deadline that no layer above has.
//!
//! Shape: [`Wire`] lies on the socket, below TLS: it ends a connection whose peer takes no byte, and closes gently.
//! [`Stream`] is it, or TLS over it.
//! Unit: bytes; one timer, and only while it is needed.
//! Bound: `write_timeout`, and after the end [`LINGER`] and [`LINGER_BYTES`].
//! Failure: a passed deadline is an I/O error of kind `TimedOut`; the layers above close the connection.
//! Source: hazards part 1 row 15: a peer that reads nothing.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::tls_stream::TlsStream;
use crate::limits::quota::Permit;

/// The socket, with a deadline for a peer that takes no byte.
#[derive(Debug)]
pub(crate) struct Wire {
    /// `None` only while it is dropped.
    socket: Option<TcpStream>,
    write_timeout: Duration,
    /// Runs while a write waits and no byte was taken; boxed because that is rare.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Set when the peer was given up because it took nothing.
    too_slow: Arc<AtomicBool>,
    /// The peer has closed, or the connection is broken: nothing to be gentle about.
    finished: bool,
    /// The place among the connections; kept until the socket is closed.
    permit: Option<Permit>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, write_timeout: Duration, permit: Permit) -> Self {
        Self {
            socket: Some(socket),
            write_timeout,
            stalled: None,
            too_slow: Arc::default(),
            finished: false,
            permit: Some(permit),
        }
    }

    /// Whether the peer was given up because it took nothing: known once the connection has ended.
    pub(crate) fn too_slow(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.too_slow)
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Looks at the outcome of a write: progress stops the timer, waiting runs it.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(outcome) => {
                self.stalled = None;
                self.finished |= outcome.is_err();
                written
            }
            Poll::Pending => {
                let deadline = Instant::now() + self.write_timeout;
                let timer = self
                    .stalled
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                ready!(timer.as_mut().poll(context));
                self.finished = true;
                self.too_slow.store(true, Ordering::Relaxed);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let room = into.remaining() > 0;
        let outcome = ready!(self.socket()?.poll_read(context, into));
        let ended = room && into.filled().len() == before;
        self.finished |= ended || outcome.is_err();
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.socket()?.poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.socket()?.poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(context)
    }
}

impl Drop for Wire {
    /// Closing a socket with unread bytes resets it, and a reset overtakes the last answer (a 413, a Close frame). So
    /// the write side is closed first and what the peer still sends is read away, for a short while.
    fn drop(&mut self) {
        let (Some(socket), permit) = (self.socket.take(), self.permit.take()) else {
            return;
        };
        if self.finished {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // The outcome does not matter: the connection is gone either way.
                let _ = timeout(LINGER, read_away(socket)).await;
                drop(permit);
            });
        }
    }
}

async fn read_away(mut socket: TcpStream) -> io::Result<()> {
    socket.shutdown().await?;
    let mut scratch = [0; 1024];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match socket.read(&mut scratch).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// What HTTP is spoken over.
pub(crate) enum Stream {
    /// The public listeners.
    Tls(TlsStream<Wire>),
    /// The admin listener, and public ones behind a TLS proxy.
    Plain(Wire),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
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
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Plain(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// How long a closed connection is read away.
const LINGER: Duration = Duration::from_secs(2);
/// How much of it.
const LINGER_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
