//! Frames: headers, and whole frames that are ready to be shared.
//!
//! Shape: [`Header`] reads and writes the first 2 to 14 bytes; [`text`], [`binary`], [`ping`], [`pong`] and [`close`] make
//! whole unmasked frames, as a server sends them. [`Connection::feed`](crate::Connection::feed) takes those in both roles
//! and masks for a client.
//! Bound: a header is at most [`Header::MAX_BYTES`] long; control payloads have at most [`CONTROL_MAX_BYTES`].
//! Failure: a header that may not be is a [`Violation`] as soon as the byte that says so is there.
//! Source: RFC 6455 section 5.2.

use std::ops::Deref;

use bytes::{BufMut, Bytes, BytesMut};

use crate::Violation;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message.
    Continuation = 0x0,
    /// Starts a text message.
    Text = 0x1,
    /// Starts a binary message.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// Wants a pong.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xa,
}

impl Opcode {
    /// Close, ping or pong.
    #[must_use]
    pub fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }

    fn of(first: u8) -> Result<Self, Violation> {
        match first & 0x0f {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            _ => Err(Violation::protocol("a reserved opcode")),
        }
    }
}

/// Everything of a frame but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// RFC 7692: the message is compressed.
    pub rsv1: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The key of a masked frame.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub len: u64,
}

impl Header {
    /// The longest form: eight bytes of length and a mask.
    pub const MAX_BYTES: usize = 14;

    /// Reads the header at the start of `bytes` and says how long it is. `None`: more bytes are needed.
    ///
    /// # Errors
    /// A [`Violation`] of the shape, whoever sent it. Whether the mask and RSV1 may be is the codec's to judge.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let opcode = Opcode::of(first)?;
        let fin = first & FIN != 0;
        // RFC 6455 section 5.2: bits that no extension gave a meaning fail the connection.
        if first & (RSV2 | RSV3) != 0 {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        // RFC 6455 section 5.5: control frames are not fragmented.
        if opcode.is_control() && !fin {
            return Err(Violation::protocol("a fragmented control frame"));
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX_BYTES {
            return Err(Violation::protocol("a control frame over 125 bytes"));
        }
        let Some((len, mut used)) = length(short, &bytes[2..])? else {
            return Ok(None);
        };
        used += 2;
        let mut mask = None;
        if second & MASKED != 0 {
            let Some(&key) = bytes[used..].first_chunk() else {
                return Ok(None);
            };
            mask = Some(key);
            used += 4;
        }
        let header = Self {
            fin,
            rsv1: first & RSV1 != 0,
            opcode,
            mask,
            len,
        };
        Ok(Some((header, used)))
    }

    /// Its bytes, in the shortest form.
    #[must_use]
    pub fn encode(&self) -> EncodedHeader {
        let mut bytes = [0; Self::MAX_BYTES];
        bytes[0] =
            self.opcode as u8 | if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 };
        let mut used = 2;
        bytes[1] = match self.len {
            short @ 0..=125 => short as u8,
            medium @ 126..=0xffff => {
                bytes[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
                used = 4;
                126
            }
            long => {
                bytes[2..10].copy_from_slice(&long.to_be_bytes());
                used = 10;
                127
            }
        };
        if let Some(key) = self.mask {
            bytes[1] |= MASKED;
            bytes[used..used + 4].copy_from_slice(&key);
            used += 4;
        }
        EncodedHeader {
            bytes,
            len: used as u8,
        }
    }
}

/// The bytes of a header, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    bytes: [u8; Header::MAX_BYTES],
    len: u8,
}

impl Deref for EncodedHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The header of a whole, unmasked message of `len` bytes; for batches that are gathered without an allocation each.
#[must_use]
pub fn header(opcode: Opcode, rsv1: bool, len: usize) -> EncodedHeader {
    Header {
        fin: true,
        rsv1,
        opcode,
        mask: None,
        len: len as u64,
    }
    .encode()
}

/// A text message. That it is UTF-8 is the caller's word; `str::as_bytes` gives it for nothing.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    whole(Opcode::Text, false, payload)
}

/// A binary message.
#[must_use]
pub fn binary(payload: &[u8]) -> Bytes {
    whole(Opcode::Binary, false, payload)
}

/// A ping; of a longer payload the first [`CONTROL_MAX_BYTES`] are sent.
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    whole(Opcode::Ping, false, control(payload))
}

/// A pong; of a longer payload the first [`CONTROL_MAX_BYTES`] are sent.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    whole(Opcode::Pong, false, control(payload))
}

/// A close frame; a reason over 123 bytes is cut between two characters. [`Close::NO_CODE`](crate::Close::NO_CODE) gives
/// the frame without a body.
#[must_use]
pub fn close(code: u16, reason: &str) -> Bytes {
    if code == crate::Close::NO_CODE {
        return whole(Opcode::Close, false, &[]);
    }
    let reason = &reason[..cut(reason, CONTROL_MAX_BYTES - 2)];
    let mut payload = [0; CONTROL_MAX_BYTES];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    whole(Opcode::Close, false, &payload[..2 + reason.len()])
}

/// One frame that is one message.
pub(crate) fn whole(opcode: Opcode, rsv1: bool, payload: &[u8]) -> Bytes {
    let header = header(opcode, rsv1, payload.len());
    let mut frame = BytesMut::with_capacity(header.len() + payload.len());
    frame.put_slice(&header);
    frame.put_slice(payload);
    frame.freeze()
}

/// The length after the second byte, and how many bytes it took.
fn length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    match short {
        126 => {
            let Some(&len) = bytes.first_chunk() else {
                return Ok(None);
            };
            let len = u64::from(u16::from_be_bytes(len));
            // RFC 6455 section 5.2: the length must use the fewest bytes.
            if len <= 125 {
                return Err(Violation::protocol(
                    "a length that is not in its shortest form",
                ));
            }
            Ok(Some((len, 2)))
        }
        127 => {
            // RFC 6455 section 5.2: the most significant bit is 0.
            if bytes.first().is_some_and(|&byte| byte & 0x80 != 0) {
                return Err(Violation::protocol("a length with its first bit set"));
            }
            let Some(&len) = bytes.first_chunk() else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(len);
            if len <= 0xffff {
                return Err(Violation::protocol(
                    "a length that is not in its shortest form",
                ));
            }
            Ok(Some((len, 8)))
        }
        short => Ok(Some((u64::from(short), 0))),
    }
}

/// The longest start of `text` that has at most `max` bytes and ends between two characters.
fn cut(text: &str, max: usize) -> usize {
    (0..=max.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0)
}

pub(crate) fn control(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(CONTROL_MAX_BYTES)]
}

/// RFC 6455 section 5.5.
pub const CONTROL_MAX_BYTES: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests;
