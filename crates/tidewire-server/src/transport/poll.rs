//! Long-poll: `GET /poll`.
//!
//! Shape: one read with a time limit, written as one JSON object. The server keeps nothing between two polls.
//! Bound: `wait` and `limit` of the request, `delivery_max_bytes`.
//! Failure: a read that fails is 503 `unavailable`, never an empty success. While draining a held poll answers at once,
//! with its cursor. A token that expires meanwhile ends it with 401; whoever is kicked gets 403, or 401 where his credentials
//! were revoked.
//! Source: protocol section 3.2.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method,
    header::{CONTENT_TYPE, ETAG},
    request::Parts,
};
use tidewire_bus::{Batch, SessionOptions};
use tidewire_protocol::{CloseReason, Code, Pattern, StartAt, encode_poll};

use super::{Opening, Seat, Transport, options};
use crate::{
    auth::{Expiry, Shown},
    error::Refusal,
    gateway::Shared,
    listener::Peer,
};

/// A poll that may be held: all that is kept of its request.
pub(crate) struct Held {
    gateway: Shared,
    seat: Seat,
    topics: Vec<Pattern>,
    start: StartAt,
    options: SessionOptions,
    wait: Duration,
    expiry: Expiry,
}

/// `GET /poll`, as far as it can be served at once.
///
/// # Errors
/// The answer, where nothing is to be read: a refusal, or the first cursor.
pub(crate) fn open(
    gateway: &Shared,
    peer: &Peer,
    request: &Request,
) -> Result<Held, Box<Response>> {
    let opening =
        Opening::read(gateway, Shown::of(request), request.uri().query()).map_err(refuse)?;
    opening.require_topics().map_err(refuse)?;
    hold(gateway, peer, request.method(), opening)
}

/// The same where the user's backend is asked before.
pub(crate) async fn serve_asked(gateway: Shared, peer: Peer, request: Parts) -> Response {
    let held = Box::pin(open_asked(&gateway, &peer, &request)).await;
    // Not held while the poll is.
    drop((gateway, peer, request));
    match held {
        Ok(held) => held.answer().await,
        Err(answer) => *answer,
    }
}

async fn open_asked(gateway: &Shared, peer: &Peer, request: &Parts) -> Result<Held, Box<Response>> {
    let headers = &request.headers;
    let mut opening =
        Opening::read(gateway, Shown::of_parts(request), request.uri.query()).map_err(refuse)?;
    opening
        .query
        .require_topic()
        .map_err(|error| refuse(error.into()))?;
    if peer.over_capacity {
        return Err(refuse(Refusal::over_capacity()));
    }
    // The server keeps nothing between two polls, so a poll has no name to tell.
    let who = (Transport::Poll, None);
    opening
        .ask_connect(gateway, peer, who, headers)
        .await
        .map_err(refuse)?;
    opening.require_topics().map_err(refuse)?;
    opening
        .ask_subscribe(gateway, peer, who)
        .await
        .map_err(refuse)?;
    hold(gateway, peer, &request.method, opening)
}

fn refuse(refusal: Refusal) -> Box<Response> {
    Box::new(refusal.into_response())
}

fn hold(
    gateway: &Shared,
    peer: &Peer,
    method: &Method,
    opening: Opening,
) -> Result<Held, Box<Response>> {
    if peer.over_capacity {
        return Err(refuse(Refusal::over_capacity()));
    }
    let start = opening.start();
    if start == StartAt::Now {
        // There is nothing to wait for: whoever begins needs the cursor first.
        return Err(Box::new(empty(&gateway.bus.head().to_string())));
    }
    let seat = Seat::take(gateway, peer, Transport::Poll, &opening.identity)
        .ok_or_else(|| refuse(Refusal::over_capacity()))?;
    Ok(Held {
        gateway: gateway.clone(),
        seat,
        start,
        options: SessionOptions {
            batch_max_events: opening.query.limit as usize,
            ..options(gateway, &opening.query)
        },
        // To HEAD the answer has no body, so there is nothing to wait for either.
        wait: match *method {
            Method::HEAD => Duration::ZERO,
            _ => opening.query.wait,
        },
        expiry: gateway.auth.expiry(&opening.identity),
        topics: opening.query.topics,
    })
}

impl Held {
    /// One read with a time limit.
    pub(crate) async fn answer(self) -> Response {
        let mut session = self.gateway.bus.open(self.options);
        self.seat.reads(session.id(), &self.topics);
        if let Err(error) = session.subscribe(self.topics, self.start).await {
            return Refusal::from(error).into_response();
        }
        let read = tokio::select! {
            biased;
            read = session.next_within(self.expiry.within(self.wait)) => read,
            _ending = self.seat.entry().ended() => Ok(None),
        };
        // Looked at after the read: from the moment that he is kicked nobody gets anything.
        if let Some(reason @ CloseReason::Kicked) = self.seat.entry().ending() {
            let refusal = self.seat.sent_away();
            self.seat.end(reason);
            return refusal.into_response();
        }
        if self.expiry.has_come() {
            self.seat.end(CloseReason::TokenExpired);
            return Refusal::new(Code::Unauthorized, "the token has expired").into_response();
        }
        let response = match read {
            Ok(Some(batch)) => {
                self.seat.delivered(&batch);
                answer(&batch)
            }
            Ok(None) => empty(&session.cursor().to_string()),
            Err(error) => return Refusal::from(error).into_response(),
        };
        self.seat.end(CloseReason::Done);
        response
    }
}

fn answer(batch: &Batch) -> Response {
    let events = batch.events.iter().map(|event| event.json());
    let cursor = batch.cursor.to_string();
    let body = encode_poll(
        &cursor,
        batch.gap.as_ref(),
        events,
        batch.more,
        batch.skipped,
        false,
    );
    with_cursor(body, &cursor)
}

fn empty(cursor: &str) -> Response {
    with_cursor(
        encode_poll(cursor, None, std::iter::empty(), false, 0, false),
        cursor,
    )
}

/// A JSON answer whose cursor stands in the headers too; the history of a topic has the same shape.
pub(crate) fn with_cursor(body: Bytes, cursor: &str) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    // With those that every answer gets: the map does not grow step by step.
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // One text for both. A cursor has only characters that a header may have.
    let tag = Bytes::from(format!("\"{cursor}\""));
    if let Ok(value) = HeaderValue::from_maybe_shared(tag.slice(1..tag.len() - 1)) {
        headers.insert(HeaderName::from_static("tidewire-cursor"), value);
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(tag) {
        headers.insert(ETAG, value);
    }
    response
}

/// Fields of an answer, about.
const HEADERS: usize = 9;
