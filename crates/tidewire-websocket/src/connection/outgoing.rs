//! The writing half: frames in their order, and one write for all of them.
//!
//! Shape: the first frame that waits lies in `head`; with a second one a [`Queue`] is borrowed from the thread and given
//! back when all is written. Shared frames wait as they are. Small ones are merged in the thread's buffer when they are
//! written, large ones are handed on as slices where the connection takes them.
//! Bound: one pong waits, the newest; one more may stand in the queue. Everything else is what the caller fed.
//! Source: RFC 6455 sections 5.3, 5.5.1 and 5.5.3.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes};
use tokio::io::AsyncWrite;

use super::{queue::Queue, scratch};
use crate::{
    Role,
    frame::{self, Header, Opcode},
    mask,
};

#[derive(Debug)]
pub(super) struct Outgoing {
    head: Bytes,
    queue: Option<Box<Queue>>,
    /// The payload of the newest ping without an answer.
    pong: Option<Bytes>,
    role: Role,
    /// A pong stands in the queue; the next one waits until that is written.
    pong_is_queued: bool,
    /// Our Close stands in the queue or is written. Nothing follows it.
    is_closing: bool,
    /// Something was written into the connection that it may still hold back.
    is_unflushed: bool,
    /// A pong or a Close waits to be written.
    owes_control: bool,
    /// So much is merged for one write: less after a write that took little, for the rest is merged again.
    merge_max_bytes: u32,
}

impl Outgoing {
    pub(super) fn new(role: Role) -> Self {
        Self {
            head: Bytes::new(),
            queue: None,
            pong: None,
            role,
            pong_is_queued: false,
            is_closing: false,
            is_unflushed: false,
            owes_control: false,
            merge_max_bytes: scratch::MERGE_BYTES as u32,
        }
    }

    pub(super) fn push(&mut self, frames: Bytes) {
        if self.is_closing {
            return;
        }
        match self.role {
            Role::Server => self.append(frames),
            Role::Client => self.gather_masked(&frames),
        }
    }

    pub(super) fn gather(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.is_closing {
            return;
        }
        let header = Header {
            fin: true,
            rsv1: false,
            opcode,
            mask: None,
            len: payload.len() as u64,
        };
        self.gather_frame(header, payload);
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        // Nobody waits for a pong of a connection that says goodbye.
        self.pong = None;
        self.push(frame::close(code, reason));
        self.is_closing = true;
        self.owes_control = true;
    }

    /// RFC 6455 section 5.5.3: with several pings unanswered, it is enough to answer the newest.
    pub(super) fn set_pong(&mut self, payload: Bytes) {
        if !self.is_closing {
            self.pong = Some(payload);
            self.owes_control = true;
        }
    }

    pub(super) fn owes_control(&self) -> bool {
        self.owes_control
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.head.len() + self.queue.as_ref().map_or(0, |queue| queue.bytes())
    }

