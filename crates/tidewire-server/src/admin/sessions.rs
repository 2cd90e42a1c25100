//! Who is connected: `GET /admin/sessions`.
//!
//! Shape: pages in the order of opening; `after` is the `next` of the page before.
//! Unit: open sessions of all transports; a poll is one while it is held.
//! Bound: `limit`, 1 to 1000, 100 by default.
//! Failure: a bad value is 400 and named. Sessions come and go between two pages; one that stays is in exactly one.
//! Source: protocol document, "The admin port".

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use tidewire_protocol::{Code, Pattern};

use crate::{error::Refusal, gateway::Shared, sessions::Entry, transport::Transport};

/// What is asked for. Unknown parameters are refused: a filter that was mistyped would show everybody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    subject: Option<String>,
    transport: Option<String>,
    limit: Option<usize>,
    after: Option<u64>,
}

/// One page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    sessions: Vec<Row>,
    /// The `after` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One session.
#[derive(Debug, Serialize)]
struct Row {
    session: String,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    address: String,
    since: u64,
    topics: Box<[Pattern]>,
}

/// `GET /admin/sessions`
pub(crate) async fn list(
    State(gateway): State<Shared>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Page>, Refusal> {
    let Query(wanted) =
        wanted.map_err(|rejection| Refusal::new(Code::BadRequest, rejection.body_text()))?;
    let limit = wanted.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Refusal::new(
            Code::BadRequest,
            "limit: a count from 1 to 1000",
        ));
    }
    let transport = wanted.transport.as_deref().map(transport).transpose()?;
    let fits = |entry: &Entry| {
        let subject = wanted.subject.as_deref();
        transport.is_none_or(|transport| transport == entry.transport)
            && (subject.is_none() || entry.is(|identity, _| identity.subject() == subject))
    };
    let mut sessions = Vec::new();
    let mut after = wanted.after.unwrap_or(0);
    loop {
        let page = gateway.open_sessions.page(after);
        let Some(last) = page.last() else {
            return Ok(Json(Page {
                sessions,
                next: None,
            }));
        };
        for entry in &page {
            if fits(entry) {
                if sessions.len() == limit {
                    // One more fits, so there is a next page; it begins behind the one that was looked at last.
                    return Ok(Json(Page {
                        sessions,
                        next: Some(after.to_string()),
                    }));
                }
                sessions.push(row(entry));
            }
            after = entry.number();
        }
        after = last.number();
    }
}

fn row(entry: &Entry) -> Row {
    let seen = entry.seen();
    Row {
        session: seen.session,
        transport: entry.transport.name(),
        subject: seen.identity.subject().map(str::to_owned),
        token: seen.identity.token_id().map(str::to_owned),
        address: entry.peer.address.to_string(),
        since: seen.since_ms,
        topics: seen.topics,
    }
}

fn transport(name: &str) -> Result<Transport, Refusal> {
    Transport::ALL
        .into_iter()
        .find(|transport| transport.name() == name)
        .ok_or_else(|| Refusal::new(Code::BadRequest, "transport: websocket, sse or poll"))
}

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
