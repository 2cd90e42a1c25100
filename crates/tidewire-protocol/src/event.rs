//! An event: one immutable datum in a topic, and its one JSON encoding.
//!
//! Shape: `{"id":…,"topic":…,"time":…` and then the body, `,"type":…,"content_type":…,"data":…}`. The body
//! is made when the event is published, the front when the engine has given it its place; together they
//! are the same bytes on every transport.
//! Unit: `time` in milliseconds since the Unix epoch.
//! Bound: a type has at most [`EventType::MAX_BYTES`]; the whole is bounded by `event_max_bytes` elsewhere.
//! Failure: nothing here fails once its parts are parsed.
//! Source: protocol section 2.

use std::{borrow::Cow, fmt, io::Write, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Code, Cursor, Payload, Problem, Topic,
    payload::Data,
    text::{Text, present, present_boxed, serde_as_text, shown},
};

/// What kind of event it is, such as `order.paid`: up to 100 bytes of printable text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Box<str>);

impl EventType {
    /// The longest type, in bytes.
    pub const MAX_BYTES: usize = 100;

    /// Reads a type; nothing is normalised.
    ///
    /// # Errors
    /// It is empty, too long, or holds a control character.
    pub fn parse(text: &str) -> Result<Self, EventTypeError> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if !fits || text.chars().any(breaks_a_line) {
            return Err(EventTypeError { text: shown(text) });
        }
        Ok(Self(text.into()))
    }

    /// The type as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// U+2028 and U+2029 are no control characters for Unicode, but end a line for many readers.
fn breaks_a_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EventType {
    type Err = EventTypeError;

    fn from_str(text: &str) -> Result<Self, EventTypeError> {
        Self::parse(text)
    }
}

serde_as_text!(EventType);

/// The text is no event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the type \"{text}\" does not fit; a type has 1 to {max} bytes of text without control characters", max = EventType::MAX_BYTES)]
pub struct EventTypeError {
    text: String,
}

impl From<EventTypeError> for Problem {
    fn from(error: EventTypeError) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

/// The members after `time`, encoded once when the event is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBody(Bytes);

impl EventBody {
    /// Encodes the type and the payload.
    #[must_use]
    pub fn new(event_type: Option<&EventType>, payload: &Payload) -> Self {
        #[derive(Serialize)]
        struct Members<'a> {
            #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
            event_type: Option<&'a EventType>,
            #[serde(skip_serializing_if = "Option::is_none")]
            content_type: Option<&'a str>,
        }
        let (name, quote, data) = match &payload.data {
            Data::Json(json) => ("data", "", json),
            Data::Base64(base64) => ("data_base64", "\"", base64),
        };
        let mut body = serde_json::to_vec(&Members {
            event_type,
            content_type: payload.content_type.as_deref(),
        })
        .expect("two texts are always JSON");
        // `{…}` becomes `,…`: the front of the event stands before it, the payload after it.
        body.pop();
        if body.len() > 1 {
            body[0] = b',';
        } else {
            body.clear();
        }
        body.reserve_exact(data.len() + name.len() + 7);
        write!(body, ",\"{name}\":{quote}{data}{quote}}}").expect("a Vec takes every write");
        Self(body.into())
    }

    /// The same type with another payload.
    #[must_use]
    pub fn with_payload(&self, payload: &Payload) -> Self {
        #[derive(Deserialize)]
        struct Members {
            #[serde(default, rename = "type")]
            event_type: Option<EventType>,
        }
        // `,…}` as an object again.
        let mut json = self.0.to_vec();
        if let Some(comma) = json.first_mut() {
            *comma = b'{';
        }
        let members: Option<Members> = serde_json::from_slice(&json).ok();
        let event_type = members.and_then(|members| members.event_type);
        Self::new(event_type.as_ref(), payload)
    }

