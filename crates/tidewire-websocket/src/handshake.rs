//! The opening, on the types of `http`.
//!
//! Shape: a server asks [`Request::of`] and answers with [`Request::accept`] or a [`Refused`]; a client sends
//! [`Opening::headers`] and hands the answer to [`Opening::check`]. HTTP/1.1 Upgrade, and extended CONNECT over HTTP/2 and
//! HTTP/3, whose `:protocol` is the caller's to check.
//! Bound: that of the headers, which is the HTTP server's.
//! Failure: 405, 426 or 400 before anything was upgraded; on the client's side [`Unacceptable`].
//! Source: RFC 6455 section 4; RFC 8441 section 5; RFC 7692 section 5.

mod extension;
mod opening;
mod request;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use sha1::{Digest, Sha1};

pub(crate) use self::extension::Extension;
pub use self::{
    opening::{Opened, Opening, Unacceptable},
    request::{Refused, Request},
};

/// RFC 6455 section 4.2.2: what proves that a server has read the key as WebSocket's.
fn accept_of(key: &[u8]) -> String {
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest.finalize())
}

/// Whether a header that is a list, perhaps on several lines, has this token.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        (_, _) => None,
    }
}

const VERSION: &str = "13";

#[cfg(test)]
mod tests;
