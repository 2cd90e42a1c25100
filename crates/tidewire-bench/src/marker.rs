//! What each payload carries, so that its arrival can be recognised in any stream of bytes.
//!
//! Shape: `~tw1:STAMP:NUMBER:STREAM~`, hexadecimal, then filler up to the payload's size. No character needs escaping in
//! JSON, in an SSE line or in a frame, so it is found without parsing what is around it.
//! Unit: the stamp is the intended time of sending in nanoseconds since the run began, so that a late publisher counts.
//! Bound: a payload is at least [`MARKER_BYTES`] long; a scanner keeps fewer bytes than that between two calls.
//! Failure: what begins like a marker and is none is counted as damaged by whoever scans.

use std::sync::LazyLock;

use memchr::{memchr_iter, memmem::Finder};

/// Length of a marker.
pub const MARKER_BYTES: usize = 40;

/// One event on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// When it should have been sent, in nanoseconds since the run began.
    pub stamp: u64,
    /// Its number in its stream, from 0.
    pub number: u32,
    /// The stream: one for each topic and publisher.
    pub stream: u32,
}

/// A marker whose middle is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl Marker {
    /// Its bytes.
    #[must_use]
    pub fn encode(self) -> [u8; MARKER_BYTES] {
        let mut bytes = *b"~tw1:0000000000000000:00000000:00000000~";
        hex(&mut bytes[STAMP], self.stamp);
        hex(&mut bytes[NUMBER], self.number.into());
        hex(&mut bytes[STREAM], self.stream.into());
        bytes
    }

    fn decode(bytes: &[u8; MARKER_BYTES]) -> Result<Marker, Damaged> {
        if bytes[21] != b':' || bytes[30] != b':' || bytes[39] != b'~' {
            return Err(Damaged);
        }
        Ok(Marker {
            stamp: number(&bytes[STAMP])?,
            number: number(&bytes[NUMBER])? as u32,
            stream: number(&bytes[STREAM])? as u32,
        })
    }
}

/// Payloads of one size. The filler is not constant, so that compression finds no more in it than in text.
#[derive(Debug, Clone)]
pub struct Payload {
    bytes: Vec<u8>,
    state: u64,
}

impl Payload {
    /// Payloads of this many bytes, at least [`MARKER_BYTES`].
    #[must_use]
    pub fn new(size: usize, seed: u64) -> Payload {
        Payload {
            bytes: vec![b'.'; size.max(MARKER_BYTES)],
            state: seed | 1,
        }
    }

    /// The payload of this event.
    pub fn of(&mut self, marker: Marker) -> &[u8] {
        let (head, filler) = self.bytes.split_at_mut(MARKER_BYTES);
        head.copy_from_slice(&marker.encode());
        for chunk in filler.chunks_mut(8) {
            // xorshift64: cheap, and nothing depends on its quality.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            for (byte, random) in chunk.iter_mut().zip(self.state.to_le_bytes()) {
                *byte = LETTERS[usize::from(random % 64)];
            }
        }
        &self.bytes
    }
}

/// Finds the markers in a stream of bytes that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct Scanner {
    /// The end of what came, where it may be the beginning of a marker.
    rest: Rest,
}

impl Scanner {
    /// Calls `found` for each marker that ends in these bytes.
    pub fn scan(&mut self, bytes: &[u8], mut found: impl FnMut(Result<Marker, Damaged>)) {
        let mut bytes = bytes;
        if self.rest.len > 0 {
            let used = self.join(bytes, &mut found);
            bytes = &bytes[used..];
        }
        let mut at = 0;
        while let Some(start) = FINDER.find(&bytes[at..]) {
            let start = at + start;
            let Some(whole) = bytes[start..].first_chunk() else {
                self.rest.keep(&bytes[start..]);
                return;
            };
            at = start + step(Marker::decode(whole), &mut found);
        }
        if let Some(start) = prefix_at_end(&bytes[at..]) {
            self.rest.keep(&bytes[at + start..]);
        }
    }

    /// Forgets an unfinished marker: the connection that it came on has ended.
    pub fn reset(&mut self) {
        self.rest.len = 0;
    }

    /// Goes on with what was kept. The answer is how many of the new bytes are used up.
    fn join(&mut self, bytes: &[u8], found: &mut impl FnMut(Result<Marker, Damaged>)) -> usize {
        let kept = usize::from(self.rest.len);
        let mut joint = [0; 2 * MARKER_BYTES];
        let taken = bytes.len().min(MARKER_BYTES);
        joint[..kept].copy_from_slice(&self.rest.bytes[..kept]);
        joint[kept..kept + taken].copy_from_slice(&bytes[..taken]);
        let joint = &joint[..kept + taken];
        self.rest.len = 0;
        let mut at = 0;
        while at < kept {
            let rest = &joint[at..];
            let known = rest.len().min(PREFIX.len());
            if rest[..known] != PREFIX[..known] {
                at += 1;
            } else if let Some(whole) = rest.first_chunk() {
                at += step(Marker::decode(whole), found);
            } else {
                self.rest.keep(rest);
                return taken;
            }
        }
        at - kept
    }
}

