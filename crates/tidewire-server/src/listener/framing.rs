//! Where the requests of an HTTP/1.1 connection begin and end, followed beside hyper to refuse what can be read in two ways.
//!
//! hyper takes a chunked body and forgets that there was a `Content-Length` too; a proxy in front may have taken the other,
//! and what the two see as the next request is then not the same. hyper gives no layer above it the means to notice, so the
//! bytes are looked at on their way to it: the end of each header, the length of each body.
//! Shape: a state machine over bytes. A byte with which a request becomes ambiguous is replaced by NUL, which hyper answers
//! with 400 and the end of the connection, like every other malformed request.
//! Unit: bytes; each is looked at once, and most of them only by `memchr`.
//! Bound: the 16 bytes of [`Framing`], whatever comes.
//! Failure: `Content-Length` together with `Transfer-Encoding`, any coding but one `chunked`, a length that is no number, a
//! line of the chunked form that does not end in CRLF. After a request that asks for an upgrade nothing more is looked at:
//! the connection becomes a WebSocket, or the front closes it with the answer.
//! Source: RFC 9112 sections 6.1, 6.3 and 7.1; hazards part 1 row 12 and part 3.

use memchr::memchr;

/// What is known of the request under way.
#[derive(Debug)]
pub(super) struct Framing {
    /// What is left of the body, or of the chunk.
    left: u64,
    state: State,
    has_length: bool,
    is_chunked: bool,
    asks_upgrade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request; empty lines may stand there.
    Between,
    /// In a line of which nothing more is wanted.
    Line,
    /// At the first byte of a line of the header.
    LineStart,
    /// The CR of the empty line that ends the header.
    HeaderCr,
    /// In a name that may be this field's; so many bytes fit.
    Name(Field, u8),
    /// Before, in and behind the number of `Content-Length`.
    LengthLead,
    Length,
    LengthTail,
    /// In the value of `Transfer-Encoding`; so many bytes of `chunked` have come.
    Coding(u8),
    /// In a body of known length.
    Body,
    /// The line before a chunk.
    SizeStart,
    Size,
    SizeSpace,
    Extension,
    SizeLf,
    /// In a chunk, and the line end behind it.
    Data,
    DataCr,
    DataLf,
    /// The fields behind the last chunk, and the empty line that ends them.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    /// Nothing is looked at any more.
    Off,
}

/// The fields that matter here; their first letters differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    ContentLength,
    TransferEncoding,
    Upgrade,
}

impl Framing {
    /// Before the first request.
    pub(super) fn new() -> Self {
        Self {
            left: 0,
            state: State::Between,
            has_length: false,
            is_chunked: false,
            asks_upgrade: false,
        }
    }

