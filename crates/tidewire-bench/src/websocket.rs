//! The client's side of a WebSocket, as far as a load generator needs it.
//!
//! Shape: the request, a walk over the server's frames in place, and masked frames to send. It negotiates no extension
//! and checks nothing that does not matter here: other suites judge servers.
//! Bound: of an incomplete frame its bytes are kept, at most `FRAME_MAX_BYTES`. Failure: a longer or masked frame.
//! Source: RFC 6455 sections 4.1, 5.2 and 5.3.

use crate::protocol::Fault;

/// Text frame.
pub const TEXT: u8 = 1;
/// Binary frame.
pub const BINARY: u8 = 2;
/// Close frame.
pub const CLOSE: u8 = 8;
/// Ping frame.
pub const PING: u8 = 9;
/// Pong frame.
pub const PONG: u8 = 10;

/// The request for an upgrade; `headers` are whole lines, each with its line end.
#[must_use]
pub fn request(path: &str, authority: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGlkZXdpcmUtYmVuY2gtMQ==\r\n{headers}\r\n"
    )
}

/// A frame of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The kind, such as [`TEXT`]; 0 continues a message.
    pub opcode: u8,
    /// Its payload, not masked.
    pub payload: &'a [u8],
}

/// Walks over the frames of one connection.
#[derive(Debug, Default)]
pub struct Frames {
    /// An incomplete frame.
    rest: Vec<u8>,
}

impl Frames {
    /// Calls `each` for every frame that is complete now.
    ///
    /// # Errors
    /// What `each` answers; a frame that is masked or too long.
    pub fn walk(
        &mut self,
        input: &[u8],
        mut each: impl FnMut(Frame<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut input = input;
        while !self.rest.is_empty() {
            let wanted = match parse(&self.rest)? {
                Parsed::Frame(frame, _) => {
                    each(frame)?;
                    self.rest.clear();
                    break;
                }
                Parsed::Needs(total) => total - self.rest.len(),
            };
            if input.is_empty() {
                return Ok(());
            }
            let (taken, left) = input.split_at(wanted.min(input.len()));
            self.rest.extend_from_slice(taken);
            input = left;
        }
        while !input.is_empty() {
            match parse(input)? {
                Parsed::Frame(frame, length) => {
                    each(frame)?;
                    input = &input[length..];
                }
                Parsed::Needs(_) => {
                    self.rest.extend_from_slice(input);
                    break;
                }
            }
        }
        Ok(())
    }
}

enum Parsed<'a> {
    Frame(Frame<'a>, usize),
    /// So many bytes in all, as far as is known.
    Needs(usize),
}

fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Fault> {
    let [first, second, ..] = *bytes else {
        return Ok(Parsed::Needs(2));
    };
    if second & 0x80 != 0 {
        return Err(wrong("a masked frame"));
    }
    let (head, length) = match second {
        126 => match bytes.get(2..4) {
            Some(length) => (4, u64::from(length[0]) << 8 | u64::from(length[1])),
            None => return Ok(Parsed::Needs(4)),
        },
        127 => match bytes.get(2..10).and_then(|length| length.try_into().ok()) {
            Some(length) => (10, u64::from_be_bytes(length)),
            None => return Ok(Parsed::Needs(10)),
        },
        short => (2, u64::from(short)),
    };
    if length > FRAME_MAX_BYTES {
        return Err(wrong("a frame that is too long"));
    }
    let total = head + length as usize;
    match bytes.get(head..total) {
        Some(payload) => {
            let opcode = first & 15;
            Ok(Parsed::Frame(Frame { opcode, payload }, total))
        }
        None => Ok(Parsed::Needs(total)),
    }
}

/// Adds one whole masked frame. The mask changes with `seed`; nothing between here and the server needs protection from
/// chosen bytes.
pub fn client_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], seed: u32) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let mask = (seed.wrapping_mul(0x9e37_79b9) | 1).to_be_bytes();
    out.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    out.extend(masked.map(|(byte, mask)| byte ^ mask));
}

/// Why the server closed, as its Close frame says.
#[must_use]
pub fn close_reason(payload: &[u8]) -> Fault {
    let text = match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("{code} {}", String::from_utf8_lossy(reason))
        }
        _ => "close without a code".to_owned(),
    };
    Fault::Ended(text.trim_end().to_owned())
}

fn wrong(what: &str) -> Fault {
    Fault::NotUnderstood(format!("WebSocket: {what}"))
}

const FRAME_MAX_BYTES: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pieces: &[&[u8]]) -> Vec<(u8, usize)> {
        let mut found = Vec::new();
        let mut walker = Frames::default();
        for piece in pieces {
            let each = |frame: Frame<'_>| {
                assert!(frame.payload.iter().all(|byte| *byte == frame.opcode));
                found.push((frame.opcode, frame.payload.len()));
                Ok(())
            };
            walker.walk(piece, each).unwrap();
        }
        found
    }

    #[test]
    fn frames_are_found_wherever_the_stream_is_cut() {
        let mut bytes = vec![0x81, 3, 1, 1, 1, 0x89, 0, 0x82, 126, 0, 130];
        bytes.extend([2; 130]);
        bytes.extend([0x88, 127, 0, 0, 0, 0, 0, 0, 0, 2, 8, 8, 0x80, 0]);
        let all = [(TEXT, 3), (PING, 0), (BINARY, 130), (CLOSE, 2), (0, 0)];
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(frames(&pieces), all, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_masked_or_endless_frame_is_a_fault() {
        let mut walker = Frames::default();
        assert!(walker.walk(&[0x81, 0x80, 0, 0, 0, 0], |_| Ok(())).is_err());
        let endless = [0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0];
        assert!(Frames::default().walk(&endless, |_| Ok(())).is_err());
    }

    #[test]
    fn a_clients_frame_is_masked_and_has_the_shortest_length() {
        for (length, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![b'p'; length];
            let mut out = Vec::new();
            client_frame(&mut out, TEXT, &payload, 7);
            assert_eq!(out.len(), head + 4 + length);
            assert_eq!((out[0], out[1] & 0x80), (0x81, 0x80));
            let mask: [u8; 4] = out[head..head + 4].try_into().unwrap();
            let body = out[head + 4..].iter().zip(mask.iter().cycle());
            assert!(body.map(|(byte, mask)| byte ^ mask).eq(payload));
        }
    }
}
