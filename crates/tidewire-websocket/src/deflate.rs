//! `permessage-deflate` without context: what was compressed once fits every socket that agreed to it.
//!
//! Shape: [`Offer`]s come in, one is chosen, [`Agreed`] is all that a connection keeps. [`text`] and [`binary`] make a
//! compressed frame to be shared, [`Agreed::fits`] says who may have it. Messages that come in are inflated whole.
//! Neither side ever takes a context over: no state lives in a connection, and no message tells about another.
//! Bound: the inflated size is counted while inflating. Each thread that (de)compresses keeps one state for it.
//! Failure: an offer that may not be is declined and the next one is tried; bad data is 1007, too much of it 1009.
//! Source: RFC 7692; hazards row 17.

mod inflate;
mod negotiation;

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

pub(crate) use self::inflate::inflate;
pub use self::negotiation::{Agreed, Offer, choose};
use crate::frame::{self, Opcode};

/// The compressed frame of a text message; `None` when it would not be smaller.
#[must_use]
pub fn text(payload: &[u8]) -> Option<Bytes> {
    with_compressed(payload, |deflated| {
        frame::whole(Opcode::Text, true, deflated)
    })
}

/// The compressed frame of a binary message; `None` when it would not be smaller.
#[must_use]
pub fn binary(payload: &[u8]) -> Option<Bytes> {
    with_compressed(payload, |deflated| {
        frame::whole(Opcode::Binary, true, deflated)
    })
}

/// The payload of a compressed message; `None` when it would not be smaller.
#[must_use]
pub fn compress(payload: &[u8]) -> Option<Bytes> {
    with_compressed(payload, Bytes::copy_from_slice)
}

/// Payloads below are not compressed by [`text`], [`binary`] and [`compress`].
///
/// Measured on events in JSON: 128 bytes become 104, 192 become 125, 256 become 145, 512 become 221. With the heads of
/// TCP, IP and TLS, 256 bytes save a third of what goes over the wire and 128 an eighth; each costs about 10 µs, once.
pub const PAYS_FROM_BYTES: usize = 256;

fn with_compressed<T>(payload: &[u8], make: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if payload.len() < PAYS_FROM_BYTES {
        return None;
    }
    DEFLATER.with_borrow_mut(|deflater| deflater.deflate(payload).map(make))
}

/// The state of a thread, and where its output goes.
struct Deflater {
    state: Compress,
    output: Vec<u8>,
}

impl Deflater {
    fn new() -> Self {
        Self {
            state: Compress::new(LEVEL, false),
            output: Vec::new(),
        }
    }

    fn deflate(&mut self, payload: &[u8]) -> Option<&[u8]> {
        self.state.reset();
        // RFC 7692 section 7.2.1: flush to a byte, then take the tail away. There is room for what is one byte smaller
        // than the payload; what does not fit does not pay.
        let room = payload.len() - 1 + TAIL.len();
        if self.output.len() < room || self.output.len() > KEPT_MAX_BYTES.max(room) {
            self.output = vec![0; room];
        }
        // One byte more than is used shows that nothing was left over.
        let output = &mut self.output[..room];
        let status = self
            .state
            .compress(payload, output, FlushCompress::Sync)
            .ok()?;
        let used = self.state.total_out() as usize;
        let whole = status == Status::Ok && self.state.total_in() == payload.len() as u64;
        if !whole || used == room {
            return None;
        }
        output[..used].strip_suffix(&TAIL)
    }
}

/// RFC 7692 section 7.2.1: the empty stored block at the end of a flush; it is not sent.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// As small as level 6 within 2 % on events of 4 KiB, and a tenth cheaper; below 1 KiB there is no difference. Level 1
/// costs half and leaves a third more.
const LEVEL: Compression = Compression::new(3);

/// A thread keeps no longer output than this.
const KEPT_MAX_BYTES: usize = 64 * 1024;

thread_local! {
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
}

#[cfg(test)]
mod tests;
