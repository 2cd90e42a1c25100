//! The lines of a `text/event-stream`, in place.
//!
//! Shape: one call for each complete line; LF and CRLF end it. What a line means is its reader's matter.
//! Bound: of an incomplete line its bytes are kept, at most `LINE_MAX_BYTES`. Failure: a longer line.
//! Source: WHATWG HTML, section 9.2.6.

use memchr::memchr;

use crate::protocol::Fault;

/// Walks over the lines of one stream.
#[derive(Debug, Default)]
pub struct Lines {
    /// An incomplete line.
    rest: Vec<u8>,
}

/// A line's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// `data:`
    Data(&'a [u8]),
    /// `id:`
    Id(&'a [u8]),
    /// `event:`
    Event(&'a [u8]),
    /// The empty line: the event is complete.
    End,
    /// A comment or another field.
    Other,
}

impl Lines {
    /// Calls `each` for every line that is complete now.
    ///
    /// # Errors
    /// What `each` answers; a line that is too long.
    pub fn walk(
        &mut self,
        input: &[u8],
        mut each: impl FnMut(Line<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut input = input;
        while let Some(end) = memchr(b'\n', input) {
            let line = &input[..end];
            if self.rest.is_empty() {
                each(Line::parse(line))?;
            } else {
                self.rest.extend_from_slice(line);
                each(Line::parse(&self.rest))?;
                self.rest.clear();
            }
            input = &input[end + 1..];
        }
        self.rest.extend_from_slice(input);
        if self.rest.len() > LINE_MAX_BYTES {
            return Err(Fault::NotUnderstood("SSE: a line that is too long".into()));
        }
        Ok(())
    }
}

impl Line<'_> {
    fn parse(line: &[u8]) -> Line<'_> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Line::End;
        }
        let value = |name: &[u8]| {
            let value = line.strip_prefix(name)?;
            Some(value.strip_prefix(b" ").unwrap_or(value))
        };
        if let Some(data) = value(b"data:") {
            Line::Data(data)
        } else if let Some(id) = value(b"id:") {
            Line::Id(id)
        } else if let Some(event) = value(b"event:") {
            Line::Event(event)
        } else {
            Line::Other
        }
    }
}

const LINE_MAX_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_wherever_the_stream_is_cut() {
        let bytes = b"retry: 2000\r\nevent: hello\nid:k-1\ndata: {}\n\n: comment\ndata:\n\n";
        let all = "o e(hello) i(k-1) d({}) . o d() . ";
        for cut in 0..=bytes.len() {
            let mut found = String::new();
            let mut lines = Lines::default();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let each = |line: Line<'_>| {
                    let text = |kind, value| format!("{kind}({}) ", String::from_utf8_lossy(value));
                    found += &match line {
                        Line::Data(value) => text("d", value),
                        Line::Id(value) => text("i", value),
                        Line::Event(value) => text("e", value),
                        Line::End => ". ".into(),
                        Line::Other => "o ".into(),
                    };
                    Ok(())
                };
                lines.walk(piece, each).unwrap();
            }
            assert_eq!(found, all, "cut at {cut}");
        }
    }
}
