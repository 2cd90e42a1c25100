//! Bytes in, messages out.
//!
//! Shape: [`Codec::decode`] takes what was read, in any pieces, and gives the first message that is whole. A message that
//! lies whole in the bytes is unmasked where it lies and copied once; of anything else [`Partial`] keeps what has arrived.
//! Bound: `message_max_bytes` for a message, refused at the header that passes it; 14 bytes for a header; 125 for a
//! control frame. What is incomplete grows with what has arrived, never with what was announced. Between messages the
//! codec is a few words without a buffer.
//! Failure: an [`End`], once, at the first byte that shows it. Whatever comes afterwards is ignored.
//! Source: RFC 6455 sections 5 to 8; RFC 7692 section 6; hazards rows 15 and 20.

mod partial;

use bytes::Bytes;

use self::partial::{Frame, Partial};
use crate::{
    Close, End, Message, Violation,
    deflate::{self, Agreed},
    frame::{Header, Opcode},
};

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes masked frames, sends unmasked ones.
    Server,
    /// Takes unmasked frames, sends masked ones.
    Client,
}

/// What a codec and a connection are told at their start.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which side this is.
    pub role: Role,
    /// Bytes of the longest message, inflated; a longer one ends with 1009.
    pub message_max_bytes: usize,
    /// What the handshake agreed to.
    pub deflate: Option<Agreed>,
}

/// The reading half of a connection, without I/O.
#[derive(Debug)]
pub struct Codec {
    settings: Settings,
    has_ended: bool,
    /// There is one while a header, a frame or a message is incomplete.
    partial: Option<Box<Partial>>,
}

/// What [`Codec::decode`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// So many bytes of the input are done with. Without a message, all of them.
    pub used: usize,
    /// The first message that is whole.
    pub message: Option<Message>,
}

