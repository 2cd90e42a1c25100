//! The poll answer, also of `/topics/{topic}/events`.
//!
//! Shape: `{"cursor":…,"gap":{…},"events":[…],"more":false}`; the events are the same bytes as everywhere.
//! Bound: `limit` events, kept by who collects them.
//! Failure: encoding cannot fail; a client's reading fails on what is not such an answer.
//! Source: protocol sections 3.2, 3.3 (`skipped`, `stale`) and 5.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Gap,
    text::{is_false, is_zero},
};

/// Encodes an answer; `gap` is left out when there is none, `skipped` when 0, `stale` when false.
pub fn encode_poll<'a>(
    cursor: &str,
    gap: Option<&Gap>,
    events: impl Iterator<Item = &'a Bytes> + Clone,
    more: bool,
    skipped: u64,
    stale: bool,
) -> Bytes {
    let events_bytes: usize = events.clone().map(|event| event.len() + 1).sum();
    let mut answer = Vec::with_capacity(AROUND_BYTES + events_bytes);
    write(&mut answer, &Front { cursor, gap });
    answer.pop();
    answer.extend_from_slice(b",\"events\":[");
    for (index, event) in events.enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        answer.extend_from_slice(event);
    }
    answer.extend_from_slice(b"],");
    let rest = answer.len();
    write(
        &mut answer,
        &Back {
            more,
            skipped,
            stale,
        },
    );
    // Its members go on where the events end.
    answer.remove(rest);
    answer.into()
}

/// What stands before the events.
#[derive(Serialize)]
struct Front<'a> {
    cursor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<&'a Gap>,
}

/// What stands after them.
#[derive(Serialize)]
struct Back {
    more: bool,
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
    #[serde(skip_serializing_if = "is_false")]
    stale: bool,
}

fn write(answer: &mut Vec<u8>, members: &impl Serialize) {
    serde_json::to_writer(answer, members).expect("text, numbers and flags are always JSON");
}

/// What stands around the events, without a gap: so much is reserved.
const AROUND_BYTES: usize = 128;

/// A poll answer as a client got it.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceivedPoll {
    /// Where to go on: opaque, to be given back as it is.
    pub cursor: String,
    /// What was lost before these events.
    #[serde(default)]
    pub gap: Option<Gap>,
    /// The events as they stand in the answer.
    pub events: Vec<Box<RawValue>>,
    /// Whether there is more to fetch at once.
    #[serde(default)]
    pub more: bool,
    /// How many events conflation left out.
    #[serde(default)]
    pub skipped: u64,
    /// Whether the node has lost its engine.
    #[serde(default)]
    pub stale: bool,
}

impl ReceivedPoll {
    /// Reads an answer; members that are not known are ignored.
    ///
    /// # Errors
    /// It is not a poll answer.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GapReason;

    #[test]
    fn an_empty_answer_has_three_members() {
        let answer = encode_poll("k3f9-41042", None, [].iter(), false, 0, false);
        assert_eq!(
            answer,
            r#"{"cursor":"k3f9-41042","events":[],"more":false}"#
        );
    }

    #[test]
    fn a_client_reads_what_the_gateway_wrote() {
        let gap = Gap {
            topics: vec!["a.>".into()],
            after: "e-11".into(),
            cursor: "e-15".into(),
            reason: GapReason::Evicted,
        };
        let events = [r#"{"id":"e-16","data":1e400}"#, "{}"].map(Bytes::from);
        let answer = encode_poll("e-17", Some(&gap), events.iter(), true, 3, true);
        let text = std::str::from_utf8(&answer).unwrap();
        let received = ReceivedPoll::parse(text).unwrap();
        assert_eq!(received.cursor, "e-17");
        assert_eq!(received.gap, Some(gap));
        assert_eq!(received.events[0].get(), r#"{"id":"e-16","data":1e400}"#);
        assert_eq!(received.events.len(), 2);
        assert!(received.more && received.stale && received.skipped == 3);
        assert!(ReceivedPoll::parse("{}").is_err());
    }
}
