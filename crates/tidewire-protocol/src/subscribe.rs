//! What a subscriber asks for: the query parameters of `/ws`, `/sse` and `/poll` as one value, and those of
//! `/topics/{topic}/events`.
//!
//! Shape: every parameter is validated on every transport, also where it has no meaning there.
//! Unit: `wait` in seconds, fractions allowed.
//! Bound: `topics_max`, [`StartAt::LAST_MAX`], [`SubscribeQuery::WAIT_MAX`], [`SubscribeQuery::LIMIT_MAX`],
//! [`SubscribeQuery::PRESENCE_DATA_MAX_BYTES`]. Beyond a bound it is refused, never cut.
//! Failure: [`QueryError`].
//! Source: protocol sections 3, 3.2 and 5.

use std::{fmt, time::Duration};

use serde_json::value::RawValue;

use crate::{
    Cursor, Pattern, QueryError, StartAt,
    query::{Parameters, cursor, number, word},
};

/// The query parameters of `/ws`, `/sse` and `/poll`.
#[derive(Clone)]
pub struct SubscribeQuery {
    /// What to subscribe to, each once, in the order given; may be empty.
    pub topics: Vec<Pattern>,
    /// Where to begin; `None` when neither `after` nor `last` was given.
    pub start: Option<StartAt>,
    /// Whether a session that has fallen behind wants only the newest event of each topic.
    pub conflate: bool,
    /// Whether this session is a member of its exact topics while it lasts.
    pub presence: bool,
    /// JSON that is shown with the member.
    pub presence_data: Option<Box<RawValue>>,
    /// A single-use ticket.
    pub ticket: Option<String>,
    /// How long a poll waits when nothing is there.
    pub wait: Duration,
    /// How many events a poll answer has at most.
    pub limit: u32,
    /// Whether an SSE stream carries the payload alone.
    pub format_data: bool,
}

impl SubscribeQuery {
    /// How long a poll waits by default.
    pub const WAIT_DEFAULT: Duration = Duration::from_secs(25);
    /// The longest wait of a poll: shorter than the minute at which many proxies cut.
    pub const WAIT_MAX: Duration = Duration::from_secs(55);
    /// How many events an answer has by default.
    pub const LIMIT_DEFAULT: u32 = 100;
    /// The most events in one answer.
    pub const LIMIT_MAX: u32 = 1000;
    /// The largest `presence_data`, in bytes.
    pub const PRESENCE_DATA_MAX_BYTES: usize = 1024;

    /// Reads the part of the address after `?`.
    ///
    /// # Errors
    /// The first parameter that does not fit. A missing `topic` is none: see
    /// [`require_topic`](Self::require_topic).
    pub fn parse(query: &str, topics_max: usize) -> Result<Self, QueryError> {
        let mut read = Self::default();
        for parameter in Parameters::new(query, KNOWN, "topic") {
            let (name, value) = parameter?;
            match name {
                "topic" => read.add_topic(&value, topics_max)?,
                "after" => read.start_at(StartAt::from_after(&value).map_err(|_| {
                    QueryError::BadCursor {
                        parameter: "after",
                        accepted: "takes a cursor, \"now\" or \"start\"",
                    }
                })?)?,
                "last" => read.start_at(match number(name, &value, 0, StartAt::LAST_MAX)? {
                    0 => StartAt::Now,
                    last => StartAt::Last(last),
                })?,
                "conflate" => read.conflate = word(name, &value, &[("latest", true)])?,
                "presence" => read.presence = word(name, &value, &[("1", true), ("0", false)])?,
                "presence_data" => read.presence_data = Some(presence_data(&value)?),
                "ticket" if value.is_empty() => return Err(QueryError::bad(name, "is empty")),
                "ticket" => read.ticket = Some(value.into_owned()),
                "wait" => read.wait = wait(&value)?,
                "limit" => read.limit = number(name, &value, 1, Self::LIMIT_MAX)?,
                _ => read.format_data = word(name, &value, &[("data", true), ("event", false)])?,
            }
        }
        Ok(read)
    }

