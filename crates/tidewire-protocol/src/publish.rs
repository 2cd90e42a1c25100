//! Publishing: what stands in `POST /publish` and in a `publish` frame, and the answers.
//!
//! Shape: one object, an array of them, or NDJSON. One bad element loses none of the others: it is a
//! [`Problem`] in its place.
//! Bound: [`PublishRequest::ELEMENTS_MAX`] elements or topics, [`KEY_MAX_BYTES`] of a key; the body's own
//! bound is kept by who reads it.
//! Failure: [`Problem`], the publisher's mistake.
//! Source: protocol section 4.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Code, EventType, Payload, Problem, Topic,
    elements::Elements,
    payload::MediaType,
    text::{is_false, present, string},
};

/// One thing to publish: a payload for one topic, or for each of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where to.
    pub topics: OneOrMany,
    /// The publisher's word for the kind of event.
    pub event_type: Option<EventType>,
    /// What becomes the event's data.
    pub payload: Payload,
    /// The idempotency key.
    pub key: Option<String>,
}

/// `topic` or `topics`: it decides whether the answer is an object or an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOrMany {
    /// `"topic"`: one event, one answer.
    One(Topic),
    /// `"topics"`: one event in each, and an answer or a problem for each, in this order.
    Many(Vec<Result<Topic, Problem>>),
}

impl Publish {
    /// Reads one JSON object; members that are not known are ignored.
    ///
    /// # Errors
    /// It is not JSON, not an object, or a member does not fit.
    pub fn from_json(json: &str) -> Result<Self, Problem> {
        let members = Members::read(json)?;
        let topics = match (members.topic, members.topics) {
            (Some(topic), None) => OneOrMany::One(topic_member(topic)?),
            (None, Some(topics)) => OneOrMany::Many(topics_member(topics)?),
            _ => return Err(bad("give either \"topic\" or \"topics\"")),
        };
        let payload = match (members.data, members.data_base64) {
            (Some(_), None) if members.content_type.is_some() => {
                return Err(bad("\"content_type\" goes with \"data_base64\" only"));
            }
            (Some(json), None) => Payload::from_json(json),
            (None, Some(base64)) => {
                let base64 = string("data_base64", base64)?;
                match members.content_type {
                    None => Payload::from_base64(&base64)?,
                    Some(content_type) => {
                        let content_type = string("content_type", content_type)?;
                        Payload::from_base64_content(&content_type, &base64)?
                    }
                }
            }
            _ => return Err(bad("give either \"data\" or \"data_base64\"")),
        };
        let event_type = match members.event_type {
            None => None,
            Some(text) => Some(EventType::parse(&string("type", text)?)?),
        };
        let key = match members.key {
            None => None,
            Some(text) => Some(idempotency_key(&string("key", text)?)?.to_owned()),
        };
        Ok(Self {
            topics,
            event_type,
            payload,
            key,
        })
    }

    /// As [`from_json`](Self::from_json), where there is room for one answer only.
    ///
    /// # Errors
    /// Also when it has `topics`.
    pub fn from_element(json: &str) -> Result<Self, Problem> {
        let publish = Self::from_json(json)?;
        match publish.topics {
            OneOrMany::One(_) => Ok(publish),
            OneOrMany::Many(_) => Err(bad(
                "\"topics\" stands only in a single object; give each topic an element or a frame of its own",
            )),
        }
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    topic: Option<&'a RawValue>,
    #[serde(borrow, default)]
    topics: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    event_type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data_base64: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
}

impl<'a> Members<'a> {
    fn read(json: &'a str) -> Result<Self, Problem> {
        let whole = serde_json::from_str::<&RawValue>(json).map_err(not_json)?;
        if !whole.get().starts_with('{') {
            return Err(bad("a JSON object is wanted here"));
        }
        // It is JSON, so what fails now is its shape: a member that stands twice.
        serde_json::from_str(whole.get()).map_err(|error| bad(error.to_string()))
    }
}

/// A whole `POST /publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishRequest {
    /// One object: answered alone.
    One(Publish),
    /// An array or NDJSON: answered by an array in the same order.
    Many(Vec<Result<Publish, Problem>>),
}

impl PublishRequest {
    /// The most elements of an array, lines of NDJSON, or topics of an object.
    pub const ELEMENTS_MAX: usize = 1000;

