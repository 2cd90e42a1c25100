//! What a backend is asked.
//!
//! Shape: one JSON object. One about a session says who wants which topics; one about an event has the event's own
//! members. What is not known is left out.
//! Unit: the bytes that are signed and sent.
//! Bound: the topics of a session, the size of an event; headers are bounded by those of a request.
//! Failure: none.
//! Source: protocol document, "Hooks".

use std::{collections::BTreeMap, net::IpAddr};

use bytes::Bytes;
use serde::Serialize;
use tidewire_bus::Append;
use tidewire_protocol::{Pattern, Topic};

use crate::{auth::Identity, transport::Transport};

/// The client that a session is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) transport: Transport,
    pub(crate) address: IpAddr,
    /// As the client is told in `hello`; a poll has none.
    pub(crate) session: Option<&'a str>,
}

/// What is asked about a session.
pub(super) fn of_session(
    hook: &'static str,
    client: Client<'_>,
    topics: &[Pattern],
    headers: BTreeMap<&str, String>,
) -> Bytes {
    let who = Who::of(client);
    let question = OfSession {
        hook,
        who,
        topics,
        headers,
    };
    encoded(&question).into()
}

/// What is asked about an event.
pub(super) fn of_event(
    hook: &'static str,
    identity: &Identity,
    address: IpAddr,
    append: &Append,
) -> Bytes {
    let mut question = encoded(&Front {
        hook,
        subject: identity.subject(),
        address,
        topic: &append.topic,
    });
    // An event's body is its members after the front, closed by `}`: the same bytes as subscribers get.
    question.pop();
    question.extend_from_slice(append.body.as_bytes());
    question.into()
}

#[derive(Serialize)]
struct OfSession<'a> {
    hook: &'static str,
    #[serde(flatten)]
    who: Who<'a>,
    topics: &'a [Pattern],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, String>,
}

/// The members that say who it is about. What is not known is left out.
#[derive(Serialize)]
struct Who<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    address: IpAddr,
}

/// What stands before the members of an event.
#[derive(Serialize)]
struct Front<'a> {
    hook: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    address: IpAddr,
    topic: &'a Topic,
}

impl<'a> Who<'a> {
    fn of(client: Client<'a>) -> Self {
        Self {
            session: client.session,
            transport: client.transport.name(),
            subject: client.identity.subject(),
            token: client.identity.token_id(),
            address: client.address,
        }
    }
}

fn encoded(question: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(question).expect("a question holds only text, lists and maps of text")
}