    /// For `/sse` and `/poll`, which cannot subscribe later.
    ///
    /// # Errors
    /// There is no topic.
    pub fn require_topic(&self) -> Result<(), QueryError> {
        if self.topics.is_empty() {
            return Err(QueryError::bad(
                "topic",
                "is missing: give one topic or pattern, or several",
            ));
        }
        Ok(())
    }

    fn add_topic(&mut self, value: &str, topics_max: usize) -> Result<(), QueryError> {
        let pattern = Pattern::parse(value).map_err(|source| QueryError::BadTopic {
            parameter: "topic",
            source,
        })?;
        if self.topics.contains(&pattern) {
            return Ok(());
        }
        if self.topics.len() == topics_max {
            return Err(QueryError::bad(
                "topic",
                format!("stands more than {topics_max} times"),
            ));
        }
        self.topics.push(pattern);
        Ok(())
    }

    fn start_at(&mut self, start: StartAt) -> Result<(), QueryError> {
        if self.start.replace(start).is_some() {
            return Err(QueryError::bad(
                "last",
                "stands beside \"after\": give one of them",
            ));
        }
        Ok(())
    }
}

impl Default for SubscribeQuery {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            start: None,
            conflate: false,
            presence: false,
            presence_data: None,
            ticket: None,
            wait: Self::WAIT_DEFAULT,
            limit: Self::LIMIT_DEFAULT,
            format_data: false,
        }
    }
}

/// A ticket stays out of every log.
impl fmt::Debug for SubscribeQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeQuery")
            .field("topics", &self.topics)
            .field("start", &self.start)
            .field("wait", &self.wait)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The query parameters of `GET /topics/{topic}/events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only events after this one; `None` for the oldest retained.
    pub after: Option<Cursor>,
    /// Only events before this one, which is left out itself; `None` for the newest.
    pub before: Option<Cursor>,
    /// How many events the answer has at most.
    pub limit: u32,
    /// Newest first.
    pub descending: bool,
}

impl HistoryQuery {
    /// Reads the part of the address after `?`.
    ///
    /// # Errors
    /// The first parameter that does not fit.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let mut read = Self {
            after: None,
            before: None,
            limit: SubscribeQuery::LIMIT_DEFAULT,
            descending: false,
        };
        for parameter in Parameters::new(query, &["after", "before", "limit", "order"], "") {
            let (name, value) = parameter?;
            match (name, &*value) {
                // The words of the other routes, where they mean what is the default here.
                ("after", "start") | ("before", "now") => {}
                ("after", _) => {
                    read.after = Some(cursor(name, &value, "takes a cursor or \"start\"")?);
                }
                ("before", _) => {
                    read.before = Some(cursor(name, &value, "takes a cursor or \"now\"")?);
                }
                ("limit", _) => read.limit = number(name, &value, 1, SubscribeQuery::LIMIT_MAX)?,
                _ => read.descending = word(name, &value, &[("asc", false), ("desc", true)])?,
            }
        }
        Ok(read)
    }
}

/// Seconds in plain decimal digits: no sign, no exponent, no `inf`.
fn wait(value: &str) -> Result<Duration, QueryError> {
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = value.parse::<f64>().ok().filter(|_| plain);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|wait| *wait <= SubscribeQuery::WAIT_MAX)
        .ok_or_else(|| QueryError::bad("wait", "takes seconds from 0 to 55, fractions allowed"))
}

fn presence_data(value: &str) -> Result<Box<RawValue>, QueryError> {
    let accepted = "takes JSON of at most 1024 bytes";
    if value.len() > SubscribeQuery::PRESENCE_DATA_MAX_BYTES {
        return Err(QueryError::bad("presence_data", accepted));
    }
    serde_json::from_str(value)
        .map_err(|error| QueryError::bad("presence_data", format!("{accepted}: {error}")))
}

const KNOWN: &[&str] = &[
    "topic",
    "after",
    "last",
    "conflate",
    "presence",
    "presence_data",
    "ticket",
    "wait",
    "limit",
    "format",
];

#[cfg(test)]
mod tests;
