//! A payload: what a body becomes in the event.
//!
//! Shape: JSON text as published, white space outside strings dropped and nothing else changed, or
//! base64 for every other payload, with the content type where the event shows it.
//! Bound: [`Payload::CONTENT_TYPE_MAX_BYTES`]; the size of the payload is bounded by who reads the body.
//! Failure: [`PayloadError`], the publisher's mistake.
//! Source: protocol section 2.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::value::RawValue;

use crate::{Code, Problem, text::shown};

/// What becomes `data` or `data_base64`, and `content_type`, of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub(crate) data: Data,
    pub(crate) content_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// Valid JSON without white space outside strings.
    Json(String),
    /// Base64 with padding.
    Base64(String),
}

impl Payload {
    /// The longest content type that an event carries, in bytes.
    pub const CONTENT_TYPE_MAX_BYTES: usize = 200;

    /// What the body of a request becomes, by its `Content-Type`.
    ///
    /// # Errors
    /// The body is not what the content type says, or the content type itself does not fit.
    pub fn from_content(content_type: Option<&str>, body: &[u8]) -> Result<Self, PayloadError> {
        let sent = content_type.map(str::trim).filter(|sent| !sent.is_empty());
        let Some(sent) = sent else {
            return Ok(Self::guess(body));
        };
        check_content_type(sent)?;
        let media = MediaType::read(sent);
        let (data, implied) = match media.essence.as_str() {
            "application/x-www-form-urlencoded" => return Ok(Self::guess(body)),
            json if json == "application/json" || json.ends_with("+json") => (
                Data::Json(json_from_bytes(body)?),
                json == "application/json",
            ),
            text if text.starts_with("text/") => {
                media.check_charset()?;
                (
                    Data::Json(json_string(text_from_bytes(body)?)),
                    text == "text/plain",
                )
            }
            _ => (Data::Base64(BASE64_STANDARD.encode(body)), false),
        };
        // A parameter other than the charset may matter to the reader, so then it stays.
        let omitted = implied && !media.has_other_parameters;
        Ok(Self {
            data,
            content_type: (!omitted).then(|| sent.to_owned()),
        })
    }

    /// JSON that has been read as part of a greater whole.
    #[must_use]
    pub fn from_json(json: &RawValue) -> Self {
        Self {
            data: Data::Json(compact(json.get()).into_owned()),
            content_type: None,
        }
    }

    /// Bytes in base64: the standard alphabet with padding (RFC 4648 section 4).
    ///
    /// # Errors
    /// [`PayloadError::BadBase64`].
    pub fn from_base64(text: &str) -> Result<Self, PayloadError> {
        // Decoding proves it; the standard form is unique, so the text itself can be kept.
        BASE64_STANDARD
            .decode(text)
            .map_err(|error| PayloadError::BadBase64 {
                detail: error.to_string(),
            })?;
        Ok(Self {
            data: Data::Base64(text.to_owned()),
            content_type: None,
        })
    }

    /// Bytes in base64 that have a content type: the same as a body of that type.
    ///
    /// # Errors
    /// As [`from_base64`](Self::from_base64) and [`from_content`](Self::from_content).
    pub fn from_base64_content(content_type: &str, text: &str) -> Result<Self, PayloadError> {
        let bytes = BASE64_STANDARD.decode(text);
        let bytes = bytes.map_err(|error| PayloadError::BadBase64 {
            detail: error.to_string(),
        })?;
        Self::from_content(Some(content_type), &bytes)
    }

    /// Without a type: JSON if it is JSON, else text if it is UTF-8, else bytes.
    fn guess(body: &[u8]) -> Self {
        let data = match std::str::from_utf8(body) {
            Err(_) => Data::Base64(BASE64_STANDARD.encode(body)),
            Ok(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(json) => Data::Json(compact(json.get()).into_owned()),
                Err(_) => Data::Json(json_string(text)),
            },
        };
        Self {
            data,
            content_type: None,
        }
    }
}

/// Why a payload does not fit: the publisher's mistake, not to be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The content type says JSON and the body is not.
    #[error("the payload is not JSON: {detail}")]
    NotJson {
        /// What is wrong, with line and column.
        detail: String,
    },
    /// The content type says text and the body is not UTF-8.
    #[error("the payload is not UTF-8: byte {at} does not fit")]
    NotUtf8 {
        /// Where the first bad sequence begins.
        at: usize,
    },
    /// Text in another encoding than UTF-8.
    #[error("the charset \"{charset}\" is not taken, only utf-8")]
    Charset {
        /// What the content type asked for.
        charset: String,
    },
    /// `data_base64` is not base64.
    #[error("not base64 (standard alphabet, with padding): {detail}")]
    BadBase64 {
        /// What is wrong.
        detail: String,
    },
    /// The content type is too long or has control characters.
    #[error("a content type has 1 to {max} bytes of printable ASCII", max = Payload::CONTENT_TYPE_MAX_BYTES)]
    ContentType,
}

impl PayloadError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotJson { .. } => Code::BadJson,
            Self::NotUtf8 { .. }
            | Self::Charset { .. }
            | Self::BadBase64 { .. }
            | Self::ContentType => Code::BadRequest,
        }
    }
}

impl From<PayloadError> for Problem {
    fn from(error: PayloadError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// A content type taken apart as far as the rules need (RFC 9110 section 8.3.1).
pub(crate) struct MediaType {
    /// `type/subtype` in lower case.
    pub(crate) essence: String,
    charset: Option<String>,
    has_other_parameters: bool,
}

impl MediaType {
    pub(crate) fn read(sent: &str) -> Self {
        let mut parts = sent.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut charset = None;
        let mut has_other_parameters = false;
        for part in parts.filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                    charset = Some(value.trim().trim_matches('"').to_ascii_lowercase());
                }
                _ => has_other_parameters = true,
            }
        }
        Self {
            essence,
            charset,
            has_other_parameters,
        }
    }

    /// ASCII is a part of UTF-8, so its name is as good.
    fn check_charset(&self) -> Result<(), PayloadError> {
        match self.charset.as_deref() {
            None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
            Some(other) => Err(PayloadError::Charset {
                charset: shown(other),
            }),
        }
    }
}

fn check_content_type(sent: &str) -> Result<(), PayloadError> {
    let printable = sent.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if sent.len() > Payload::CONTENT_TYPE_MAX_BYTES || !printable {
        return Err(PayloadError::ContentType);
    }
    Ok(())
}

fn json_from_bytes(body: &[u8]) -> Result<String, PayloadError> {
    let text = std::str::from_utf8(body).map_err(|error| PayloadError::NotJson {
        detail: format!("byte {} is not UTF-8", error.valid_up_to()),
    })?;
    let json = serde_json::from_str::<&RawValue>(text).map_err(|error| PayloadError::NotJson {
        detail: error.to_string(),
    })?;
    Ok(compact(json.get()).into_owned())
}

fn text_from_bytes(body: &[u8]) -> Result<&str, PayloadError> {
    std::str::from_utf8(body).map_err(|error| PayloadError::NotUtf8 {
        at: error.valid_up_to(),
    })
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("text is always a JSON string")
}

/// Drops white space outside strings; the text is known to be JSON.
pub(crate) fn compact(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut kept = String::new();
    let (mut from, mut in_string, mut escaped) = (0, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => {
                // White space is ASCII, so both cuts lie between characters.
                kept.push_str(&json[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if from == 0 {
        return Cow::Borrowed(json);
    }
    kept.push_str(&json[from..]);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests;
