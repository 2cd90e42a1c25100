//! A compressed message, inflated whole.
//!
//! Shape: the bytes of all its frames in, its payload out. Each message starts with an empty window, so a reference to
//! what another message left behind is an error. A block with BFINAL may be anywhere.
//! Bound: `max` bytes, counted while inflating; [`FINAL_BLOCKS_MAX`].
//! Failure: 1007 for data that does not inflate or stops in the middle of a block, 1009 at the bound.
//! Source: RFC 7692 section 7.2.2; RFC 1951.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use super::TAIL;
use crate::Violation;

/// Inflates a message of at most `max` bytes.
pub(crate) fn inflate(payload: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
    // RFC 7692 section 7.2.3.6 makes an empty message one byte. No bytes at all are no blocks at all.
    if payload.is_empty() {
        return Ok(Vec::new());
    }
    INFLATER.with_borrow_mut(|state| {
        state.reset(false);
        let guess = payload.len().saturating_mul(USUAL_RATIO);
        let mut message = Inflating {
            state,
            output: Vec::with_capacity(guess.min(max.saturating_add(1))),
            max,
            final_blocks: 0,
        };
        let has_ended = message.take(payload)?;
        // A message that ends with its final block needs no tail.
        if !has_ended && !message.take(&TAIL_AND_END)? {
            return Err(BAD);
        }
        Ok(message.output)
    })
}

struct Inflating<'a> {
    state: &'a mut Decompress,
    output: Vec<u8>,
    max: usize,
    final_blocks: usize,
}

impl Inflating<'_> {
    /// Takes all of the input; true when it ended with a final block.
    fn take(&mut self, mut input: &[u8]) -> Result<bool, Violation> {
        loop {
            let before = self.state.total_in();
            let status = self
                .state
                .decompress_vec(input, &mut self.output, FlushDecompress::Sync)
                .map_err(|_invalid| BAD)?;
            input = &input[(self.state.total_in() - before) as usize..];
            if self.output.len() > self.max {
                return Err(Violation::too_big(
                    "a message that inflates beyond the bound",
                ));
            }
            let is_full = self.output.len() == self.output.capacity();
            match (status, input) {
                (Status::StreamEnd, []) => return Ok(true),
                (Status::StreamEnd, _) => self.go_on_after_final()?,
                // All that the input says was said: there was room for more.
                (Status::Ok | Status::BufError, []) if !is_full => return Ok(false),
                (Status::Ok | Status::BufError, _) if is_full => self.make_room(),
                (Status::Ok, _) => {}
                (Status::BufError, _) => return Err(BAD),
            }
        }
    }

    /// RFC 7692 section 7.2.1: blocks may follow one with BFINAL, from the next byte on, in the same window.
    fn go_on_after_final(&mut self) -> Result<(), Violation> {
        self.final_blocks += 1;
        if self.final_blocks > FINAL_BLOCKS_MAX {
            return Err(Violation::data("too many final blocks in one message"));
        }
        self.state.reset(false);
        let window = self.output.len().saturating_sub(WINDOW_BYTES);
        self.state
            .set_dictionary(&self.output[window..])
            .map_err(|_refused| BAD)?;
        Ok(())
    }

    /// Twice the room, but one byte beyond the bound is enough to know that it was passed.
    fn make_room(&mut self) {
        let left = (self.max - self.output.len()).saturating_add(1);
        let room = self.output.len().clamp(ROOM_MIN_BYTES.min(left), left);
        self.output.reserve_exact(room);
    }
}

const BAD: Violation = Violation::data("compressed data that does not inflate");

/// The tail that the sender took away, then an empty final block: only between two blocks does it end the stream.
const TAIL_AND_END: [u8; 6] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x03, 0x00];

/// Nobody needs more than one; each costs the copy of a window.
const FINAL_BLOCKS_MAX: usize = 16;

const WINDOW_BYTES: usize = 32 * 1024;

/// JSON shrinks to a third or a quarter.
const USUAL_RATIO: usize = 4;

const ROOM_MIN_BYTES: usize = 64;

thread_local! {
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}
