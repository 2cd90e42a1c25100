//! The client's side of the opening.
//!
//! Shape: one [`Opening`] for each attempt, with a key of its own; it gives the headers and judges the answer.
//! Failure: [`Unacceptable`]; the connection is of no use then, and nothing was sent over it.
//! Source: RFC 6455 section 4.1; RFC 8441 section 5; RFC 7692 section 5.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};

use super::{
    VERSION, accept_of,
    extension::{Extension, is_token},
    has_token, only,
};
use crate::deflate::{Agreed, Offer};

/// One attempt.
#[derive(Clone, Debug)]
pub struct Opening {
    /// In base64; `None` over HTTP/2, where CONNECT stands for it.
    key: Option<String>,
    subprotocols: Vec<String>,
    deflate: bool,
}

impl Opening {
    /// An attempt with a fresh key: GET over HTTP/1.1, CONNECT with `:protocol` `websocket` over HTTP/2.
    ///
    /// Subprotocols that are no tokens are left out. `deflate` offers `permessage-deflate` without context.
    #[must_use]
    pub fn new(version: Version, subprotocols: &[&str], deflate: bool) -> Self {
        Self::with_key(version, subprotocols, deflate, rand::random())
    }

    /// The same with a given key.
    #[must_use]
    pub fn with_key(version: Version, subprotocols: &[&str], deflate: bool, key: [u8; 16]) -> Self {
        let is_name = |name: &&&str| !name.is_empty() && name.bytes().all(is_token);
        Self {
            key: (version < Version::HTTP_2).then(|| STANDARD.encode(key)),
            subprotocols: subprotocols
                .iter()
                .filter(is_name)
                .map(|&name| name.to_owned())
                .collect(),
            deflate,
        }
    }

    /// What the request carries beside its address.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.key {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_KEY, value(key));
        }
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static(VERSION),
        );
        if !self.subprotocols.is_empty() {
            let names = self.subprotocols.join(", ");
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(&names));
        }
        if self.deflate {
            headers.insert(
                header::SEC_WEBSOCKET_EXTENSIONS,
                HeaderValue::from_static(Offer::OURS),
            );
        }
        headers
    }

    /// Judges the answer.
    ///
    /// # Errors
    /// [`Unacceptable`]; the connection must be closed.
    pub fn check(&self, status: StatusCode, headers: &HeaderMap) -> Result<Opened, Unacceptable> {
        match &self.key {
            Some(key) => check_upgrade(key, status, headers)?,
            None if status.is_success() => {}
            None => return Err(Unacceptable::Status(status)),
        }
        Ok(Opened {
            subprotocol: self.subprotocol(headers)?,
            deflate: self.agreed(headers)?,
        })
    }

    fn subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>, Unacceptable> {
        if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
            return Ok(None);
        }
        let name = only(headers, &header::SEC_WEBSOCKET_PROTOCOL);
        self.subprotocols
            .iter()
            .find(|asked| Some(asked.as_bytes()) == name)
            .map(|name| Some(name.clone()))
            .ok_or(Unacceptable::Subprotocol)
    }

    fn agreed(&self, headers: &HeaderMap) -> Result<Option<Agreed>, Unacceptable> {
        let extensions = Extension::list(headers).map_err(|_malformed| Unacceptable::Extension)?;
        match extensions.as_slice() {
            [] => Ok(None),
            [one] if self.deflate => Agreed::of_answer(one)
                .map(Some)
                .ok_or(Unacceptable::Extension),
            [_, ..] => Err(Unacceptable::Extension),
        }
    }
}

/// What the server chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// One of those that were asked for.
    pub subprotocol: Option<String>,
    /// `None`: nothing is compressed.
    pub deflate: Option<Agreed>,
}

/// The server did not accept, or not as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unacceptable {
    /// No WebSocket here, or not now; the status tells which.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The server's mistake, or that of something between.
    #[error("the answer is no upgrade to websocket")]
    Upgrade,
    /// The server's mistake, or a stored answer to someone else.
    #[error("Sec-WebSocket-Accept does not fit the key")]
    Accept,
    /// The server's mistake.
    #[error("the server chose a subprotocol that was not asked for")]
    Subprotocol,
    /// The server's mistake.
    #[error("the server chose an extension that was not offered, or not as it was offered")]
    Extension,
}

/// RFC 6455 section 4.1, what a client checks, items 1 to 4.
fn check_upgrade(key: &str, status: StatusCode, headers: &HeaderMap) -> Result<(), Unacceptable> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Unacceptable::Status(status));
    }
    if !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        return Err(Unacceptable::Upgrade);
    }
    let accept = accept_of(key.as_bytes());
    if only(headers, &header::SEC_WEBSOCKET_ACCEPT) != Some(accept.as_bytes()) {
        return Err(Unacceptable::Accept);
    }
    Ok(())
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("base64 and tokens are visible ASCII")
}