    /// Reads a body by its `Content-Type`.
    ///
    /// # Errors
    /// The request as a whole cannot be answered element by element.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, Problem> {
        let essence = MediaType::read(content_type.unwrap_or_default()).essence;
        match essence.as_str() {
            "application/json" => json_request(body),
            "application/x-ndjson" | "application/ndjson" => ndjson_request(body),
            // Nobody chose this type: curl sends it by itself.
            "" | "application/x-www-form-urlencoded" => json_request(body).or_else(|problem| {
                let lines = problem.code == Code::BadJson && lines(body).all(is_json);
                if lines && lines_count(body) > 0 {
                    ndjson_request(body)
                } else {
                    Err(problem)
                }
            }),
            _ => Err(Problem::new(
                Code::UnsupportedMediaType,
                "publish takes application/json or application/x-ndjson; other payloads go to /topics/{topic}",
            )),
        }
    }
}

fn json_request(body: &[u8]) -> Result<PublishRequest, Problem> {
    let text = utf8(body)?;
    if !text.trim_start().starts_with('[') {
        return Publish::from_json(text).map(PublishRequest::One);
    }
    let elements = serde_json::from_str::<Elements<'_>>(text).map_err(not_json)?;
    check_count(elements.count)?;
    let read = |element: &&RawValue| Publish::from_element(element.get());
    Ok(PublishRequest::Many(
        elements.first.iter().map(read).collect(),
    ))
}

fn ndjson_request(body: &[u8]) -> Result<PublishRequest, Problem> {
    check_count(lines_count(body))?;
    let read = |line| Publish::from_element(utf8(line)?);
    Ok(PublishRequest::Many(lines(body).map(read).collect()))
}

/// The lines that hold something; a carriage return at the end is white space for JSON.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
}

fn lines_count(body: &[u8]) -> usize {
    lines(body).count()
}

fn is_json(line: &[u8]) -> bool {
    utf8(line).is_ok_and(|line| serde_json::from_str::<&RawValue>(line).is_ok())
}

fn check_count(count: usize) -> Result<(), Problem> {
    match count {
        0 => Err(bad("there is nothing to publish")),
        1..=PublishRequest::ELEMENTS_MAX => Ok(()),
        _ => Err(Problem::new(
            Code::TooLarge,
            format!(
                "{count} elements; at most {} go together",
                PublishRequest::ELEMENTS_MAX
            ),
        )),
    }
}

fn topic_member(raw: &RawValue) -> Result<Topic, Problem> {
    let bad_topic = |message: String| Problem::new(Code::BadTopic, message);
    let text = string("topic", raw).map_err(|problem| bad_topic(problem.message))?;
    Topic::parse(&text).map_err(|error| bad_topic(error.to_string()))
}

fn topics_member(raw: &RawValue) -> Result<Vec<Result<Topic, Problem>>, Problem> {
    let topics: Elements<'_> =
        serde_json::from_str(raw.get()).map_err(|_| bad("\"topics\" takes an array of topics"))?;
    check_count(topics.count)?;
    Ok(topics
        .first
        .iter()
        .map(|topic| topic_member(topic))
        .collect())
}

/// The value of the header `Idempotency-Key` and of the member `key`.
///
/// # Errors
/// It is empty, longer than [`KEY_MAX_BYTES`], or not printable ASCII.
pub fn idempotency_key(text: &str) -> Result<&str, Problem> {
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if text.is_empty() || text.len() > KEY_MAX_BYTES || !printable {
        return Err(bad(format!(
            "a key has 1 to {KEY_MAX_BYTES} bytes of printable ASCII"
        )));
    }
    Ok(text)
}

/// The longest idempotency key, in bytes.
pub const KEY_MAX_BYTES: usize = 200;

/// The answer to one published event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishAnswer {
    /// The event's id: the cursor just after it.
    pub id: String,
    /// Where it was published.
    pub topic: String,
    /// Whether the key was known, so that this is the first event's id.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// One element of the answer to an array, to NDJSON, or to `topics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PublishElement {
    /// It was published.
    Answer(PublishAnswer),
    /// It was not.
    Problem(Problem),
}

impl From<Result<PublishAnswer, Problem>> for PublishElement {
    fn from(result: Result<PublishAnswer, Problem>) -> Self {
        match result {
            Ok(answer) => Self::Answer(answer),
            Err(problem) => Self::Problem(problem),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("not JSON: byte {} is not UTF-8", error.valid_up_to());
        Problem::new(Code::BadJson, message)
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn not_json(error: serde_json::Error) -> Problem {
    Problem::new(Code::BadJson, format!("not JSON: {error}"))
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests;
