//! Problems: the one table of error codes and status codes, and the object that carries them.
//!
//! Shape: RFC 9457 `application/problem+json` with a stable `code`; the same code and sentence stand in a
//! WebSocket `error` frame and in an element of a batch answer.
//! Unit: `retry_after_s` in seconds, as in the header `Retry-After`.
//! Failure: a code that a client does not know is read as the nearest one by its status.
//! Source: protocol section 6.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct};

/// The stable code of an error: what programs branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The request does not fit the protocol. Do not repeat it as it is.
    BadRequest,
    /// A topic or pattern does not fit.
    BadTopic,
    /// A cursor is not well-formed.
    BadCursor,
    /// What must be JSON is not.
    BadJson,
    /// Credentials are missing, wrong or expired.
    Unauthorized,
    /// The credentials do not allow it, or the origin does not.
    Forbidden,
    /// There is no such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The request did not arrive in time. May be repeated.
    RequestTimeout,
    /// The idempotency key was used for another payload.
    KeyReused,
    /// A body, an event or a batch is over its bound.
    TooLarge,
    /// A content type or a content encoding that is not taken here.
    UnsupportedMediaType,
    /// The path takes a WebSocket handshake of version 13, and this is none.
    UpgradeRequired,
    /// Too many in too short a time. Repeat after the pause.
    RateLimited,
    /// The gateway's own fault. Repeating may help.
    Internal,
    /// Cannot be done now. Repeat after the pause, a publish with the same key.
    Unavailable,
}

impl Code {
    /// The one table: code, word on the wire, status, the status's own phrase.
    const TABLE: [(Self, &'static str, u16, &'static str); 16] = [
        (Self::BadRequest, "bad_request", 400, "Bad Request"),
        (Self::BadTopic, "bad_topic", 400, "Bad Request"),
        (Self::BadCursor, "bad_cursor", 400, "Bad Request"),
        (Self::BadJson, "bad_json", 400, "Bad Request"),
        (Self::Unauthorized, "unauthorized", 401, "Unauthorized"),
        (Self::Forbidden, "forbidden", 403, "Forbidden"),
        (Self::NotFound, "not_found", 404, "Not Found"),
        (
            Self::MethodNotAllowed,
            "method_not_allowed",
            405,
            "Method Not Allowed",
        ),
        (
            Self::RequestTimeout,
            "request_timeout",
            408,
            "Request Timeout",
        ),
        (Self::KeyReused, "key_reused", 409, "Conflict"),
        (Self::TooLarge, "too_large", 413, "Content Too Large"),
        (
            Self::UnsupportedMediaType,
            "unsupported_media_type",
            415,
            "Unsupported Media Type",
        ),
        (
            Self::UpgradeRequired,
            "upgrade_required",
            426,
            "Upgrade Required",
        ),
        (Self::RateLimited, "rate_limited", 429, "Too Many Requests"),
        (Self::Internal, "internal", 500, "Internal Server Error"),
        (Self::Unavailable, "unavailable", 503, "Service Unavailable"),
    ];

    /// All codes, in the order of their statuses.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status that always goes with it.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().2
    }

    /// The status's own phrase: RFC 9457 section 4.2.1 wants it beside `about:blank`.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().3
    }

    /// The nearest code for a status alone, for clients that meet an answer from something in between.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        let known = Self::TABLE.iter().find(|row| row.2 == status);
        match (known, status) {
            (Some(row), _) => row.0,
            (None, 502 | 504) => Self::Unavailable,
            (None, 500..) => Self::Internal,
            (None, _) => Self::BadRequest,
        }
    }

    fn row(self) -> &'static (Self, &'static str, u16, &'static str) {
        // The table has the order of the enum; a test holds them together.
        &Self::TABLE[self as usize]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is none of the stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a code of this protocol")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(word: &str) -> Result<Self, UnknownCode> {
        let row = Self::TABLE.iter().find(|row| row.1 == word);
        row.map(|row| row.0).ok_or(UnknownCode)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error as the client learns it: a stable code and a sentence that is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    /// What programs branch on.
    pub code: Code,
    /// What a person reads; the member `detail`.
    pub message: String,
    /// When to come back, in seconds; also the header `Retry-After`.
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// What a `Content-Type` says about a problem.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// A problem without a pause.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// The same, with the pause after which to come back.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The HTTP status of the code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The object as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a problem holds only text and numbers")
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = 5 + usize::from(self.retry_after_s.is_some());
        let mut object = serializer.serialize_struct("Problem", members)?;
        object.serialize_field("type", "about:blank")?;
        object.serialize_field("title", self.code.title())?;
        object.serialize_field("status", &self.code.status())?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("detail", &self.message)?;
        if let Some(seconds) = self.retry_after_s {
            object.serialize_field("retry_after_s", &seconds)?;
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            code: String,
            #[serde(default)]
            status: u16,
            #[serde(default)]
            detail: String,
            #[serde(default)]
            retry_after_s: Option<u64>,
        }
        let members = Members::deserialize(deserializer)?;
        let code = members.code.parse();
        Ok(Self {
            // A newer gateway may know more codes; its status still says what to do.
            code: code.unwrap_or_else(|_| Code::from_status(members.status)),
            message: members.detail,
            retry_after_s: members.retry_after_s,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_order_of_the_enum_and_each_word_once() {
        for (index, code) in Code::all().enumerate() {
            assert_eq!(code as usize, index);
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert_eq!("teapot".parse::<Code>(), Err(UnknownCode));
    }

    #[test]
    fn a_client_reads_what_the_gateway_wrote() {
        let problem =
            Problem::new(Code::RateLimited, "1000 publishes per second").with_retry_after(2);
        let json = problem.to_json();
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
    }

    #[test]
    fn an_unknown_code_is_read_by_its_status() {
        for (json, code) in [
            (r#"{"code":"gone_for_good","status":410}"#, Code::BadRequest),
            (
                r#"{"code":"later","status":503,"detail":"x"}"#,
                Code::Unavailable,
            ),
            (r#"{"code":"loop","status":508}"#, Code::Internal),
            (r#"{"code":"slow","status":504}"#, Code::Unavailable),
        ] {
            assert_eq!(
                serde_json::from_str::<Problem>(json).unwrap().code,
                code,
                "{json}"
            );
        }
        assert!(serde_json::from_str::<Problem>(r#"{"status":400}"#).is_err());
    }
}