    /// Between flushes there is nothing to hold.
    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        self.head.is_empty() && self.queue.is_none() && self.pong.is_none()
    }

    /// Writes everything, a waiting pong behind it, and flushes the connection.
    pub(super) fn poll_write<T: AsyncWrite>(
        &mut self,
        mut io: Pin<&mut T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.queue_pong();
        loop {
            self.seal();
            while !self.head.is_empty() {
                let written = ready!(self.poll_write_some(io.as_mut(), cx))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.is_unflushed = true;
                self.advance(written);
            }
            self.pong_is_queued = false;
            if let Some(queue) = self.queue.take() {
                queue.give_back();
            }
            if self.pong.is_none() {
                break;
            }
            self.queue_pong();
        }
        if self.is_unflushed {
            ready!(io.poll_flush(cx))?;
            self.is_unflushed = false;
        }
        self.owes_control = false;
        Poll::Ready(Ok(()))
    }

    fn poll_write_some<T: AsyncWrite>(
        &mut self,
        io: Pin<&mut T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let frames = match &self.queue {
            Some(queue) if !queue.frames.is_empty() => &queue.frames,
            Some(_) | None => return io.poll_write(cx, &self.head),
        };
        let frames = std::iter::once(&self.head).chain(frames);
        if io.is_write_vectored() && are_large(frames.clone()) {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(frames) {
                *slice = IoSlice::new(frame);
                count += 1;
            }
            return io.poll_write_vectored(cx, &slices[..count]);
        }
        scratch::with_merge_buffer(|merged| {
            for frame in frames {
                let room = self.merge_max_bytes as usize - merged.len();
                merged.extend_from_slice(&frame[..frame.len().min(room)]);
                if frame.len() >= room {
                    break;
                }
            }
            let written = ready!(io.poll_write(cx, merged))?;
            let next = if written < merged.len() {
                written
            } else {
                merged.len() * 2
            };
            self.merge_max_bytes = next.clamp(MERGE_MIN_BYTES, scratch::MERGE_BYTES) as u32;
            Poll::Ready(Ok(written))
        })
    }

    /// The front was written.
    fn advance(&mut self, mut written: usize) {
        while written > 0 && !self.head.is_empty() {
            let of_head = written.min(self.head.len());
            self.head.advance(of_head);
            written -= of_head;
            if self.head.is_empty() {
                // Not the empty rest, which would hold the shared frame.
                let next = self
                    .queue
                    .as_mut()
                    .and_then(|queue| queue.frames.pop_front());
                self.head = next.unwrap_or_default();
            }
        }
    }

    /// Frames that are shared, behind all others.
    fn append(&mut self, frames: Bytes) {
        self.seal();
        if self.head.is_empty() {
            self.head = frames;
        } else if !frames.is_empty() {
            self.queue_mut().frames.push_back(frames);
        }
    }

    /// What was gathered becomes one of the frames that wait.
    fn seal(&mut self) {
        let Some(gathered) = self.queue.as_mut().and_then(|queue| queue.seal()) else {
            return;
        };
        if self.head.is_empty() {
            self.head = gathered;
        } else {
            self.queue_mut().frames.push_back(gathered);
        }
    }

    fn queue_pong(&mut self) {
        if self.pong_is_queued {
            return;
        }
        if let Some(payload) = self.pong.take() {
            self.gather(Opcode::Pong, &payload);
            self.pong_is_queued = true;
        }
    }

    /// Encodes a frame behind all others.
    fn gather_frame(&mut self, mut header: Header, payload: &[u8]) {
        header.mask = match self.role {
            Role::Server => None,
            // RFC 6455 section 5.3: a fresh key from a strong source for each frame.
            Role::Client => Some(rand::random()),
        };
        let encoded = header.encode();
        let len = encoded.len() + payload.len();
        // A buffer that grew large is not the thread's to keep.
        if self.queue_mut().gathered.len().saturating_add(len) > scratch::MERGE_BYTES {
            self.seal();
        }
        let gathered = &mut self.queue_mut().gathered;
        gathered.reserve(len);
        gathered.put_slice(&encoded);
        let start = gathered.len();
        gathered.put_slice(payload);
        if let Some(key) = header.mask {
            mask::apply(&mut gathered[start..], key);
        }
    }

    /// A client's copy of frames that were made for all.
    fn gather_masked(&mut self, mut frames: &[u8]) {
        while let Ok(Some((header, len))) = Header::parse(frames) {
            let end = len.saturating_add(header.len as usize).min(frames.len());
            self.gather_frame(header, &frames[len..end]);
            frames = &frames[end..];
        }
        debug_assert!(frames.is_empty(), "whole frames are fed");
    }

    fn queue_mut(&mut self) -> &mut Queue {
        self.queue.get_or_insert_with(Queue::borrow)
    }
}

/// Whether a slice for each costs less than copying them together.
fn are_large<'a>(frames: impl Iterator<Item = &'a Bytes>) -> bool {
    let (mut count, mut bytes) = (0, 0);
    for frame in frames.take(SLICES_MAX) {
        count += 1;
        bytes += frame.len();
    }
    bytes >= count * SLICE_MIN_BYTES
}

/// Below this many bytes a frame, copying them together costs less than a slice for each.
const SLICE_MIN_BYTES: usize = 2048;

/// A connection that takes less than this at a time is merged for as if it took this.
const MERGE_MIN_BYTES: usize = 1024;

/// Slices in one write.
const SLICES_MAX: usize = 64;
