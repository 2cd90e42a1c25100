//! Frames: the JSON inside a WebSocket text frame, client to gateway and back.
//!
//! Shape: one object each, `op` first in what the gateway sends. An object without `op` is an event.
//! Bound: a frame's size is the connection's to keep; `ref` has at most [`REF_MAX_BYTES`], `data` of an
//! `enter` at most [`SubscribeQuery::PRESENCE_DATA_MAX_BYTES`].
//! Failure: [`FrameError`] says whether the connection stays (an `error` frame) or ends (4000).
//! Source: protocol section 3.3.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Code, Pattern, Problem, Publish, StartAt, SubscribeQuery, Topic,
    text::{present, string},
};

/// What a client sends. `reference` is `ref`, to be echoed as it is.
#[derive(Clone)]
pub enum ClientFrame {
    /// Adds patterns to the session.
    Subscribe {
        /// `ref`.
        reference: Option<Box<RawValue>>,
        /// At least one.
        topics: Vec<Pattern>,
        /// `after` or `last`; `None` when neither was given.
        start: Option<StartAt>,
    },
    /// Takes patterns away.
    Unsubscribe {
        /// `ref`.
        reference: Option<Box<RawValue>>,
        /// At least one.
        topics: Vec<Pattern>,
    },
    /// Publishes to one topic.
    Publish {
        /// `ref`.
        reference: Option<Box<RawValue>>,
        /// What; its `topics` is always one.
        publish: Publish,
    },
    /// Brings or refreshes credentials.
    Auth {
        /// `ref`.
        reference: Option<Box<RawValue>>,
        /// A secret: not shown by `Debug`.
        token: String,
    },
    /// Asks who is there.
    Presence {
        /// `ref`.
        reference: Option<Box<RawValue>>,
        /// Where.
        topic: Topic,
    },
    /// Becomes a member.
    Enter {
        /// `ref`.
        reference: Option<Box<RawValue>>,
        /// Where.
        topic: Topic,
        /// What is shown with the member.
        data: Option<Box<RawValue>>,
    },
    /// Ends a membership.
    Leave {
        /// `ref`.
        reference: Option<Box<RawValue>>,
        /// Where.
        topic: Topic,
    },
    /// Wants a pong.
    Ping {
        /// `ref`.
        reference: Option<Box<RawValue>>,
    },
}

impl ClientFrame {
    /// Reads a text frame; members that are not known are ignored.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        let whole =
            serde_json::from_str::<&RawValue>(text).map_err(|error| FrameError::NotAnObject {
                detail: error.to_string(),
            })?;
        if !whole.get().starts_with('{') {
            return Err(FrameError::NotAnObject {
                detail: "another JSON value".to_owned(),
            });
        }
        let refused = |reference, problem: Problem| FrameError::Bad {
            reference,
            code: problem.code,
            message: problem.message,
        };
        let members: Members<'_> = serde_json::from_str(whole.get())
            .map_err(|error| refused(None, bad(error.to_string())))?;
        let reference = members
            .reference()
            .map_err(|problem| refused(None, problem))?;
        Self::read(whole.get(), &members, reference.clone())
            .map_err(|problem| refused(reference, problem))
    }

    /// The word in `op`.
    #[must_use]
    pub fn op(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Publish { .. } => "publish",
            Self::Auth { .. } => "auth",
            Self::Presence { .. } => "presence",
            Self::Enter { .. } => "enter",
            Self::Leave { .. } => "leave",
            Self::Ping { .. } => "ping",
        }
    }

    /// What the answer echoes.
    #[must_use]
    pub fn reference(&self) -> Option<&RawValue> {
        match self {
            Self::Subscribe { reference, .. }
            | Self::Unsubscribe { reference, .. }
            | Self::Publish { reference, .. }
            | Self::Auth { reference, .. }
            | Self::Presence { reference, .. }
            | Self::Enter { reference, .. }
            | Self::Leave { reference, .. }
            | Self::Ping { reference } => reference.as_deref(),
        }
    }

    fn read(
        text: &str,
        members: &Members<'_>,
        reference: Option<Box<RawValue>>,
    ) -> Result<Self, Problem> {
        let op = members.op.ok_or_else(|| bad("\"op\" is missing"))?;
        match &*string("op", op)? {
            "subscribe" => Ok(Self::Subscribe {
                reference,
                topics: members.patterns()?,
                start: members.start()?,
            }),
            "unsubscribe" => Ok(Self::Unsubscribe {
                reference,
                topics: members.patterns()?,
            }),
            "publish" => Ok(Self::Publish {
                reference,
                publish: Publish::from_element(text)?,
            }),
            "auth" => Ok(Self::Auth {
                reference,
                token: members.token()?,
            }),
            "presence" => Ok(Self::Presence {
                reference,
                topic: members.topic()?,
            }),
            "enter" => Ok(Self::Enter {
                reference,
                topic: members.topic()?,
                data: members.presence_data()?,
            }),
            "leave" => Ok(Self::Leave {
                reference,
                topic: members.topic()?,
            }),
            "ping" => Ok(Self::Ping { reference }),
            _ => Err(bad(
                "\"op\" takes subscribe, unsubscribe, publish, auth, presence, enter, leave or ping",
            )),
        }
    }
}

