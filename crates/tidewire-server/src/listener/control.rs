//! HTTP/2 frames that carry no request and no data: how many a second a client may send.
//!
//! Each PING and each SETTINGS makes the server write an answer, and none of the library's own bounds counts them, or
//! PRIORITY, a RST_STREAM of a stream that is over, and frames of unknown types. So they are counted where they come in.
//! Shape: [`ControlLimit`] lies between the connection and HTTP/2, and looks at the head of each frame that passes.
//! Unit: frames. HEADERS, CONTINUATION and DATA have bounds of their own; WINDOW_UPDATE follows what a client is sent,
//! makes nobody write, and costs nothing that is kept.
//! Bound: `http2_control_frames_per_second`, with a burst of as many; 9 bytes of a head that came in parts.
//! Failure: one frame too many is an I/O error, which ends the connection; it is counted.
//! Source: RFC 9113 sections 4.1 and 10.5; hazards part 1 row 18; CVE-2019-9512, 9513 and 9515.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::bucket::Bucket;

/// A stream that speaks HTTP/2 and ends when too many frames on it are only frames.
pub(super) struct ControlLimit<S> {
    stream: S,
    frames: Frames,
    per_second: u32,
    bucket: Bucket,
    /// Connections that ended here.
    floods: Counter,
}

impl<S> ControlLimit<S> {
    /// Nothing of the stream was read yet: the preface comes first.
    pub(super) fn new(stream: S, per_second: u32, floods: Counter) -> Self {
        Self {
            stream,
            frames: Frames::after(PREFACE_BYTES),
            per_second,
            bucket: Bucket::new(per_second, Instant::now()),
            floods,
        }
    }

    fn count(&mut self, frames: u32) -> io::Result<()> {
        let now = Instant::now();
        for _ in 0..frames {
            if self.bucket.take(self.per_second, now).is_err() {
                self.floods.inc();
                return Err(io::Error::other("too many HTTP/2 control frames"));
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ControlLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let control = self.frames.pass(&into.filled()[before..]);
        if control > 0
            && let Err(error) = self.count(control)
        {
            // A read that fails gives nothing.
            into.set_filled(before);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ControlLimit<S> {
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

/// Where in the frames the bytes are. It finds their borders and understands nothing else.
struct Frames {
    /// Bytes until the next head begins.
    left: u32,
    head: [u8; HEAD_BYTES],
    /// How much of the head has come.
    filled: u8,
}

impl Frames {
    /// Frames that begin behind so many other bytes.
    fn after(bytes: u32) -> Self {
        Self {
            left: bytes,
            head: [0; HEAD_BYTES],
            filled: 0,
        }
    }

    /// Goes on by these bytes; how many control frames began in them.
    fn pass(&mut self, mut bytes: &[u8]) -> u32 {
        let mut control = 0;
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.left as usize);
            self.left -= skipped as u32;
            bytes = &bytes[skipped..];
            let filled = usize::from(self.filled);
            let taken = bytes.len().min(HEAD_BYTES - filled);
            self.head[filled..filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken as u8;
            bytes = &bytes[taken..];
            if usize::from(self.filled) == HEAD_BYTES {
                let [high, middle, low, kind, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]);
                self.filled = 0;
                control += u32::from(!BOUNDED_ELSEWHERE.contains(&kind));
            }
        }
        control
    }
}

/// What every HTTP/2 connection begins with.
const PREFACE_BYTES: u32 = 24;
/// RFC 9113 section 4.1: length, type, flags, stream.
const HEAD_BYTES: usize = 9;
/// DATA, HEADERS, WINDOW_UPDATE, CONTINUATION.
const BOUNDED_ELSEWHERE: [u8; 4] = [0x0, 0x1, 0x8, 0x9];

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        [&length[..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    }

    /// Every kind once, two of them with payloads that look like heads.
    fn sample() -> Vec<u8> {
        let like_pings = frame(0x6, &[0; 8]).repeat(20);
        let frames = [
            frame(0x4, &[0; 6]),
            frame(0x1, b"header block"),
            frame(0x9, b""),
            frame(0x0, &like_pings),
            frame(0x6, &[6; 8]),
            frame(0x8, &[0, 0, 0, 1]),
            frame(0x42, &like_pings),
            frame(0x2, &[0; 5]),
            frame(0x3, &[0; 4]),
        ];
        [vec![0x6; PREFACE_BYTES as usize], frames.concat()].concat()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let bytes = sample();
        for size in 1..=bytes.len() {
            let mut frames = Frames::after(PREFACE_BYTES);
            let control: u32 = bytes.chunks(size).map(|part| frames.pass(part)).sum();
            assert_eq!(control, 5, "in parts of {size}");
        }
    }

    #[tokio::test]
    async fn too_many_control_frames_end_the_stream_and_are_counted() {
        let preface = vec![b'P'; PREFACE_BYTES as usize];
        // So many more that a slow machine lets none of them through.
        for (pings, outcome) in [(1, Ok(())), (1000, Err(io::ErrorKind::Other))] {
            let bytes = [preface.clone(), frame(0x6, &[0; 8]).repeat(pings)].concat();
            let floods = Counter::default();
            let mut limited = ControlLimit::new(&bytes[..], 1, floods.clone());
            let read = limited.read_to_end(&mut Vec::new()).await;
            assert_eq!(read.map(|_| ()).map_err(|error| error.kind()), outcome);
            assert_eq!(floods.get(), u64::from(outcome.is_err()));
        }
    }

    #[tokio::test]
    async fn requests_and_data_are_not_counted() {
        let preface = vec![b'P'; PREFACE_BYTES as usize];
        let honest = [frame(0x1, b"x"), frame(0x0, b"x"), frame(0x8, &[0; 4])].concat();
        let bytes = [preface, honest.repeat(1000)].concat();
        let mut limited = ControlLimit::new(&bytes[..], 1, Counter::default());
        let read = limited.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(read, bytes.len());
    }
}
