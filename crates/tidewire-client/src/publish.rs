//! Publishing over REST.
//!
//! Shape: an event or a batch becomes one POST that is repeated until it is answered.
//! Unit: one key for each event, made once and kept over all repeats, so that a repeat stores nothing twice.
//! Bound: `BATCH_MAX_EVENTS` and `BATCH_MAX_BYTES` a request, `ATTEMPT_LIMIT` a try, the client's deadline in all.
//! Failure: no connection, 429 and 5xx are repeated after a pause; at the deadline it is unknown whether it was stored.
//! Source: protocol section 4.

use std::{ops::Range, time::Duration};

use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tidewire_protocol::{PublishAnswer, PublishElement, Retry};
use tokio::time::{Instant, sleep};

use crate::{backoff::Backoff, client::Client, error::ClientError};

/// An event to publish.
#[derive(Debug, Clone, Serialize)]
pub struct NewEvent {
    topic: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    data: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl NewEvent {
    /// An event with any value as its data.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json(
        topic: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> Result<NewEvent, serde_json::Error> {
        Ok(NewEvent::raw(topic, to_raw_value(data)?))
    }

    /// An event whose data is this JSON text, kept as it stands.
    pub fn raw(topic: impl Into<String>, data: Box<RawValue>) -> NewEvent {
        NewEvent {
            topic: topic.into(),
            event_type: None,
            data,
            key: None,
        }
    }

    /// An event whose data is `text` as JSON if it is JSON, else as a string.
    pub fn text(topic: impl Into<String>, text: &str) -> NewEvent {
        let data = serde_json::from_str(text)
            .or_else(|_| to_raw_value(text))
            .expect("text can be written as a JSON string");
        NewEvent::raw(topic, data)
    }

    /// Sets the event's type.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<String>) -> NewEvent {
        self.event_type = Some(event_type.into());
        self
    }

    /// Sets the idempotency key. Without one, each call of `publish` makes one of its own.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> NewEvent {
        self.key = Some(key.into());
        self
    }
}

impl Client {
    /// Publishes one event and waits until it is as durable as the gateway promises.
    ///
    /// # Errors
    /// What cannot get better by repeating; [`ClientError::GaveUp`] at the deadline.
    pub async fn publish(&self, event: &NewEvent) -> Result<PublishAnswer, ClientError> {
        let mut event = event.clone();
        event.key.get_or_insert_with(new_key);
        self.post(&body(&event)).await
    }

    /// Publishes a batch in its order; one outcome for each event, in the same order. One that is refused
    /// loses none of the others.
    ///
    /// An event that is refused for a moment (rate, engine) is repeated, and may then come after later ones.
    ///
    /// # Errors
    /// As for [`Client::publish`]; outcomes that were known by then are lost, a repeat with keys finds them again.
    pub async fn publish_all(
        &self,
        events: &[NewEvent],
    ) -> Result<Vec<PublishElement>, ClientError> {
        let key = new_key();
        let bodies: Vec<String> = events
            .iter()
            .enumerate()
            .map(|(index, event)| {
                let mut event = event.clone();
                event.key.get_or_insert_with(|| format!("{key}-{index}"));
                body(&event)
            })
            .collect();
        let mut outcomes = Vec::with_capacity(events.len());
        for batch in batches(&bodies) {
            outcomes.extend(self.post_batch(&bodies[batch]).await?);
        }
        Ok(outcomes)
    }

