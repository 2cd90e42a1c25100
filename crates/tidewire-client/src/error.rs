//! What can go wrong between a client and a gateway, and whether trying again can help.
//!
//! Shape: one enum; each variant is a fact. `ClientError::retry` is the one place that judges it.
//! Bound: at most `BODY_MAX` of a refusal's body is read.
//! Failure: a refusal without a problem document came from something else than the gateway.
//! Source: protocol sections 3.3 (close codes) and 6 (errors).

use std::{error::Error, fmt::Write as _, io, time::Duration};

use tidewire_protocol::{Problem, Retry};

/// Why a call or a connection failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The caller's mistake: not the address of a gateway. Do not repeat.
    #[error("{url:?} is not the address of a gateway: {detail}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The caller's mistake: the certificates to trust or the token cannot be used. Do not repeat.
    #[error("{0}")]
    Trust(String),
    /// The gateway's certificate is not one that the client trusts. Do not repeat.
    #[error("the gateway's certificate is not trusted: {0}")]
    Certificate(String),
    /// No connection came about. Repeat.
    #[error("cannot reach the gateway: {0}")]
    Unreachable(String),
    /// The connection broke. Repeat; what was being published may have been stored.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// Nothing came for longer than the gateway may be silent. Repeat.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// The answer was not what was asked for. `retry` says whether to repeat.
    #[error("{}", refusal(*status, problem.as_ref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the gateway said; `None` when something else answered.
        problem: Option<Problem>,
        /// The pause that the answer asks for.
        retry_after: Option<Duration>,
    },
    /// The gateway ended the session. `retry` says whether to come back.
    #[error("the gateway ended the session: {reason} ({code})")]
    Closed {
        /// The close code, protocol section 3.3.
        code: u16,
        /// In words.
        reason: String,
        /// The pause that `bye` asks for.
        retry_after: Option<Duration>,
        /// Whether a `bye` came first.
        bye: bool,
    },
    /// The peer does not speak the protocol. Repeat: something in between may have answered.
    #[error("that is not Tidewire's protocol: {0}")]
    Protocol(String),
    /// All tries until the deadline failed. It may have been stored; repeat with the same key.
    #[error("not published within {waited:?}: {last}")]
    GaveUp {
        /// The whole time of trying.
        waited: Duration,
        /// How the last try failed.
        last: Box<ClientError>,
    },
}

impl ClientError {
    /// Whether and how to come back: never, after a back-off, or with the cursor.
    pub fn retry(&self) -> Retry {
        match self {
            ClientError::Url { .. }
            | ClientError::Trust(_)
            | ClientError::Certificate(_)
            | ClientError::GaveUp { .. } => Retry::Never,
            ClientError::Unreachable(_)
            | ClientError::Lost(_)
            | ClientError::Silent(_)
            | ClientError::Protocol(_) => Retry::BackOff,
            ClientError::Refused { status, .. } => refused_retry(*status),
            ClientError::Closed { code, .. } => Retry::from_code(*code),
        }
    }

    /// The pause that the gateway asked for; zero when it did not.
    pub fn retry_after(&self) -> Duration {
        match self {
            ClientError::Refused { retry_after, .. } | ClientError::Closed { retry_after, .. } => {
                retry_after.unwrap_or_default()
            }
            ClientError::Url { .. }
            | ClientError::Trust(_)
            | ClientError::Certificate(_)
            | ClientError::Unreachable(_)
            | ClientError::Lost(_)
            | ClientError::Silent(_)
            | ClientError::Protocol(_)
            | ClientError::GaveUp { .. } => Duration::ZERO,
        }
    }

    /// Whether the gateway itself said no, for good: another transport would hear the same.
    pub(crate) fn is_verdict(&self) -> bool {
        let from_the_gateway = match self {
            ClientError::Refused { problem, .. } => problem.is_some(),
            ClientError::Url { .. }
            | ClientError::Trust(_)
            | ClientError::Certificate(_)
            | ClientError::GaveUp { .. }
            | ClientError::Closed { .. } => true,
            ClientError::Unreachable(_)
            | ClientError::Lost(_)
            | ClientError::Silent(_)
            | ClientError::Protocol(_) => false,
        };
        from_the_gateway && self.retry() == Retry::Never
    }

    /// What an HTTP client's error means. The certificate's case is told apart: it does not heal by waiting.
    pub(crate) fn from_http(error: &reqwest::Error) -> ClientError {
        if let Some(detail) = certificate_fault(error) {
            return ClientError::Certificate(detail);
        }
        let text = innermost(error);
        if error.is_connect() {
            ClientError::Unreachable(text)
        } else if error.is_timeout() {
            ClientError::Lost("no answer in time".into())
        } else {
            ClientError::Lost(text)
        }
    }

