//! The codec over an upgraded connection.
//!
//! Shape: one task owns it. [`Connection::poll_receive`] reads, answers pings and gives messages; [`Connection::feed`] and
//! its kin take frames without I/O; [`Connection::poll_flush`] writes all of them at once. [`Outgoing`] is the writing half,
//! [`scratch`] holds what the threads lend.
//! Bound: it owns no buffer while nothing moves. Reads go into the thread's buffer; what of it was not decoded yet, at most
//! [`scratch::READ_BYTES`], is kept with the connection. What is fed and not flushed is the caller's to bound
//! ([`Connection::pending_bytes`]). Of pings, however many, the newest one is answered.
//! Failure: [`Ended`], once. [`Connection::finish`] sends the Close frame that is then owed; before it, last words may be
//! fed, and [`Connection::close`] may say why in other words.
//! Source: RFC 6455 sections 5.5 and 7; hazards row 20.

mod outgoing;
mod queue;
mod scratch;

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::outgoing::Outgoing;
use crate::{
    Close, Codec, Decoded, End, Message, Settings, Violation, deflate,
    frame::{self, Opcode},
};

/// A WebSocket, after its handshake.
#[derive(Debug)]
pub struct Connection<T> {
    io: T,
    codec: Codec,
    /// Was read together with the message before it. Empty, and without memory, most of the time.
    rest: BytesMut,
    outgoing: Outgoing,
    state: State,
    /// The peer has to be told of it, unless it was told something else. Boxed: it is rare, and told once.
    owed: Option<Box<Violation>>,
}

/// The outside is the connection's, the inside is the codec's.
type ReadOutcome = io::Result<Result<Option<Message>, End>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The end was told; a Close may still be owed.
    Ended,
    /// Nothing more is written.
    ShutDown,
}

