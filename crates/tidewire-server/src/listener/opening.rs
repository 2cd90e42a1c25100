//! The first bytes of a connection: they say which HTTP it is.
//!
//! Shape: [`Opened`] is a stream that has begun; it gives these bytes again, together with what has come behind them.
//! Together, because hyper doubles its read buffer for a header that comes in two parts. Over HTTP/1.1 it looks at all that
//! is read ([`Framing`]).
//! Unit: bytes.
//! Bound: the 24 of the HTTP/2 preface. The deadline is the caller's; hyper's own for the header begins afterwards, and
//! with it has come all that HTTP/2 waits for without a deadline.
//! Source: RFC 9113 section 3.4; hazards part 3: hyper has no time limit before an HTTP/2 preface.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::{framing::Framing, stream::Stream};

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.1, or nothing that we know: hyper says so to it.
    Http1,
    /// HTTP/2, with its whole preface.
    Http2,
}

/// A stream whose first bytes have come.
pub(crate) struct Opened<S = Stream> {
    stream: S,
    version: Version,
    first: [u8; PREFACE.len()],
    /// What of `first` is still to be given.
    left: std::ops::Range<u8>,
    /// Where requests end; of no use to HTTP/2, which has frames.
    framing: Option<Framing>,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Reads until it is clear which HTTP this is.
    ///
    /// # Errors
    /// The stream ended or failed before.
    pub(super) async fn new(mut stream: S) -> io::Result<Self> {
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        let version = loop {
            if first[..filled] != PREFACE[..filled] {
                break Version::Http1;
            }
            if filled == PREFACE.len() {
                break Version::Http2;
            }
            match stream.read(&mut first[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        };
        Ok(Self {
            stream,
            version,
            first,
            left: 0..filled as u8,
            framing: (version == Version::Http1).then(Framing::new),
        })
    }
}

impl<S> Opened<S> {
    pub(super) fn version(&self) -> Version {
        self.version
    }
}

impl<S: AsyncRead + Unpin> Opened<S> {
    fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let (start, end) = (usize::from(self.left.start), usize::from(self.left.end));
        let end = end.min(start + into.remaining());
        into.put_slice(&self.first[start..end]);
        self.left.start = end as u8;
        if into.remaining() > 0 {
            // Nothing more, an end or a failure: the next call says it.
            let _ = Pin::new(&mut self.stream).poll_read(context, into);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = self.poll_bytes(context, into);
        if let Some(framing) = &mut self.framing {
            framing.inspect(&mut into.filled_mut()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What every HTTP/2 connection begins with, and nothing else does.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    #[tokio::test]
    async fn the_preface_is_http2_and_everything_else_http1() {
        for (bytes, version) in [
            (&PREFACE[..], Version::Http2),
            (b"GET / HTTP/1.1\r\n", Version::Http1),
            (b"POST /publish HTTP/1.1\r\n", Version::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", Version::Http1),
        ] {
            let (near, mut far) = duplex(64);
            // Byte by byte, and more behind it.
            let sending = async {
                for byte in bytes.iter().chain(b"rest") {
                    far.write_all(&[*byte]).await.unwrap();
                }
                far.shutdown().await.unwrap();
            };
            let reading = async {
                let mut opened = Opened::new(near).await.unwrap();
                assert_eq!(opened.version(), version);
                let mut heard = Vec::new();
                opened.read_to_end(&mut heard).await.unwrap();
                heard
            };
            let ((), heard) = timeout(DEADLINE, async { tokio::join!(sending, reading) })
                .await
                .unwrap();
            assert_eq!(heard, [bytes, b"rest"].concat());
        }
    }

    #[tokio::test]
    async fn the_first_bytes_and_those_behind_them_come_in_one_read() {
        let (near, mut far) = duplex(1024);
        let request = b"GET /sse?topic=orders.a HTTP/1.1\r\nHost: a\r\n\r\n";
        far.write_all(request).await.unwrap();
        let mut opened = Opened::new(near).await.unwrap();
        let mut into = [0; 1024];
        let read = opened.read(&mut into).await.unwrap();
        assert_eq!(&into[..read], request);
    }

    #[tokio::test]
    async fn silence_and_an_early_end_are_no_opening() {
        let (near, mut far) = duplex(64);
        far.write_all(&PREFACE[..23]).await.unwrap();
        let mut opening = Box::pin(Opened::new(near));
        assert!(futures_util::poll!(opening.as_mut()).is_pending());
        drop(far);
        let ended = timeout(DEADLINE, opening).await.unwrap();
        let error = ended.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Only catches a hang.
    const DEADLINE: Duration = Duration::from_secs(20);
}