    /// What a failed connect or TLS handshake means.
    pub(crate) fn from_connect(error: &io::Error) -> ClientError {
        match certificate_fault(error) {
            Some(detail) => ClientError::Certificate(detail),
            None => ClientError::Unreachable(innermost(error)),
        }
    }

    /// What an answer with another status than success means.
    pub(crate) async fn from_answer(mut answer: reqwest::Response) -> ClientError {
        let status = answer.status().as_u16();
        let retry_after = answer
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| seconds(value.as_bytes()));
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            if body.len() + chunk.len() > BODY_MAX {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        ClientError::refused(status, &body, retry_after)
    }

    /// A refusal with the body that came with it.
    pub(crate) fn refused(status: u16, body: &[u8], retry_after: Option<Duration>) -> ClientError {
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        let in_body = problem.as_ref().and_then(|problem| problem.retry_after_s);
        ClientError::Refused {
            status,
            problem,
            retry_after: retry_after.or(in_body.map(Duration::from_secs)),
        }
    }
}

/// `Retry-After` in seconds. The gateway never sends the form with a date.
pub(crate) fn seconds(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The text of the innermost cause, which is the one that tells a person something.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// RFC 9110: what can be different the next time. Any other 4xx, and a redirect, stays as it is.
fn refused_retry(status: u16) -> Retry {
    match status {
        408 | 425 | 429 | 500..=599 => Retry::BackOff,
        _ => Retry::Never,
    }
}

fn certificate_fault(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(fault)) = error.downcast_ref() {
            return Some(fault.to_string());
        }
        // An io::Error shows the source of what it wraps, not what it wraps.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(|error| error.get_ref());
        cause = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn refusal(status: u16, problem: Option<&Problem>) -> String {
    let mut text = format!("the gateway answered {status}");
    match problem {
        Some(problem) => write!(text, " {problem}"),
        None => write!(text, " without saying why"),
    }
    .expect("text takes everything");
    text
}

/// A problem document is a few lines; more is not one.
const BODY_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> ClientError {
        ClientError::Closed {
            code,
            reason: String::new(),
            retry_after: None,
            bye: false,
        }
    }

    #[test]
    fn close_codes_say_whether_to_come_back() {
        for code in [1002, 1003, 1007, 1009, 4000, 4001, 4003, 4004, 4077] {
            assert_eq!(closed(code).retry(), Retry::Never, "{code}");
        }
        for code in [4100, 4101, 4177, 1011, 1006] {
            assert_eq!(closed(code).retry(), Retry::BackOff, "{code}");
        }
        for code in [4200, 4201, 4202, 4203, 4277] {
            assert_eq!(closed(code).retry(), Retry::Resume, "{code}");
        }
        assert_ne!(closed(1001).retry(), Retry::Never);
    }

    #[test]
    fn statuses_say_whether_to_come_back() {
        for status in [301, 400, 401, 403, 404, 409, 413, 415, 426] {
            let error = ClientError::refused(status, b"", None);
            assert_eq!(error.retry(), Retry::Never, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            let error = ClientError::refused(status, b"", None);
            assert_eq!(error.retry(), Retry::BackOff, "{status}");
        }
    }

    #[test]
    fn only_the_gateway_gives_a_verdict() {
        let problem = br#"{"type":"about:blank","title":"Forbidden","status":403,"code":"forbidden","detail":"no"}"#;
        assert!(ClientError::refused(403, problem, None).is_verdict());
        assert!(!ClientError::refused(403, b"<html>proxy</html>", None).is_verdict());
        assert!(!ClientError::refused(503, problem, None).is_verdict());
        assert!(closed(4003).is_verdict());
        assert!(!closed(4203).is_verdict());
    }

    #[test]
    fn a_refusal_tells_what_the_gateway_said() {
        let problem = br#"{"type":"about:blank","title":"x","status":400,"code":"bad_topic","detail":"level 2 is empty"}"#;
        let error = ClientError::refused(400, problem, None);
        assert_eq!(
            error.to_string(),
            "the gateway answered 400 bad_topic: level 2 is empty"
        );
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        assert_eq!(seconds(b" 7 "), Some(Duration::from_secs(7)));
        for text in [&b"-1"[..], b"", b"soon", b"1.5", b"\xff"] {
            assert_eq!(seconds(text), None);
        }
    }

    #[test]
    fn a_certificate_fault_is_found_below_other_errors() {
        let fault = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, fault));
        assert!(matches!(
            ClientError::from_connect(&error),
            ClientError::Certificate(_)
        ));
    }
}