impl Codec {
    /// At the start of a connection.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            has_ended: false,
            partial: None,
        }
    }

    /// Takes bytes up to the end of the first whole message. What was used is unmasked where it lies; the rest is as it
    /// was, and is given again.
    ///
    /// # Errors
    /// The [`End`], once. Afterwards all bytes are used and say nothing.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, End> {
        if self.has_ended {
            let (used, message) = (bytes.len(), None);
            return Ok(Decoded { used, message });
        }
        let mut used = 0;
        match self.advance(bytes, &mut used) {
            Ok(message) => Ok(Decoded { used, message }),
            Err(end) => {
                self.has_ended = true;
                self.partial = None;
                Err(end)
            }
        }
    }

    /// Bytes on the heap, for what is incomplete; 0 between messages.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.held_bytes())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn advance(&mut self, bytes: &mut [u8], used: &mut usize) -> Result<Option<Message>, End> {
        loop {
            let Some(mut frame) = self.next_frame(bytes, used)? else {
                return Ok(None);
            };
            let end = bytes.len().min(used.saturating_add(frame.left));
            let piece = &mut bytes[*used..end];
            *used = end;
            frame.take(piece);
            if frame.left > 0 {
                self.partial_mut().keep(frame, piece)?;
                return Ok(None);
            }
            if let Some(message) = self.end_of_frame(frame, piece)? {
                return Ok(Some(message));
            }
        }
    }

    /// The frame that was begun, or the one that the next header announces.
    fn next_frame(&mut self, bytes: &[u8], used: &mut usize) -> Result<Option<Frame>, Violation> {
        if let Some(frame) = self.partial.as_mut().and_then(|p| p.frame.take()) {
            return Ok(Some(frame));
        }
        let rest = &bytes[*used..];
        let has_start = self.partial.as_ref().is_some_and(|p| !p.header.is_empty());
        let found = if has_start {
            self.partial_mut().header.go_on(rest)?
        } else {
            Header::parse(rest)?
        };
        if let Some((header, len)) = found {
            *used += len;
            self.let_go();
            return Ok(Some(self.check(&header)?));
        }
        *used = bytes.len();
        if !has_start && !rest.is_empty() {
            self.partial_mut().header.keep(rest);
        }
        Ok(None)
    }

    /// What a header may be depends on the side, on what was agreed, and on what came before.
    fn check(&self, header: &Header) -> Result<Frame, Violation> {
        match (self.settings.role, header.mask) {
            // RFC 6455 section 5.1: a server closes at an unmasked frame, a client at a masked one.
            (Role::Server, None) => return Err(Violation::protocol("a frame without a mask")),
            (Role::Client, Some(_)) => return Err(Violation::protocol("a masked frame")),
            (Role::Server, Some(_)) | (Role::Client, None) => {}
        }
        let message = self.partial.as_ref().and_then(|p| p.message.as_ref());
        // RFC 7692 section 6.1: RSV1 stands on the first frame of a message only.
        let may_compress = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        if header.rsv1 && !(may_compress && self.settings.deflate.is_some()) {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        if header.opcode.is_control() {
            // `Header::parse` has seen to its size.
            return Ok(Frame::new(header, header.len as usize));
        }
        // RFC 6455 section 5.4: the frames of one message are not mixed with those of another.
        let (is_compressed, gathered) = match (header.opcode == Opcode::Continuation, message) {
            (true, None) => {
                return Err(Violation::protocol("a continuation of nothing"));
            }
            (false, Some(_)) => {
                return Err(Violation::protocol("a message inside another message"));
            }
            (true, Some(message)) => (message.is_compressed, message.payload.len()),
            (false, None) => (header.rsv1, 0),
        };
        let room = self.wire_max_bytes(is_compressed) - gathered;
        match usize::try_from(header.len) {
            Ok(len) if len <= room => Ok(Frame::new(header, len)),
            Ok(_) | Err(_) => Err(Violation::too_big("a message over the bound")),
        }
    }

    /// A compressed message may be a little longer than what it says; zlib at its worst adds an eighth.
    fn wire_max_bytes(&self, is_compressed: bool) -> usize {
        let max = self.settings.message_max_bytes;
        if is_compressed {
            max.saturating_add(max / 8).saturating_add(64)
        } else {
            max
        }
    }

    fn end_of_frame(&mut self, frame: Frame, piece: &[u8]) -> Result<Option<Message>, End> {
        let max = self.settings.message_max_bytes;
        if frame.opcode.is_control() {
            let message = match &mut self.partial {
                Some(partial) => control(frame.opcode, partial.take_control(piece))?,
                None => control(frame.opcode, Bytes::copy_from_slice(piece))?,
            };
            self.let_go();
            return Ok(Some(message));
        }
        let is_begun = self.partial.as_ref().is_some_and(|p| p.message.is_some());
        if frame.fin && !is_begun {
            let is_text = frame.opcode == Opcode::Text;
            return whole(is_text, frame.is_compressed, piece, max).map(Some);
        }
        let message = self.partial_mut().message_of(frame);
        message.append(piece)?;
        if !frame.fin {
            return Ok(None);
        }
        let message = self.partial_mut().message.take();
        self.let_go();
        message
            .map(|message| message.finish(max))
            .transpose()
            .map_err(End::from)
    }

    fn partial_mut(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    /// Between messages there is nothing to hold.
    fn let_go(&mut self) {
        self.partial.take_if(|partial| partial.is_empty());
    }
}

/// A data message in one piece.
fn whole(is_text: bool, is_compressed: bool, payload: &[u8], max: usize) -> Result<Message, End> {
    if is_compressed {
        return Ok(data(is_text, deflate::inflate(payload, max)?)?);
    }
    if !is_text {
        return Ok(Message::Binary(Bytes::copy_from_slice(payload)));
    }
    let text = str::from_utf8(payload).map_err(|_invalid| partial::NOT_UTF8)?;
    Ok(Message::Text(text.to_owned()))
}

fn data(is_text: bool, payload: Vec<u8>) -> Result<Message, Violation> {
    if !is_text {
        return Ok(Message::Binary(payload.into()));
    }
    String::from_utf8(payload)
        .map(Message::Text)
        .map_err(|_invalid| partial::NOT_UTF8)
}

fn control(opcode: Opcode, payload: Bytes) -> Result<Message, End> {
    match opcode {
        Opcode::Ping => Ok(Message::Ping(payload)),
        Opcode::Pong => Ok(Message::Pong(payload)),
        Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
            Err(End::Closed(Close::parse(&payload)?))
        }
    }
}

#[cfg(test)]
mod tests;
