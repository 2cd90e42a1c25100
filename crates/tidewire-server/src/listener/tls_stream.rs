//! The server's side of TLS on one socket, without a buffer while nothing moves.
//!
//! Shape: [`Records`] is TLS without I/O; [`TlsStream`] moves its bytes between HTTP and the [`Wire`](super::stream::Wire)
//! through the [`Scratch`] of the thread. A connection keeps only what it must: the part of a record that has come, plaintext
//! for which the reader had no room, ciphertext that the socket did not take.
//! Unit: bytes.
//! Bound: one read of [`READ_BYTES`], one write of [`WRITE_BYTES`]; while ciphertext waits no more plaintext is taken.
//! Failure: bad records are answered with an alert and end the stream with `InvalidData`; an end of the socket without
//! `close_notify` is `UnexpectedEof`, because what came may be cut short.
//! Source: RFC 8446 and RFC 5246; rustls, "unbuffered"; hazards part 3: 4 KB of an idle connection were the read buffer.

mod records;
mod scratch;

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::ServerConfig;
use rustls_acme::acme::ACME_TLS_ALPN_NAME as CHALLENGE_ALPN;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::{
    records::Records,
    scratch::{INCOMING_BYTES, READ_BYTES, Scratch, WRITE_BYTES},
};

/// A stream that speaks TLS to a client.
pub(crate) struct TlsStream<S> {
    wire: S,
    /// Boxed: it is large, and streams are moved.
    records: Box<Records>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Shakes hands. The deadline is the caller's.
    ///
    /// # Errors
    /// The client speaks no TLS that we do, or went away. It was told why, where TLS has an alert for it.
    pub(crate) async fn accept(config: Arc<ServerConfig>, wire: S) -> io::Result<Self> {
        let records = Box::new(Records::new(config)?);
        let mut stream = Self { wire, records };
        match poll_fn(|context| stream.poll_handshake(context)).await {
            Ok(()) => Ok(stream),
            Err(error) => {
                // The alert. That it arrives is of use to the client only.
                let _ = poll_fn(|context| stream.poll_send(context)).await;
                Err(error)
            }
        }
    }

    /// Whether an authority has come to see the proof for a certificate.
    pub(crate) fn is_challenge(&self) -> bool {
        self.records.alpn() == Some(CHALLENGE_ALPN)
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_send(context)?;
            if !self.records.is_handshaking() {
                ready!(sent);
                return Pin::new(&mut self.wire).poll_flush(context);
            }
            // Also while we cannot send: the client may have to send before it can read. What comes behind the handshake
            // waits in the records.
            ready!(self.poll_receive(context, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// One read of the socket, and what it says.
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { wire, records } = self;
        // What failed is not looked at again.
        records.check()?;
        ready!(Scratch::with(|scratch| {
            let before = records.rest().len();
            let end = INCOMING_BYTES.min(before + READ_BYTES);
            if before >= end {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a TLS message is too long",
                )));
            }
            let mut incoming = ReadBuf::new(&mut scratch.incoming[..end]);
            incoming.put_slice(records.rest());
            ready!(Pin::new(wire).poll_read(context, &mut incoming))?;
            let filled = incoming.filled().len();
            if filled == before {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the peer closed without a close_notify",
                )));
            }
            Poll::Ready(records.receive(&mut scratch.incoming[..filled], into))
        }))?;
        if self.records.check().is_err() {
            // The alert goes out now or with the next call, if there is one.
            let _ = self.poll_send(context);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what waits. Nothing waits when it is ready.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.records.outgoing().is_empty() {
            let wire = Pin::new(&mut self.wire);
            let sent = ready!(wire.poll_write(context, self.records.outgoing()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.records.sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts what is given, or a first part of it, and hands it to the socket in one write.
    fn poll_give(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Backpressure: what was taken earlier goes first.
        ready!(self.poll_send(context))?;
        let Self { wire, records } = self;
        Scratch::with(|scratch| {
            let Scratch {
                plain, outgoing, ..
            } = scratch;
            let plain = gather(slices, plain);
            if plain.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let sealed = records.seal(plain, outgoing)?;
            let sent = match Pin::new(wire).poll_write(context, &outgoing[..sealed]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            records.wait(&outgoing[sent..sealed]);
            Poll::Ready(Ok(plain.len()))
        })
    }
}

/// The bytes of one write: a single slice as it lies there, several of them copied together.
fn gather<'a>(slices: &'a [IoSlice<'_>], together: &'a mut Vec<u8>) -> &'a [u8] {
    let mut filled = slices.iter().filter(|slice| !slice.is_empty());
    let (first, second) = (filled.next(), filled.next());
    match (first, second) {
        (None, _) => &[],
        (Some(first), None) => &first[..first.len().min(WRITE_BYTES)],
        (Some(first), Some(_)) if first.len() >= WRITE_BYTES => &first[..WRITE_BYTES],
        (Some(_), Some(_)) => {
            together.clear();
            for slice in slices {
                let room = WRITE_BYTES - together.len();
                together.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            together
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            self.records.read(into);
            let is_done = into.filled().len() > before || into.remaining() == 0;
            if is_done || self.records.has_ended() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(context, into))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_give(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_give(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.records.close()?;
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