    /// Looks at the next bytes, and spoils the one with which a request becomes ambiguous.
    pub(super) fn inspect(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.state {
                State::Off => return,
                State::Line => match memchr(b'\n', rest) {
                    Some(end) => {
                        self.state = State::LineStart;
                        at += end + 1;
                    }
                    None => return,
                },
                State::Body | State::Data => at += self.skip(rest.len()),
                _ => match self.step(bytes[at]) {
                    Some(next) => {
                        self.state = next;
                        at += 1;
                    }
                    None => {
                        bytes[at] = 0;
                        self.state = State::Off;
                    }
                },
            }
        }
    }

    /// Passes over what belongs to the body; gives how many of these bytes that is.
    fn skip(&mut self, available: usize) -> usize {
        let here = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= here as u64;
        if self.left == 0 {
            self.state = match self.state {
                State::Data => State::DataCr,
                _ => State::Between,
            };
        }
        here
    }

    /// What follows from one byte; `None` where it must not stand.
    fn step(&mut self, byte: u8) -> Option<State> {
        let next = match (self.state, byte) {
            (State::Between, b'\r' | b'\n') => State::Between,
            (State::Between, _) => State::Line,

            (State::LineStart, b'\r') => State::HeaderCr,
            (State::LineStart | State::HeaderCr, b'\n') => self.header_end(),
            (State::LineStart, _) => {
                Field::with_first(byte).map_or(State::Line, |field| State::Name(field, 1))
            }
            (State::Name(field, seen), _) => return self.name(field, seen, byte),

            (State::LengthLead, b' ' | b'\t') => State::LengthLead,
            (State::LengthLead | State::Length, b'0'..=b'9') => {
                self.left = add_digit(self.left, 10, byte - b'0')?;
                State::Length
            }
            (State::Length | State::LengthTail, b' ' | b'\t') => State::LengthTail,
            (State::Length | State::LengthTail, b'\r') => State::Line,
            (State::Length | State::LengthTail, b'\n') => State::LineStart,

            (State::Coding(0), b' ' | b'\t') => State::Coding(0),
            (State::Coding(CHUNKED_BYTES), b' ' | b'\t') => State::Coding(CHUNKED_BYTES),
            (State::Coding(CHUNKED_BYTES), b'\r') => State::Line,
            (State::Coding(CHUNKED_BYTES), b'\n') => State::LineStart,
            (State::Coding(seen), _) if fits(CHUNKED, seen, byte) => State::Coding(seen + 1),

            (State::SizeStart | State::Size, _) if byte.is_ascii_hexdigit() => {
                self.left = add_digit(self.left, 16, hexadecimal(byte))?;
                State::Size
            }
            (State::Size | State::SizeSpace, b' ' | b'\t') => State::SizeSpace,
            (State::Size | State::SizeSpace, b';') => State::Extension,
            (State::Size | State::SizeSpace | State::Extension, b'\r') => State::SizeLf,
            // hyper refuses this itself, and takes a NUL there.
            (State::Extension, b'\n') => State::Off,
            (State::Extension, _) => State::Extension,
            (State::SizeLf, b'\n') if self.left == 0 => State::TrailerStart,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,

            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Between,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::TrailerStart | State::Trailer, b'\n') => return None,
            (State::TrailerStart | State::Trailer, _) => State::Trailer,

            _ => return None,
        };
        Some(next)
    }

    /// One more byte of a name, or the colon behind it.
    fn name(&mut self, field: Field, seen: u8, byte: u8) -> Option<State> {
        let name = field.name();
        if byte == b'\n' {
            // No field at all; hyper says so.
            return Some(State::LineStart);
        }
        if usize::from(seen) < name.len() {
            return Some(match fits(name, seen, byte) {
                true => State::Name(field, seen + 1),
                false => State::Line,
            });
        }
        if byte != b':' {
            return Some(State::Line);
        }
        match field {
            // RFC 9112 section 6.3: both at once ought to be handled as an error. We do.
            Field::ContentLength if self.is_chunked => None,
            Field::TransferEncoding if self.is_chunked || self.has_length => None,
            Field::ContentLength => {
                // The same once more is left to hyper, which refuses another one.
                self.left = 0;
                self.has_length = true;
                Some(State::LengthLead)
            }
            Field::TransferEncoding => {
                self.is_chunked = true;
                Some(State::Coding(0))
            }
            Field::Upgrade => {
                self.asks_upgrade = true;
                Some(State::Line)
            }
        }
    }

    /// What comes behind a header.
    fn header_end(&mut self) -> State {
        let next = match (self.asks_upgrade, self.is_chunked, self.left) {
            (true, _, _) => State::Off,
            (false, true, _) => State::SizeStart,
            (false, false, 0) => State::Between,
            (false, false, _) => State::Body,
        };
        self.has_length = false;
        self.is_chunked = false;
        next
    }
}

impl Field {
    fn with_first(byte: u8) -> Option<Self> {
        match byte {
            b'C' | b'c' => Some(Self::ContentLength),
            b'T' | b't' => Some(Self::TransferEncoding),
            b'U' | b'u' => Some(Self::Upgrade),
            _ => None,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::ContentLength => b"content-length",
            Self::TransferEncoding => b"transfer-encoding",
            Self::Upgrade => b"upgrade",
        }
    }
}

/// Whether this byte, whatever its case, is the next one of a text.
fn fits(text: &[u8], seen: u8, byte: u8) -> bool {
    text.get(usize::from(seen)) == Some(&byte.to_ascii_lowercase())
}

/// One more digit of a number, or `None` where it becomes too large.
fn add_digit(number: u64, base: u64, digit: u8) -> Option<u64> {
    number.checked_mul(base)?.checked_add(digit.into())
}

/// The value of a hexadecimal digit.
fn hexadecimal(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte.to_ascii_lowercase() - b'a' + 10,
    }
}

const CHUNKED: &[u8] = b"chunked";
const CHUNKED_BYTES: u8 = CHUNKED.len() as u8;

#[cfg(test)]
mod tests;
