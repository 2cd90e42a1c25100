//! From what went wrong to what the client learns.
//!
//! Shape: a [`Refusal`] is a problem and the header that its status asks for. Every error of a module becomes one here and
//! nowhere else; what the client must not learn goes to the log on the way.
//! Failure: this is it.
//! Source: protocol section 6, RFC 9457. `WWW-Authenticate` on 401 and `Retry-After` on 429 and 503 are RFC 9110.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use tidewire_bus::{AppendError, ReadError};
use tidewire_protocol::{
    Code, CursorError, EventTypeError, PayloadError, Problem, QueryError, TopicError,
};

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(Problem);

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Problem::new(code, message))
    }

    /// The same, with the pause after which to come back: whole seconds, at least one.
    pub(crate) fn with_retry_after(self, pause: Duration) -> Self {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        Self(self.0.with_retry_after(seconds.max(1)))
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The problem alone, as an element of a batch answer.
    pub(crate) fn into_problem(self) -> Problem {
        self.0
    }

    /// Nothing can be done now, for a reason that the log has.
    pub(crate) fn unavailable(pause: Duration) -> Self {
        Self::new(Code::Unavailable, "the gateway cannot do this now").with_retry_after(pause)
    }

    /// One connection or session too many.
    pub(crate) fn over_capacity() -> Self {
        Self::new(Code::Unavailable, "the gateway has no room for another one")
            .with_retry_after(OVER_CAPACITY_PAUSE)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.0;
        let mut response = Response::new(Body::from(problem.to_json()));
        *response.status_mut() =
            StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(Problem::CONTENT_TYPE),
        );
        if problem.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = problem.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ReadError> for Refusal {
    /// The engine's fault: never an empty success.
    fn from(error: ReadError) -> Self {
        tracing::warn!(%error, "read failed");
        Self::unavailable(READ_PAUSE)
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match &error {
            AppendError::KeyReused => Self::new(
                Code::KeyReused,
                "this idempotency key was used for another payload",
            ),
            AppendError::Unavailable { retry_after, .. } => {
                tracing::warn!(%error, "append failed");
                Self::new(
                    Code::Unavailable,
                    "nothing was stored; repeat after the pause",
                )
                .with_retry_after(*retry_after)
            }
            AppendError::Unknown { .. } => {
                tracing::warn!(%error, "append unknown");
                Self::unknown()
            }
            // A kind of failure that is new here: safe is to promise nothing.
            _ => Self::unknown(),
        }
    }
}

impl Refusal {
    /// It may have been stored.
    pub(crate) fn unknown() -> Self {
        let detail = "the engine gave no answer: it may have been stored; repeat with the same key";
        Self::new(Code::Unavailable, detail).with_retry_after(READ_PAUSE)
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::new(Code::BadTopic, error.to_string())
    }
}

impl From<CursorError> for Refusal {
    fn from(error: CursorError) -> Self {
        Self::new(Code::BadCursor, error.to_string())
    }
}

impl From<EventTypeError> for Refusal {
    fn from(error: EventTypeError) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Self {
        Self(error.into())
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self(error.into())
    }
}

/// When to repeat after a failed read, or an append without an answer.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// When somebody may have left.
const OVER_CAPACITY_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_with_the_headers_of_its_status() {
        let response = Refusal::new(Code::Unauthorized, "no").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let response = Refusal::new(Code::RateLimited, "slow")
            .with_retry_after(Duration::from_millis(1))
            .into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn an_append_without_an_answer_says_that_it_may_have_been_stored() {
        let error = AppendError::Unknown {
            waited: Duration::from_secs(5),
            reason: "secret path".into(),
        };
        let refusal = Refusal::from(error);
        assert_eq!(refusal.code(), Code::Unavailable);
        assert!(refusal.message().contains("same key") && !refusal.message().contains("secret"));
    }
}