    /// The bytes to store; [`from_stored`](Self::from_stored) takes them back.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// A body that [`as_bytes`](Self::as_bytes) gave. The store's checksums guard it, so nothing is
    /// checked again.
    #[must_use]
    pub fn from_stored(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

/// One immutable datum in a topic. A clone shares the encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    id: Cursor,
    topic: Topic,
    time_ms: u64,
    json: Bytes,
}

impl Event {
    /// Puts the front before the body; this is the one place where an event becomes JSON.
    #[must_use]
    pub fn new(id: Cursor, topic: Topic, time_ms: u64, body: &EventBody) -> Self {
        let mut json = Vec::with_capacity(FRONT_MAX_BYTES + topic.as_str().len() + body.0.len());
        // Neither an id nor a topic has a character that JSON would escape.
        write!(json, r#"{{"id":"{id}","topic":"{topic}","time":{time_ms}"#)
            .expect("a Vec takes every write");
        json.extend_from_slice(&body.0);
        Self {
            id,
            topic,
            time_ms,
            json: json.into(),
        }
    }

    /// The cursor just after this event.
    #[must_use]
    pub fn id(&self) -> Cursor {
        self.id
    }

    /// Where it was published.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// When it got its place, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The one encoding.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The parts of the body, read back from the encoding.
    ///
    /// A body that a store has damaged reads as `null` without a type: there is nothing to show of it,
    /// and the damage is the store's to report.
    #[must_use]
    pub fn parts(&self) -> EventParts<'_> {
        #[derive(Deserialize)]
        struct Members<'a> {
            #[serde(borrow, default, rename = "type")]
            event_type: Option<Text<'a>>,
            #[serde(borrow, default)]
            content_type: Option<Text<'a>>,
            #[serde(borrow, default, deserialize_with = "present")]
            data: Option<&'a RawValue>,
            #[serde(borrow, default)]
            data_base64: Option<Text<'a>>,
        }
        let members = serde_json::from_slice::<Members<'_>>(&self.json).unwrap_or(Members {
            event_type: None,
            content_type: None,
            data: None,
            data_base64: None,
        });
        EventParts {
            event_type: members.event_type.map(|text| text.0),
            content_type: members.content_type.map(|text| text.0),
            data: match (members.data, members.data_base64) {
                (None, Some(base64)) => EventData::Base64(base64.0),
                (data, _) => EventData::Json(data.unwrap_or(RawValue::NULL)),
            },
        }
    }
}

/// What stands in an event beside its id, topic and time.
#[derive(Debug, Clone)]
pub struct EventParts<'a> {
    /// The publisher's word for the kind of event.
    pub event_type: Option<Cow<'a, str>>,
    /// The content type of the payload, unless it is one of the usual.
    pub content_type: Option<Cow<'a, str>>,
    /// The payload.
    pub data: EventData<'a>,
}

/// A payload in its wire form.
#[derive(Debug, Clone)]
pub enum EventData<'a> {
    /// The member `data`.
    Json(&'a RawValue),
    /// The member `data_base64`.
    Base64(Cow<'a, str>),
}

/// An event as a client got it. Its id is opaque, its topic may be of a later protocol.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    /// The cursor just after this event: opaque, to be given back as it is.
    pub id: String,
    /// Where it was published.
    pub topic: String,
    /// Milliseconds since the Unix epoch.
    pub time: u64,
    /// The publisher's word for the kind of event.
    pub event_type: Option<String>,
    /// The content type of the payload, unless it is one of the usual.
    pub content_type: Option<String>,
    /// The payload as JSON.
    pub data: Option<Box<RawValue>>,
    /// The payload in base64, when it is not JSON.
    pub data_base64: Option<String>,
    /// The whole text as received.
    pub json: String,
}

impl ReceivedEvent {
    /// Reads an event; members that are not known are ignored.
    ///
    /// # Errors
    /// It is not a JSON object with at least `id`, `topic` and `time`.
    pub fn parse(json: impl Into<String>) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Members {
            id: String,
            topic: String,
            time: u64,
            #[serde(default, rename = "type")]
            event_type: Option<String>,
            #[serde(default)]
            content_type: Option<String>,
            #[serde(default, deserialize_with = "present_boxed")]
            data: Option<Box<RawValue>>,
            #[serde(default)]
            data_base64: Option<String>,
        }
        let json = json.into();
        let members: Members = serde_json::from_str(&json)?;
        Ok(Self {
            id: members.id,
            topic: members.topic,
            time: members.time,
            event_type: members.event_type,
            content_type: members.content_type,
            data: members.data,
            data_base64: members.data_base64,
            json,
        })
    }
}

/// Names, quotes, the longest cursor and the longest time.
const FRONT_MAX_BYTES: usize = 96;

#[cfg(test)]
mod tests;
