//! `Sec-WebSocket-Extensions` and `Sec-WebSocket-Protocol`, read by their grammar.
//!
//! Shape: all lines of a header make one list. Empty elements are skipped, as in every list of HTTP.
//! Failure: [`Malformed`]; the handshake fails, nothing is guessed.
//! Source: RFC 6455 sections 9.1 and 4.1; RFC 9110 section 5.6.

use http::{HeaderMap, HeaderName, header};

/// One element of the list: `name; parameter; parameter=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) name: String,
    /// In their order; a quoted value without its quotes.
    pub(crate) parameters: Vec<(String, Option<String>)>,
}

/// The header does not fit its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Extension {
    /// All that the headers list.
    pub(crate) fn list(headers: &HeaderMap) -> Result<Vec<Self>, Malformed> {
        let mut extensions = Vec::new();
        for line in lines(headers, &header::SEC_WEBSOCKET_EXTENSIONS) {
            let mut reader = Reader { rest: line? };
            loop {
                reader.skip_empty();
                if reader.rest.is_empty() {
                    break;
                }
                extensions.push(reader.extension()?);
                if !reader.rest.is_empty() && !reader.take(b',') {
                    return Err(Malformed);
                }
            }
        }
        Ok(extensions)
    }
}

/// The subprotocols in the client's order.
pub(super) fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, Malformed> {
    let mut names = Vec::new();
    for line in lines(headers, &header::SEC_WEBSOCKET_PROTOCOL) {
        let mut reader = Reader { rest: line? };
        loop {
            reader.skip_empty();
            if reader.rest.is_empty() {
                break;
            }
            let name = reader.token()?;
            // RFC 6455 section 4.1: the elements must all be unique.
            if names.contains(&name) {
                return Err(Malformed);
            }
            names.push(name);
            reader.skip_space();
            if !reader.rest.is_empty() && !reader.take(b',') {
                return Err(Malformed);
            }
        }
    }
    Ok(names)
}

fn lines<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Result<&'a [u8], Malformed>> {
    headers.get_all(name).iter().map(|value| {
        let value = value.as_bytes();
        if value.is_ascii() {
            Ok(value)
        } else {
            Err(Malformed)
        }
    })
}

/// What is left of a line.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn extension(&mut self) -> Result<Extension, Malformed> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        loop {
            self.skip_space();
            if !self.take(b';') {
                return Ok(Extension { name, parameters });
            }
            self.skip_space();
            let parameter = self.token()?;
            self.skip_space();
            let value = if self.take(b'=') {
                self.skip_space();
                Some(self.value()?)
            } else {
                None
            };
            parameters.push((parameter, value));
        }
    }

    fn token(&mut self) -> Result<String, Malformed> {
        let end = self
            .rest
            .iter()
            .position(|&byte| !is_token(byte))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if token.is_empty() {
            return Err(Malformed);
        }
        Ok(String::from_utf8_lossy(token).into_owned())
    }

    /// RFC 6455 section 9.1: a quoted value must be a token when its quotes are gone.
    fn value(&mut self) -> Result<String, Malformed> {
        if !self.take(b'"') {
            return self.token();
        }
        let mut value = String::new();
        loop {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let byte = match byte {
                b'"' if value.is_empty() => return Err(Malformed),
                b'"' => return Ok(value),
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first().ok_or(Malformed)?;
                    self.rest = rest;
                    escaped
                }
                byte => byte,
            };
            if !is_token(byte) {
                return Err(Malformed);
            }
            value.push(char::from(byte));
        }
    }

    fn take(&mut self, wanted: u8) -> bool {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte == wanted => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn skip_space(&mut self) {
        while self.take(b' ') || self.take(b'\t') {}
    }

    fn skip_empty(&mut self) {
        while self.take(b' ') || self.take(b'\t') || self.take(b',') {}
    }
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
