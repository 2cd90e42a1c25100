//! What a backend answers.
//!
//! Shape: a status and a JSON object. 200 with `"allow": true` lets it happen, perhaps with changes; 204 is the same
//! without any. `"allow": false`, 403 and 401 refuse. Members that are not known are passed over.
//! Unit: one answer for one question.
//! Bound: what the caller has read of it.
//! Failure: anything else is no answer: the hook has failed, and `on_failure` says what that means.
//! Source: protocol document, "Hooks".

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tidewire_protocol::{Code, Pattern};

use crate::auth::identity::is_key_subject;

/// What a backend says. A clone shares the changes.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// It may happen.
    Allow(Arc<Changes>),
    /// It may not; 401 or 403 for the client.
    Refuse(Code),
}

/// What else an answer may say. Each hook takes what is meant for it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Changes {
    /// `connect`: who an anonymous client is.
    pub(super) subject: Option<String>,
    /// `connect`: in place of the patterns that the session could subscribe without it.
    pub(super) subscribe: Option<Vec<Pattern>>,
    /// `connect`: the same for publishing.
    pub(super) publish: Option<Vec<Pattern>>,
    /// `publish`: in place of the payload. `null` is a payload.
    #[serde(deserialize_with = "present")]
    pub(super) data: Option<Box<RawValue>>,
}

/// Why an answer cannot be used. The backend's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadAnswer {
    /// A status that is no answer to a question.
    #[error("the backend answered with status {0}")]
    Status(u16),
    /// Not the JSON object that is wanted. What it holds is not shown.
    #[error(
        "the backend's answer is no JSON object with a member \"allow\", or a member does not fit (line {line}, column {column})"
    )]
    Json {
        /// Where it does not fit.
        line: usize,
        /// The same.
        column: usize,
    },
    /// A subject that nobody can have.
    #[error("the backend's answer gives a subject that does not fit")]
    Subject,
}

impl BadAnswer {
    /// Whether the same question may bring a better one.
    pub(super) fn may_be_repeated(&self) -> bool {
        match self {
            Self::Status(status) => *status >= 500 || *status == 429,
            Self::Json { .. } | Self::Subject => false,
        }
    }
}

impl Answer {
    /// Without any change.
    pub(super) fn allowed() -> Self {
        Self::Allow(Arc::default())
    }

    /// Reads an answer.
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<Self, BadAnswer> {
        match status {
            StatusCode::NO_CONTENT => return Ok(Self::allowed()),
            StatusCode::UNAUTHORIZED => return Ok(Self::Refuse(Code::Unauthorized)),
            StatusCode::FORBIDDEN => return Ok(Self::Refuse(Code::Forbidden)),
            StatusCode::OK => {}
            other => return Err(BadAnswer::Status(other.as_u16())),
        }
        #[derive(Deserialize)]
        struct Verdict {
            allow: bool,
        }
        let verdict: Verdict = serde_json::from_slice(body).map_err(|error| bad_json(&error))?;
        if !verdict.allow {
            return Ok(Self::Refuse(Code::Forbidden));
        }
        let changes: Changes = serde_json::from_slice(body).map_err(|error| bad_json(&error))?;
        if changes
            .subject
            .as_deref()
            .is_some_and(|subject| !is_subject(subject))
        {
            return Err(BadAnswer::Subject);
        }
        Ok(Self::Allow(Arc::new(changes)))
    }
}

/// A subject that a backend may give: no API key's.
fn is_subject(text: &str) -> bool {
    (1..=SUBJECT_MAX_BYTES).contains(&text.len())
        && !is_key_subject(text)
        && !text.chars().any(char::is_control)
}

/// The reader's own words would quote the answer.
fn bad_json(error: &serde_json::Error) -> BadAnswer {
    BadAnswer::Json {
        line: error.line(),
        column: error.column(),
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

const SUBJECT_MAX_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Answer, BadAnswer> {
        Answer::read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    fn changes(body: &str) -> Arc<Changes> {
        match read(200, body).unwrap() {
            Answer::Allow(changes) => changes,
            Answer::Refuse(code) => panic!("refused with {code}"),
        }
    }

    fn refused(status: u16, body: &str) -> Code {
        match read(status, body).unwrap() {
            Answer::Refuse(code) => code,
            Answer::Allow(changes) => panic!("allowed with {changes:?}"),
        }
    }

    #[test]
    fn an_answer_may_allow_refuse_and_change() {
        let all = changes(
            r#"{"allow":true,"subject":"u1","subscribe":["a.>"],"publish":[],"new":{"x":[1]}}"#,
        );
        assert_eq!(all.subject.as_deref(), Some("u1"));
        assert_eq!(all.subscribe.as_ref().unwrap()[0].as_str(), "a.>");
        assert!(all.publish.as_ref().unwrap().is_empty() && all.data.is_none());
        assert!(changes(r#"{"allow":true}"#).subscribe.is_none());
        assert!(matches!(read(204, ""), Ok(Answer::Allow(_))));
        assert_eq!(
            refused(200, r#"{"allow":false,"subscribe":["a"]}"#),
            Code::Forbidden
        );
        assert_eq!(refused(403, "<html>"), Code::Forbidden);
        assert_eq!(refused(401, ""), Code::Unauthorized);
    }

    #[test]
    fn a_payload_is_kept_as_it_is_written_and_null_is_one() {
        let data = |body| {
            changes(body)
                .data
                .as_ref()
                .map(|data| data.get().to_owned())
        };
        let number = r#"{"allow":true,"data":{"n":1.10}}"#;
        assert_eq!(data(number).as_deref(), Some(r#"{"n":1.10}"#));
        assert_eq!(
            data(r#"{"allow":true,"data":null}"#).as_deref(),
            Some("null")
        );
        assert_eq!(data(r#"{"allow":true}"#), None);
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_does_not_quote_it() {
        for (status, body) in [
            (200, ""),
            (200, "canary"),
            (200, "{}"),
            (200, r#"{"allow":"canary"}"#),
            (200, r#"{"allow":true,"subscribe":["canary..x"]}"#),
            (200, r#"{"allow":true,"subject":"key:canary"}"#),
            (200, r#"{"allow":true,"subject":""}"#),
            (302, r#"{"allow":true}"#),
            (404, r#"{"allow":true}"#),
            (500, r#"{"allow":true}"#),
        ] {
            let error = read(status, body).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
            assert_eq!(error.may_be_repeated(), status >= 500, "{status} {body}");
        }
    }
}
