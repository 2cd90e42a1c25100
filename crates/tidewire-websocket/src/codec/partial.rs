//! What has arrived of something that is not whole.
//!
//! Shape: the start of a header, or a frame with bytes left, and beside it the message that its frames make and the
//! control frame that came between them.
//! Bound: the codec's; here nothing is judged but text, which fails at its first bad byte.
//! Source: RFC 6455 sections 5.4 and 8.1.

use bytes::Bytes;

use super::data;
use crate::{
    Close, Message, Violation, deflate,
    frame::{Header, Opcode},
    mask,
};

/// Lives on the heap, and only as long as something is incomplete.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) header: HeaderStart,
    pub(super) frame: Option<Frame>,
    pub(super) message: Option<Gathered>,
    control: Vec<u8>,
}

impl Partial {
    /// Keeps a frame whose end has not arrived, and what has.
    pub(super) fn keep(&mut self, frame: Frame, piece: &[u8]) -> Result<(), Violation> {
        self.frame = Some(frame);
        if !frame.opcode.is_control() {
            return self.message_of(frame).append(piece);
        }
        self.control.extend_from_slice(piece);
        if frame.opcode == Opcode::Close {
            Close::check_start(&self.control)?;
        }
        Ok(())
    }

    /// The message to which the frame belongs; its first frame begins it.
    pub(super) fn message_of(&mut self, frame: Frame) -> &mut Gathered {
        self.message.get_or_insert_with(|| Gathered {
            is_text: frame.opcode == Opcode::Text,
            is_compressed: frame.is_compressed,
            payload: Vec::new(),
            checked: 0,
        })
    }

    /// The payload of a control frame, of which `piece` is the end.
    pub(super) fn take_control(&mut self, piece: &[u8]) -> Bytes {
        if self.control.is_empty() {
            return Bytes::copy_from_slice(piece);
        }
        self.control.extend_from_slice(piece);
        std::mem::take(&mut self.control).into()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.header.is_empty()
            && self.frame.is_none()
            && self.message.is_none()
            && self.control.is_empty()
    }

    pub(super) fn held_bytes(&self) -> usize {
        let message = self.message.as_ref();
        size_of::<Self>() + self.control.capacity() + message.map_or(0, |m| m.payload.capacity())
    }
}

/// A frame, and how much of its payload is still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    pub(super) is_compressed: bool,
    /// The key for the next byte.
    mask: Option<[u8; 4]>,
    pub(super) left: usize,
}

impl Frame {
    pub(super) fn new(header: &Header, left: usize) -> Self {
        Self {
            opcode: header.opcode,
            fin: header.fin,
            is_compressed: header.rsv1,
            mask: header.mask,
            left,
        }
    }

    /// Unmasks a piece of the payload where it lies.
    pub(super) fn take(&mut self, piece: &mut [u8]) {
        if let Some(key) = &mut self.mask {
            *key = mask::apply(piece, *key);
        }
        self.left -= piece.len();
    }
}

/// A data message, as far as it has come.
#[derive(Debug)]
pub(super) struct Gathered {
    is_text: bool,
    pub(super) is_compressed: bool,
    pub(super) payload: Vec<u8>,
    /// So many bytes are whole characters.
    checked: usize,
}

impl Gathered {
    pub(super) fn append(&mut self, piece: &[u8]) -> Result<(), Violation> {
        self.payload.extend_from_slice(piece);
        if !self.is_text || self.is_compressed {
            return Ok(());
        }
        match str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            // RFC 6455 section 8.1. What follows may make a character of the last one to three bytes, or it may not.
            Err(invalid) if invalid.error_len().is_none() => self.checked += invalid.valid_up_to(),
            Err(_invalid) => return Err(NOT_UTF8),
        }
        Ok(())
    }

    pub(super) fn finish(self, max: usize) -> Result<Message, Violation> {
        if self.is_compressed {
            return data(self.is_text, deflate::inflate(&self.payload, max)?);
        }
        data(self.is_text, self.payload)
    }
}

/// The first bytes of a header.
#[derive(Debug, Default)]
pub(super) struct HeaderStart {
    bytes: [u8; Header::MAX_BYTES],
    len: u8,
}

impl HeaderStart {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps all of `bytes`, which are no whole header.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }

    /// Goes on with more bytes; says how many of them belong to the header, which is then no longer kept.
    pub(super) fn go_on(&mut self, rest: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        for (taken, byte) in rest.iter().enumerate() {
            self.keep(&[*byte]);
            if let Some((header, _len)) = Header::parse(&self.bytes[..usize::from(self.len)])? {
                self.len = 0;
                return Ok(Some((header, taken + 1)));
            }
        }
        Ok(None)
    }
}

pub(super) const NOT_UTF8: Violation = Violation::data("text that is not UTF-8");