    async fn post_batch(&self, bodies: &[String]) -> Result<Vec<PublishElement>, ClientError> {
        let deadline = Instant::now() + self.publish_deadline();
        let mut backoff = Backoff::default();
        let mut outcomes: Vec<Option<PublishElement>> = vec![None; bodies.len()];
        loop {
            let open: Vec<usize> = (0..bodies.len())
                .filter(|&index| outcomes[index].as_ref().is_none_or(is_passing))
                .collect();
            if open.is_empty() {
                break;
            }
            let tried_before = outcomes.iter().any(Option::is_some);
            if tried_before {
                let pauses = outcomes.iter().flatten().map(retry_after);
                let wait = backoff.next(pauses.max().unwrap_or_default(), rand::random());
                if Instant::now() + wait > deadline {
                    break;
                }
                sleep(wait).await;
            }
            let array: Vec<&str> = open.iter().map(|&index| bodies[index].as_str()).collect();
            let answers: Vec<PublishElement> = self.post(&format!("[{}]", array.join(","))).await?;
            if answers.len() != open.len() {
                return Err(ClientError::Protocol(
                    "the answer has not one element for each event".into(),
                ));
            }
            for (index, answer) in open.into_iter().zip(answers) {
                outcomes[index] = Some(answer);
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Posts until there is an answer that repeating would not change.
    async fn post<T: for<'de> Deserialize<'de>>(&self, body: &str) -> Result<T, ClientError> {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let left = self.publish_deadline().saturating_sub(start.elapsed());
            let error = match self.post_once(body, left.min(ATTEMPT_LIMIT)).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(error) => error,
            };
            let wait = backoff.next(error.retry_after(), rand::random());
            let waited = start.elapsed();
            if waited + wait >= self.publish_deadline() {
                let last = Box::new(error);
                return Err(ClientError::GaveUp { waited, last });
            }
            tracing::debug!(%error, ?wait, "publish is repeated");
            sleep(wait).await;
        }
    }

    async fn post_once<T: for<'de> Deserialize<'de>>(
        &self,
        body: &str,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let answer = self
            .http()
            .post(self.gateway().url("publish"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned())
            .timeout(limit)
            .send()
            .await
            .map_err(|error| ClientError::from_http(&error))?;
        if !answer.status().is_success() {
            return Err(ClientError::from_answer(answer).await);
        }
        let text = answer
            .bytes()
            .await
            .map_err(|error| ClientError::from_http(&error))?;
        serde_json::from_slice(&text).map_err(|error| ClientError::Protocol(error.to_string()))
    }
}

/// A refusal that a repeat may turn.
fn is_passing(outcome: &PublishElement) -> bool {
    match outcome {
        PublishElement::Answer(_) => false,
        PublishElement::Problem(problem) => matches!(problem.status(), 408 | 429 | 500..=599),
    }
}

fn retry_after(outcome: &PublishElement) -> Duration {
    match outcome {
        PublishElement::Answer(_) => Duration::ZERO,
        PublishElement::Problem(problem) => {
            Duration::from_secs(problem.retry_after_s.unwrap_or_default())
        }
    }
}

fn body(event: &NewEvent) -> String {
    serde_json::to_string(event).expect("an event holds text and JSON that was written before")
}

/// 128 random bits.
fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The bounds of the requests that carry these events, in order. One event always fits.
fn batches(bodies: &[String]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (index, body) in bodies.iter().enumerate() {
        let full = index - first == BATCH_MAX_EVENTS || bytes + body.len() > BATCH_MAX_BYTES;
        if full && index > first {
            batches.push(first..index);
            (first, bytes) = (index, 0);
        }
        bytes += body.len() + 1;
    }
    if first < bodies.len() {
        batches.push(first..bodies.len());
    }
    batches
}

/// Protocol section 4: more is 413.
const BATCH_MAX_EVENTS: usize = 1000;
/// Three quarters of the gateway's default `batch_max_bytes`.
const BATCH_MAX_BYTES: usize = 768 * 1024;
/// One try. An answer that takes longer is taken for lost; the key makes a repeat safe.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tidewire_protocol::{Code, Problem};

    use super::*;

    #[test]
    fn an_event_is_written_as_the_protocol_wants_it() {
        let event = NewEvent::json("a.b", &[1.5])
            .unwrap()
            .event_type("t")
            .key("k");
        assert_eq!(
            body(&event),
            r#"{"topic":"a.b","type":"t","data":[1.5],"key":"k"}"#
        );
    }

    #[test]
    fn text_is_taken_as_json_if_it_is_json() {
        let data = |text| NewEvent::text("a", text).data.get().to_owned();
        assert_eq!(data("1e400"), "1e400");
        assert_eq!(data(r#"{"n":1.10}"#), r#"{"n":1.10}"#);
        assert_eq!(data("hello \"you\""), r#""hello \"you\"""#);
        assert_eq!(data(""), r#""""#);
    }

    #[test]
    fn batches_keep_the_order_and_both_bounds() {
        let small = vec![String::from("{}"); BATCH_MAX_EVENTS * 2 + 1];
        assert_eq!(batches(&small), [0..1000, 1000..2000, 2000..2001]);
        let large = vec!["x".repeat(BATCH_MAX_BYTES / 2); 5];
        assert_eq!(batches(&large), [0..1, 1..2, 2..3, 3..4, 4..5]);
        let half = vec!["x".repeat(BATCH_MAX_BYTES / 2 - 1); 4];
        assert_eq!(batches(&half), [0..2, 2..4]);
        let huge = vec!["x".repeat(BATCH_MAX_BYTES * 2)];
        assert_eq!(batches(&huge).len(), 1);
        assert!(batches(&[]).is_empty());
    }

    #[test]
    fn only_what_may_pass_is_repeated() {
        for code in Code::all() {
            let outcome = PublishElement::Problem(Problem::new(code, "no"));
            let passing = matches!(
                code,
                Code::RequestTimeout | Code::RateLimited | Code::Internal | Code::Unavailable
            );
            assert_eq!(is_passing(&outcome), passing, "{code}");
        }
    }

    #[test]
    fn keys_are_fresh_each_time() {
        assert_ne!(new_key(), new_key());
        assert_eq!(new_key().len(), 32);
    }
}
