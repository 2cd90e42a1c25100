//! The server's side of the opening.
//!
//! Shape: a request is judged once, as a whole; what was read is kept for the answer.
//! Failure: [`Refused`] is the status, the headers that must stand beside it, and a sentence.
//! Source: RFC 6455 sections 4.2 and 4.4; RFC 8441 section 5; RFC 9110 sections 15.5.6 and 15.5.22.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};

use super::{
    VERSION, accept_of,
    extension::{Extension, subprotocols},
    has_token, only,
};
use crate::deflate::{Agreed, Offer};

/// A request that may be upgraded.
#[derive(Clone, Debug)]
pub struct Request {
    /// `None` where CONNECT stands for the key.
    accept: Option<String>,
    subprotocols: Vec<String>,
    offers: Vec<Offer>,
}

impl Request {
    /// Judges a request by its method, version and headers.
    ///
    /// # Errors
    /// [`Refused`] says what to answer.
    pub fn of(method: &Method, version: Version, headers: &HeaderMap) -> Result<Self, Refused> {
        let is_connect = version >= Version::HTTP_2;
        let expected = if is_connect {
            Method::CONNECT
        } else {
            Method::GET
        };
        if is_connect && *method == Method::GET {
            return Err(Refused::upgrade_required(
                "over HTTP/2 a WebSocket is opened by an extended CONNECT",
            ));
        }
        if *method != expected {
            return Err(Refused::method(&expected));
        }
        // RFC 6455 section 4.2.1: HTTP/1.1 or higher. An Upgrade in HTTP/1.0 is ignored (RFC 9110 section 7.8).
        let is_upgrade = version == Version::HTTP_11 && asks_for_upgrade(headers);
        if !is_connect && !is_upgrade {
            return Err(Refused::upgrade_required("this address speaks WebSocket"));
        }
        // RFC 6455 section 4.4: another version is told which one is spoken.
        if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some(VERSION.as_bytes()) {
            return Err(Refused::upgrade_required(
                "Sec-WebSocket-Version is not 13, once",
            ));
        }
        let accept = if is_connect {
            None
        } else {
            Some(accept(headers)?)
        };
        let subprotocols = subprotocols(headers)
            .map_err(|_malformed| Refused::bad("Sec-WebSocket-Protocol is malformed"))?;
        let extensions = Extension::list(headers)
            .map_err(|_malformed| Refused::bad("Sec-WebSocket-Extensions is malformed"))?;
        Ok(Self {
            accept,
            subprotocols,
            offers: extensions.iter().filter_map(Offer::of).collect(),
        })
    }

    /// The subprotocols that the client knows, the dearest first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.subprotocols.iter().map(String::as_str)
    }

    /// The valid offers of `permessage-deflate`, the dearest first; for [`deflate::choose`](crate::deflate::choose).
    #[must_use]
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// 101 over HTTP/1.1, 200 over HTTP/2, with the headers that accept.
    ///
    /// A subprotocol that is no token is left out; it cannot be one that the client named.
    #[must_use]
    pub fn accept(&self, subprotocol: Option<&str>, deflate: Option<Agreed>) -> Response<()> {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        if let Some(accept) = &self.accept {
            headers.insert(header::UPGRADE, WEBSOCKET);
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            insert(headers, header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = subprotocol {
            insert(headers, header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        if let Some(agreed) = deflate {
            insert(headers, header::SEC_WEBSOCKET_EXTENSIONS, &agreed.answer());
        }
        if self.accept.is_some() {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        response
    }
}

/// A request that is not upgraded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct Refused {
    /// 400, 405 or 426.
    pub status: StatusCode,
    /// Why, for the one who asked.
    pub what: &'static str,
    /// What must stand beside the status: `Allow` with 405, `Upgrade` and `Sec-WebSocket-Version` with 426.
    pub headers: HeaderMap,
}

impl Refused {
    fn bad(what: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            what,
            headers: HeaderMap::new(),
        }
    }

    fn method(expected: &Method) -> Self {
        let (allow, what) = if *expected == Method::CONNECT {
            ("CONNECT", "WebSocket over HTTP/2 is opened by CONNECT")
        } else {
            ("GET", "WebSocket is opened by GET")
        };
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            what,
            headers: HeaderMap::from_iter([(header::ALLOW, HeaderValue::from_static(allow))]),
        }
    }

    fn upgrade_required(what: &'static str) -> Self {
        Self {
            status: StatusCode::UPGRADE_REQUIRED,
            what,
            headers: HeaderMap::from_iter([
                (header::UPGRADE, WEBSOCKET),
                (header::CONNECTION, HeaderValue::from_static("Upgrade")),
                (
                    header::SEC_WEBSOCKET_VERSION,
                    HeaderValue::from_static(VERSION),
                ),
            ]),
        }
    }
}

/// RFC 6455 section 4.2.1, items 3 and 4.
fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
}

/// RFC 6455 section 4.2.1, item 5: the key is 16 bytes in base64.
fn accept(headers: &HeaderMap) -> Result<String, Refused> {
    let key = only(headers, &header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| Refused::bad("Sec-WebSocket-Key is missing, or there twice"))?;
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(accept_of(key)),
        Ok(_) | Err(_) => Err(Refused::bad("Sec-WebSocket-Key is not 16 bytes in base64")),
    }
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