#[derive(Debug, Clone)]
struct Rest {
    bytes: [u8; MARKER_BYTES],
    len: u8,
}

impl Default for Rest {
    fn default() -> Rest {
        Rest {
            bytes: [0; MARKER_BYTES],
            len: 0,
        }
    }
}

impl Rest {
    fn keep(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len() as u8;
    }
}

/// Tells it, and how far to go on: behind a marker, or behind the first byte of what only looked like one.
fn step(marker: Result<Marker, Damaged>, found: &mut impl FnMut(Result<Marker, Damaged>)) -> usize {
    let length = if marker.is_ok() { MARKER_BYTES } else { 1 };
    found(marker);
    length
}

/// Where the end of these bytes is the beginning of the prefix. The whole prefix is not in them.
fn prefix_at_end(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(PREFIX.len() - 1);
    memchr_iter(PREFIX[0], &bytes[from..])
        .map(|at| from + at)
        .find(|at| PREFIX.starts_with(&bytes[*at..]))
}

fn hex(out: &mut [u8], value: u64) {
    let mut value = value;
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn number(digits: &[u8]) -> Result<u64, Damaged> {
    let mut value = 0;
    let mut wrong = 0;
    for digit in digits {
        let nibble = NIBBLES[usize::from(*digit)];
        wrong |= nibble;
        value = value << 4 | u64::from(nibble & 15);
    }
    if wrong < 16 { Ok(value) } else { Err(Damaged) }
}

const PREFIX: &[u8] = b"~tw1:";
const STAMP: std::ops::Range<usize> = 5..21;
const NUMBER: std::ops::Range<usize> = 22..30;
const STREAM: std::ops::Range<usize> = 31..39;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _";
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFIX));
/// The value of each hexadecimal digit; 16 for what is none.
static NIBBLES: [u8; 256] = {
    let mut table = [16; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(number: u32) -> Marker {
        Marker {
            stamp: 0x0123_4567_89ab_cdef + u64::from(number),
            number,
            stream: 7,
        }
    }

    fn scan(pieces: &[&[u8]]) -> Vec<Result<Marker, Damaged>> {
        let mut found = Vec::new();
        let mut scanner = Scanner::default();
        for piece in pieces {
            scanner.scan(piece, |marker| found.push(marker));
        }
        found
    }

    /// Three events with tildes and halves of markers between them.
    fn stream() -> Vec<u8> {
        let mut payload = Payload::new(64, 1);
        let mut bytes = b"~{\"topic\":\"a~tw\",\"data\":\"".to_vec();
        for number in 0..3 {
            bytes.extend_from_slice(payload.of(marker(number)));
            bytes.extend_from_slice(b"\"}~~tw1~tw");
        }
        bytes
    }

    #[test]
    fn a_marker_has_its_documented_form() {
        let bytes = Marker {
            stamp: 0xab,
            number: 1,
            stream: 0x1f,
        }
        .encode();
        assert_eq!(bytes, *b"~tw1:00000000000000ab:00000001:0000001f~");
    }

    #[test]
    fn every_marker_is_found_wherever_the_stream_is_cut() {
        let bytes = stream();
        let all = [marker(0), marker(1), marker(2)].map(Ok);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(scan(&pieces), all, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn every_marker_is_found_byte_by_byte() {
        let bytes = stream();
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(scan(&pieces), [marker(0), marker(1), marker(2)].map(Ok));
    }

    #[test]
    fn damage_is_told_and_the_next_marker_is_still_found() {
        let mut bytes = marker(4).encode().to_vec();
        bytes[10] = b'x';
        bytes.extend_from_slice(&marker(5).encode());
        for cut in 0..bytes.len() {
            let found = scan(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(found, [Err(Damaged), Ok(marker(5))], "cut at {cut}");
        }
    }

    #[test]
    fn a_marker_that_ends_early_does_not_hide_the_next_one() {
        let mut bytes = marker(4).encode()[..20].to_vec();
        bytes.extend_from_slice(&marker(5).encode());
        for cut in 0..bytes.len() {
            let found = scan(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(found, [Err(Damaged), Ok(marker(5))], "cut at {cut}");
        }
    }

    #[test]
    fn a_payload_has_its_size_and_changes() {
        let mut payload = Payload::new(128, 9);
        let first = payload.of(marker(0)).to_vec();
        let second = payload.of(marker(0)).to_vec();
        assert_eq!((first.len(), second.len()), (128, 128));
        assert_eq!(first[..MARKER_BYTES], second[..MARKER_BYTES]);
        assert_ne!(first, second);
        assert!(!first[MARKER_BYTES..].contains(&b'~'));
    }
}