/// Why nothing more is received.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer's Close frame. It is answered by the flush, unless it was the answer.
    #[error("the peer closed with {}", .0.code)]
    Closed(Close),
    /// The peer broke the protocol or a bound. [`Connection::finish`] tells it, unless [`Connection::close`] said why.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The connection is gone, or was cut without a Close frame (`UnexpectedEof`).
    #[error("the connection is gone")]
    Io(#[from] io::Error),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Over an upgraded connection. `leftover` was read behind the handshake.
    #[must_use]
    pub fn new(io: T, leftover: Bytes, settings: Settings) -> Self {
        Self {
            io,
            codec: Codec::new(settings),
            rest: leftover.into(),
            outgoing: Outgoing::new(settings.role),
            state: State::Open,
            owed: None,
        }
    }

    /// The next message.
    ///
    /// Pings are answered by themselves, and reported so that they can be counted.
    ///
    /// # Errors
    /// [`Ended`]; then [`Self::finish`].
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub async fn receive(&mut self) -> Result<Message, Ended> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Polls for the next message. It also goes on with an answer to a ping or to a Close that could not be written yet.
    ///
    /// # Errors
    /// [`Ended`]; afterwards only `NotConnected`.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Ended>> {
        if self.state != State::Open {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected).into()));
        }
        loop {
            let outcome = if self.rest.is_empty() {
                match ready!(self.poll_answer_and_read(cx)) {
                    Ok(outcome) => outcome,
                    Err(error) => return Poll::Ready(Err(self.lost(error))),
                }
            } else {
                self.decode_rest()
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(message)) => {
                    if let Message::Ping(payload) = &message {
                        self.outgoing.set_pong(payload.clone());
                    }
                    return Poll::Ready(Ok(message));
                }
                Err(end) => return Poll::Ready(Err(self.end(end))),
            }
        }
    }

    /// Takes whole unmasked frames, one or several in a row, as [`frame`] and [`deflate`] make them. They are shared, not
    /// copied, but for a client, which masks them. No I/O.
    ///
    /// After [`Self::close`] nothing is taken any more, here and in the other ways to feed.
    pub fn feed(&mut self, frames: Bytes) {
        self.outgoing.push(frames);
    }

    /// Takes a text message, which the caller knows to be UTF-8. No I/O.
    pub fn feed_text(&mut self, payload: &[u8]) {
        self.outgoing.gather(Opcode::Text, payload);
    }

    /// Takes a binary message. No I/O.
    pub fn feed_binary(&mut self, payload: &[u8]) {
        self.outgoing.gather(Opcode::Binary, payload);
    }

    /// Takes a ping; of a longer payload the first 125 bytes. No I/O.
    pub fn feed_ping(&mut self, payload: &[u8]) {
        self.outgoing.gather(Opcode::Ping, frame::control(payload));
    }

    /// Takes a text message and compresses it, where that was agreed and pays. No I/O.
    ///
    /// For what only this connection gets. What many get is compressed once, by [`deflate::text`].
    pub fn feed_text_deflated(&mut self, payload: &[u8]) {
        match self
            .takes_deflated(payload.len())
            .then(|| deflate::text(payload))
        {
            Some(Some(frame)) => self.feed(frame),
            Some(None) | None => self.feed_text(payload),
        }
    }

    /// Takes a binary message and compresses it, where that was agreed and pays. No I/O.
    pub fn feed_binary_deflated(&mut self, payload: &[u8]) {
        match self
            .takes_deflated(payload.len())
            .then(|| deflate::binary(payload))
        {
            Some(Some(frame)) => self.feed(frame),
            Some(None) | None => self.feed_binary(payload),
        }
    }

    /// Whether a compressed frame of a payload of so many bytes may be fed.
    #[must_use]
    pub fn takes_deflated(&self, payload_bytes: usize) -> bool {
        let agreed = self.codec.settings().deflate;
        agreed.is_some_and(|agreed| agreed.fits(payload_bytes))
    }

    /// Bytes that were fed and not written yet.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.outgoing.pending_bytes()
    }

    /// Writes all that was fed.
    ///
    /// # Errors
    /// The connection is gone.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing; the next one goes on.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes all that was fed, in as few writes as the connection takes.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_write(Pin::new(&mut self.io), cx)
    }

    /// Says goodbye: a Close frame behind what was fed, once. The flush sends it; [`Self::receive`] goes on to the peer's.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.outgoing.close(code, reason);
    }

    /// Sends what is owed, ends the writing half, and waits until the peer has ended its own. What it still says is not
    /// looked at. A peer that does not end is the caller's to give up on.
    ///
    /// A connection that is dropped with bytes unread is reset, and its peer may never see the Close frame.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// Polls for what [`Self::finish`] waits for.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.rest = BytesMut::new();
        if let Some(violation) = self.owed.take() {
            self.close(violation.code, violation.what);
        }
        if self.state != State::ShutDown {
            ready!(self.poll_flush(cx))?;
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.state = State::ShutDown;
        }
        scratch::with_read_buffer(|buffer| {
            loop {
                let mut read = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    /// What lies beneath.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Pings that came in one read have one answer, before the next read.
    fn poll_answer_and_read(&mut self, cx: &mut Context<'_>) -> Poll<ReadOutcome> {
        if self.outgoing.owes_control()
            && let Poll::Ready(Err(error)) = self.outgoing.poll_write(Pin::new(&mut self.io), cx)
        {
            return Poll::Ready(Err(error));
        }
        self.poll_read(cx)
    }

    /// Reads once, and decodes up to the first message.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<ReadOutcome> {
        scratch::with_read_buffer(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            let bytes = read.filled_mut();
            if bytes.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(Ok(self.codec.decode(bytes).map(|decoded| {
                self.rest = BytesMut::from(&bytes[decoded.used..]);
                decoded.message
            })))
        })
    }

    fn decode_rest(&mut self) -> Result<Option<Message>, End> {
        let Decoded { used, message } = self.codec.decode(&mut self.rest)?;
        self.rest.advance(used);
        if self.rest.is_empty() {
            self.rest = BytesMut::new();
        }
        Ok(message)
    }

    fn end(&mut self, end: End) -> Ended {
        self.state = State::Ended;
        self.rest = BytesMut::new();
        match end {
            End::Closed(close) => {
                // RFC 6455 section 5.5.1: a Close is answered by a Close, with the same code.
                self.outgoing.close(close.code, "");
                Ended::Closed(close)
            }
            End::Violation(violation) => {
                self.owed = Some(Box::new(violation));
                Ended::Violation(violation)
            }
        }
    }

    fn lost(&mut self, error: io::Error) -> Ended {
        self.state = State::Ended;
        self.rest = BytesMut::new();
        Ended::Io(error)
    }
}

#[cfg(test)]
mod tests;
