//! Answers of HTTP/1.1, read in pieces.
//!
//! Shape: one part at a time, body bytes in place. Chunked, with a length, or until the connection ends (also what follows
//! a `101`).
//! Bound: a head of `HEAD_MAX_BYTES`, a chunk's size line of `LINE_MAX_BYTES`. Failure: what is longer or no HTTP.
//! Source: RFC 9112 sections 4, 6 and 7.1.

use crate::protocol::Fault;

/// A part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Status and headers. Interim answers (100, 103) are left out.
    Head(Head),
    /// The next bytes of the body.
    Body(&'a [u8]),
    /// The answer is complete.
    End,
}

/// Status and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    text: String,
}

/// Reads the answers of one connection.
#[derive(Debug, Default)]
pub struct Answers {
    state: State,
    /// An incomplete head or line.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilEnd,
}

impl Answers {
    /// The next part, and the input without it; `None` when more is needed.
    ///
    /// # Errors
    /// The server sent what is no HTTP/1.1, or too long a head.
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Part<'i>>, Fault> {
        loop {
            match self.state {
                State::Head => {
                    let Some(text) = self.until(input, b"\r\n\r\n", HEAD_MAX_BYTES)? else {
                        return Ok(None);
                    };
                    let head = Head::parse(&text)?;
                    if head.status == 101 || head.status >= 200 {
                        self.state = head.framing()?;
                        return Ok(Some(Part::Head(head)));
                    }
                }
                State::Length(0) => {
                    self.state = State::Head;
                    return Ok(Some(Part::End));
                }
                State::UntilEnd => {
                    return Ok(take(input, u64::MAX).map(Part::Body));
                }
                State::Length(left) => {
                    let Some(bytes) = take(input, left) else {
                        return Ok(None);
                    };
                    self.state = State::Length(left - bytes.len() as u64);
                    return Ok(Some(Part::Body(bytes)));
                }
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Chunk(left) => {
                    let Some(bytes) = take(input, left) else {
                        return Ok(None);
                    };
                    self.state = State::Chunk(left - bytes.len() as u64);
                    return Ok(Some(Part::Body(bytes)));
                }
                State::ChunkSize => {
                    let Some(line) = self.until(input, b"\r\n", LINE_MAX_BYTES)? else {
                        return Ok(None);
                    };
                    self.state = match chunk_size(&line)? {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                }
                State::ChunkEnd => {
                    if self.until(input, b"\r\n", LINE_MAX_BYTES)?.is_none() {
                        return Ok(None);
                    }
                    self.state = State::ChunkSize;
                }
                State::Trailer => {
                    let Some(line) = self.until(input, b"\r\n", LINE_MAX_BYTES)? else {
                        return Ok(None);
                    };
                    if line.len() == 2 {
                        self.state = State::Head;
                        return Ok(Some(Part::End));
                    }
                }
            }
        }
    }

    /// Everything to the end of `mark`, over as many calls as it takes.
    fn until(
        &mut self,
        input: &mut &[u8],
        mark: &[u8],
        max: usize,
    ) -> Result<Option<Vec<u8>>, Fault> {
        // Where the mark may begin when its first bytes came before.
        let from = self.line.len().saturating_sub(mark.len() - 1);
        let before = self.line.len();
        self.line.extend_from_slice(input);
        let Some(at) = memchr::memmem::find(&self.line[from..], mark) else {
            *input = &[];
            if self.line.len() > max {
                return Err(not_http("a head or line is too long"));
            }
            return Ok(None);
        };
        let end = from + at + mark.len();
        *input = &input[end - before..];
        self.line.truncate(end);
        Ok(Some(std::mem::take(&mut self.line)))
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Head, Fault> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let status = text
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|digits| digits.parse().ok());
        match status {
            Some(status) => Ok(Head { status, text }),
            None => Err(not_http("no status line")),
        }
    }

    /// The value of the first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.text.split("\r\n").skip(1);
        fields
            .filter_map(|line| line.split_once(':'))
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    fn framing(&self) -> Result<State, Fault> {
        if matches!(self.status, 204 | 304) {
            return Ok(State::Length(0));
        }
        if self
            .header("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"))
        {
            return Ok(State::ChunkSize);
        }
        match self.header("content-length").map(str::parse) {
            Some(Ok(length)) if self.status != 101 => Ok(State::Length(length)),
            Some(Err(_)) => Err(not_http("a length that is no number")),
            _ => Ok(State::UntilEnd),
        }
    }
}

/// What there is of the next `left` bytes.
fn take<'i>(input: &mut &'i [u8], left: u64) -> Option<&'i [u8]> {
    let count = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    if count == 0 {
        return None;
    }
    let (taken, rest) = input.split_at(count);
    *input = rest;
    Some(taken)
}

fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let text = std::str::from_utf8(line).map_err(|_| not_http("a chunk without a size"))?;
    let digits = text.split([';', '\r']).next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| not_http("a chunk without a size"))
}

fn not_http(what: &str) -> Fault {
    Fault::NotUnderstood(format!("HTTP/1.1: {what}"))
}

const HEAD_MAX_BYTES: usize = 64 * 1024;
const LINE_MAX_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// What an answer is, in one word for each part; bodies are joined.
    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, Fault> {
        let mut answers = Answers::default();
        let mut parts: Vec<String> = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(part) = answers.next(&mut input)? {
                match part {
                    Part::Head(head) => parts.push(format!("{} [", head.status)),
                    Part::Body(bytes) => {
                        let text = String::from_utf8_lossy(bytes);
                        parts.last_mut().unwrap().push_str(&text);
                    }
                    Part::End => parts.last_mut().unwrap().push(']'),
                }
            }
        }
        Ok(parts)
    }

    #[test]
    fn answers_in_a_row_are_read_wherever_they_are_cut() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 201 Created\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nde\r\n3;x=1\r\nfgh\r\n0\r\na: b\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n\r\n\x81\x01x";
        let all = ["200 [abc]", "201 [defgh]", "204 []", "101 [\u{fffd}\u{1}x"];
        let whole = read(&[bytes]).unwrap();
        assert_eq!(whole, all);
        for cut in 0..bytes.len() - 3 {
            assert_eq!(
                read(&[&bytes[..cut], &bytes[cut..]]).unwrap(),
                all,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_header_is_found_whatever_its_case() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nETag:  \"a\" \r\nX: y\r\n\r\n").unwrap();
        assert_eq!(head.header("etag"), Some("\"a\""));
        assert_eq!(head.header("none"), None);
    }

    #[test]
    fn what_is_no_http_is_a_fault() {
        for bytes in [
            &b"SSH-2.0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        ] {
            assert!(matches!(read(&[bytes]), Err(Fault::NotUnderstood(_))));
        }
        let endless = vec![b'a'; HEAD_MAX_BYTES + 1];
        assert!(read(&[&endless]).is_err());
    }
}
