//! Publishing: `POST /publish`, `POST /topics/{topic}`, and the `publish` frame of a WebSocket.
//!
//! Shape: [`body`] reads the request around it; a body becomes elements; the [`Publisher`] admits or refuses each by itself,
//! appends what it admitted in one go, and gives every element its answer in its place.
//! Bound: `batch_max_bytes` and `body_timeout` for a body, 1000 elements, `event_max_bytes` for an event,
//! `publishes_per_second` for a publisher.
//! Failure: what concerns the whole request is one problem; what concerns an element is a problem in its place, and loses
//! none of the others. An engine without an answer is 503: repeat with the same key.
//! Source: protocol section 4.

mod body;
mod publisher;

use std::net::IpAddr;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri};
use serde::Deserialize;
use tidewire_bus::Appended;
use tidewire_protocol::{
    Code, EventType, OneOrMany, Payload, Problem, Publish, PublishRequest, Topic,
};

use self::publisher::{Key, Publisher};
use crate::{
    auth::Identity,
    error::Refusal,
    gateway::{Gateway, Shared},
    listener::Peer,
    read::TopicPath,
};

/// `POST /publish`.
pub(crate) async fn many(
    State(gateway): State<Shared>,
    Extension(peer): Extension<Peer>,
    identity: Result<Identity, Refusal>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async { publish_body(&gateway, &peer, &identity?, &headers, body).await };
    answer
        .await
        .unwrap_or_else(|refusal| refused(&gateway, refusal))
}

/// `POST /topics/{topic}`: the body is the payload.
pub(crate) async fn to_topic(
    State(gateway): State<Shared>,
    Extension(peer): Extension<Peer>,
    topic: Result<TopicPath, Refusal>,
    identity: Result<Identity, Refusal>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let TopicPath(topic) = topic?;
        publish_payload(&gateway, &peer, &identity?, topic, &uri, &headers, body).await
    };
    answer
        .await
        .unwrap_or_else(|refusal| refused(&gateway, refusal))
}

/// A `publish` frame, which has one topic.
pub(crate) async fn from_frame(
    gateway: &Gateway,
    identity: &Identity,
    address: IpAddr,
    publish: Publish,
) -> Result<Appended, Refusal> {
    let answer = async {
        let OneOrMany::One(topic) = publish.topics else {
            return Err(Refusal::new(
                Code::BadRequest,
                "a publish frame has one topic",
            ));
        };
        let publisher = Publisher::new(gateway, identity, address);
        let event_type = publish.event_type.as_ref();
        let append = publisher.admit(
            topic,
            event_type,
            &publish.payload,
            publish.key.map(Key::own),
        )?;
        publisher.append_one(append).await
    };
    let answer = answer.await;
    if let Err(refusal) = &answer {
        gateway.metrics.publish_refused(refusal.code());
    }
    answer
}

async fn publish_body(
    gateway: &Gateway,
    peer: &Peer,
    identity: &Identity,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    body::require_any_right(identity)?;
    let key = body::key(headers)?;
    let text = body::read(gateway, headers, body).await?;
    let publisher = Publisher::new(gateway, identity, peer.address.ip());
    let numbered = |key: Option<&String>, index| key.map(|key| Key::of_element(key, index));
    let wanted = match PublishRequest::parse(body::content_type(headers)?, &text)? {
        PublishRequest::One(publish) => match publish.topics {
            OneOrMany::One(topic) => {
                let key = publish.key.or(key).map(Key::own);
                let append =
                    publisher.admit(topic, publish.event_type.as_ref(), &publish.payload, key)?;
                return publisher.answer_one(append).await;
            }
            OneOrMany::Many(topics) => {
                let admit = |(index, topic): (usize, Result<Topic, Problem>)| {
                    let key = numbered(publish.key.as_ref().or(key.as_ref()), index);
                    publisher.admit(topic?, publish.event_type.as_ref(), &publish.payload, key)
                };
                topics.into_iter().enumerate().map(admit).collect()
            }
        },
        PublishRequest::Many(elements) => {
            let admit = |(index, element): (usize, Result<Publish, Problem>)| {
                let publish = element?;
                let OneOrMany::One(topic) = publish.topics else {
                    return Err(Refusal::new(Code::BadRequest, "an element has one topic"));
                };
                let own = publish.key.map(Key::own);
                let key = own.or_else(|| numbered(key.as_ref(), index));
                publisher.admit(topic, publish.event_type.as_ref(), &publish.payload, key)
            };
            elements.into_iter().enumerate().map(admit).collect()
        }
    };
    let answers = publisher.append_all(wanted).await;
    Ok(Json(answers).into_response())
}

async fn publish_payload(
    gateway: &Gateway,
    peer: &Peer,
    identity: &Identity,
    topic: Topic,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    body::require_any_right(identity)?;
    let key = body::key(headers)?;
    let event_type = type_of(uri)?;
    let publisher = Publisher::new(gateway, identity, peer.address.ip());
    // Asked before the body is read, so that nobody sends a megabyte for nothing.
    publisher.require_right(&topic)?;
    let bytes = body::read(gateway, headers, body).await?;
    let payload = Payload::from_content(body::content_type(headers)?, &bytes)?;
    let append = publisher.admit(topic, event_type.as_ref(), &payload, key.map(Key::own))?;
    publisher.answer_one(append).await
}

/// `?type=` of `POST /topics/{topic}`; other parameters are ignored.
fn type_of(uri: &Uri) -> Result<Option<EventType>, Refusal> {
    #[derive(Deserialize)]
    struct TypeQuery {
        r#type: Option<String>,
    }
    let Query(query) = Query::<TypeQuery>::try_from_uri(uri).map_err(|_| {
        Refusal::new(
            Code::BadRequest,
            "type: give it once, as percent-encoded UTF-8",
        )
    })?;
    Ok(query
        .r#type
        .map(|text| EventType::parse(&text))
        .transpose()?)
}

fn refused(gateway: &Gateway, refusal: Refusal) -> Response {
    gateway.metrics.publish_refused(refusal.code());
    refusal.into_response()
}
