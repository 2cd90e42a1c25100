//! Reading without a session: what is retained of a topic, and forgetting it.
//!
//! Shape: `GET /topics/{topic}`, `GET` and `DELETE /topics/{topic}/events`.
//! Bound: `limit` of the request (at most 1000 events) in one answer.
//! Failure: a pattern where a topic is wanted is 400 `bad_topic`; a topic that nobody knows is empty; an engine that
//! cannot read is 503.
//! Source: protocol section 5.

use axum::{
    Json,
    extract::{FromRequestParts, Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::Serialize;
use tidewire_bus::HistoryRead;
use tidewire_protocol::{Code, Cursor, HistoryQuery, Pattern, Topic, encode_poll};

use crate::{auth::Identity, error::Refusal, gateway::Shared, transport::poll::with_cursor};

/// The `{topic}` of a path, decoded once.
pub(crate) struct TopicPath(pub(crate) Topic);

impl<S: Send + Sync> FromRequestParts<S> for TopicPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| {
                Refusal::new(
                    Code::BadTopic,
                    "the topic in the path is not percent-encoded UTF-8",
                )
            })?;
        Ok(Self(Topic::parse(&text)?))
    }
}

/// `GET /topics/{topic}`.
pub(crate) async fn topic(
    State(gateway): State<Shared>,
    TopicPath(topic): TopicPath,
    identity: Identity,
) -> Result<Response, Refusal> {
    require_read(&identity, &topic)?;
    let info = gateway.bus.topic(&topic).await?;
    let answer = TopicAnswer {
        topic: &topic,
        retained: info.retained,
        oldest: info.oldest,
        newest: info.newest,
        subscribers: info.subscribers,
    };
    Ok(Json(answer).into_response())
}

/// `GET /topics/{topic}/events`.
pub(crate) async fn history(
    State(gateway): State<Shared>,
    TopicPath(topic): TopicPath,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    require_read(&identity, &topic)?;
    let query = HistoryQuery::parse(query.as_deref().unwrap_or_default())?;
    let page = gateway
        .bus
        .history(HistoryRead {
            topic,
            after: query.after,
            before: query.before,
            limit: query.limit as usize,
            descending: query.descending,
        })
        .await?;
    let cursor = page.cursor.to_string();
    let events = page.events.iter().map(|event| event.json());
    let body = encode_poll(&cursor, page.gap.as_ref(), events, page.more, 0, false);
    Ok(with_cursor(body, &cursor))
}

/// `DELETE /topics/{topic}/events`.
pub(crate) async fn forget(
    State(gateway): State<Shared>,
    TopicPath(topic): TopicPath,
    identity: Identity,
) -> Result<Response, Refusal> {
    if !identity.may_forget(&topic) {
        return Err(identity.refusal());
    }
    gateway.bus.forget(&topic).await?;
    tracing::info!(by = identity.name(), "topic forgotten");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn require_read(identity: &Identity, topic: &Topic) -> Result<(), Refusal> {
    identity.require_subscribe(&[Pattern::from(topic.clone())])
}

/// The members are those of the protocol; an empty topic has no oldest and no newest.
#[derive(Serialize)]
struct TopicAnswer<'a> {
    topic: &'a Topic,
    retained: u64,
    oldest: Option<Cursor>,
    newest: Option<Cursor>,
    subscribers: usize,
}