/// Payloads and tokens stay out of every log, so a frame shows only what it is.
impl fmt::Debug for ClientFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reference = self.reference().map_or("", RawValue::get);
        write!(f, "ClientFrame({} {reference})", self.op())
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "ref")]
    reference: Option<&'a RawValue>,
    #[serde(borrow, default)]
    topics: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    last: Option<&'a RawValue>,
    #[serde(borrow, default)]
    topic: Option<&'a RawValue>,
    #[serde(borrow, default)]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

impl Members<'_> {
    fn reference(&self) -> Result<Option<Box<RawValue>>, Problem> {
        let Some(raw) = self.reference else {
            return Ok(None);
        };
        let scalar = raw
            .get()
            .starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
        if !scalar || raw.get().len() > REF_MAX_BYTES {
            return Err(bad(format!(
                "\"ref\" takes a string or number of at most {REF_MAX_BYTES} bytes"
            )));
        }
        Ok(Some(raw.to_owned()))
    }

    fn patterns(&self) -> Result<Vec<Pattern>, Problem> {
        let shape = || bad("\"topics\" takes an array of at least one topic or pattern");
        let raw = self.topics.ok_or_else(shape)?;
        let texts: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| shape())?;
        if texts.is_empty() {
            return Err(shape());
        }
        let mut patterns = Vec::with_capacity(texts.len());
        for text in texts {
            let text = string("topics", text)
                .map_err(|problem| Problem::new(Code::BadTopic, problem.message))?;
            let pattern = Pattern::parse(&text)
                .map_err(|error| Problem::new(Code::BadTopic, error.to_string()))?;
            patterns.push(pattern);
        }
        Ok(patterns)
    }

    fn start(&self) -> Result<Option<StartAt>, Problem> {
        match (self.after, self.last) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(bad(
                "\"after\" and \"last\" stand together: give one of them",
            )),
            (Some(after), None) => {
                let bad_cursor = || {
                    let message = "\"after\" takes a cursor, \"now\" or \"start\"";
                    Problem::new(Code::BadCursor, message)
                };
                let text = string("after", after).map_err(|_| bad_cursor())?;
                let start = StartAt::from_after(&text).map_err(|_| bad_cursor())?;
                Ok(Some(start))
            }
            (None, Some(last)) => match serde_json::from_str(last.get()) {
                Ok(0) => Ok(Some(StartAt::Now)),
                Ok(count @ 1..=StartAt::LAST_MAX) => Ok(Some(StartAt::Last(count))),
                _ => Err(bad("\"last\" takes a whole number from 0 to 1000")),
            },
        }
    }

    fn topic(&self) -> Result<Topic, Problem> {
        let bad_topic = |message: String| Problem::new(Code::BadTopic, message);
        let raw = self.topic.ok_or_else(|| bad("\"topic\" is missing"))?;
        let text = string("topic", raw).map_err(|problem| bad_topic(problem.message))?;
        Topic::parse(&text).map_err(|error| bad_topic(error.to_string()))
    }

    fn token(&self) -> Result<String, Problem> {
        let raw = self.token.ok_or_else(|| bad("\"token\" is missing"))?;
        Ok(string("token", raw)?.into_owned())
    }

    fn presence_data(&self) -> Result<Option<Box<RawValue>>, Problem> {
        let data = self.data.map(ToOwned::to_owned);
        let fits = |data: &RawValue| data.get().len() <= SubscribeQuery::PRESENCE_DATA_MAX_BYTES;
        if !data.as_deref().is_none_or(fits) {
            return Err(bad("\"data\" takes JSON of at most 1024 bytes"));
        }
        Ok(data)
    }
}

/// Why a frame is not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FrameError {
    /// Not a JSON object: the other side speaks something else. Ends with close 4000.
    #[error("a frame is one JSON object: {detail}")]
    NotAnObject {
        /// What is wrong.
        detail: String,
    },
    /// A frame that is wrong in itself: told by an `error` frame, the connection stays.
    #[error("{code}: {message}")]
    Bad {
        /// What the error frame echoes.
        reference: Option<Box<RawValue>>,
        /// The stable code.
        code: Code,
        /// What a person reads.
        message: String,
    },
}

/// The longest `ref`, in bytes of JSON.
pub const REF_MAX_BYTES: usize = 64;

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests;
