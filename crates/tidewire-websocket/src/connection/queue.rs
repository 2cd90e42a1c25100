//! What waits behind the head of the writing half, lent by the thread while it is needed.
//!
//! Shape: frames in their order, and behind them a buffer in which frames are made. When all is written, the thread has it
//! back, so that a connection that waits holds nothing and one that writes does not allocate.
//! Bound: a thread keeps one, of at most [`KEPT_MAX_FRAMES`] and [`MERGE_BYTES`]; a larger one is dropped.

use std::{cell::Cell, collections::VecDeque, mem};

use bytes::{Bytes, BytesMut};

use super::scratch::MERGE_BYTES;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) frames: VecDeque<Bytes>,
    /// Frames that were made here, one behind the other.
    pub(super) gathered: BytesMut,
}

impl Queue {
    pub(super) fn borrow() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    pub(super) fn give_back(self: Box<Self>) {
        let frames = self.frames.capacity();
        if frames <= KEPT_MAX_FRAMES && self.gathered.capacity() <= MERGE_BYTES {
            SPARE.set(Some(self));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum::<usize>() + self.gathered.len()
    }

    /// Takes what was gathered. Its memory comes back when it is written, unless it grew beyond what is kept.
    pub(super) fn seal(&mut self) -> Option<Bytes> {
        let gathered = match self.gathered.len() {
            0 => return None,
            1..=MERGE_BYTES => self.gathered.split(),
            _ => mem::take(&mut self.gathered),
        };
        Some(gathered.freeze())
    }
}

const KEPT_MAX_FRAMES: usize = 1024;

thread_local! {
    static SPARE: Cell<Option<Box<Queue>>> = const { Cell::new(None) };
}
