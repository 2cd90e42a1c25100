//! Long-poll: `GET /poll`.
//!
//! Shape: one read with a time limit, written as one JSON object. The server keeps nothing between two polls.
//! Bound: `wait` and `limit` of the request, `delivery_max_bytes`.
//! Failure: a read that fails is 503 `unavailable`, never an empty success. While draining a held poll answers at once,
//! with its cursor.
//! Source: protocol section 3.2.

use std::time::Duration;

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method,
    header::{CONTENT_TYPE, ETAG},
};
use tidewire_bus::{Batch, SessionOptions};
use tidewire_protocol::{CloseReason, StartAt, encode_poll};

use super::{Opening, Seat, Transport, options};
use crate::{error::Refusal, gateway::Shared, listener::Peer};

/// `GET /poll`.
pub(crate) async fn serve(
    gateway: &Shared,
    peer: &Peer,
    request: &Request,
) -> Result<Response, Refusal> {
    let mut opening = Opening::read(gateway, request.headers(), request.uri().query())?;
    opening.require_topics()?;
    if opening.start() == StartAt::Now {
        // There is nothing to wait for: whoever begins needs the cursor first.
        return Ok(empty(&gateway.bus.head().to_string()));
    }
    if *request.method() == Method::HEAD {
        // The answer has no body, so there is nothing to wait for either.
        opening.query.wait = Duration::ZERO;
    }
    let seat = Seat::take(gateway, peer, Transport::Poll).ok_or_else(Refusal::over_capacity)?;
    let response = hold(gateway, opening, &seat).await?;
    seat.end(CloseReason::Done);
    Ok(response)
}

async fn hold(gateway: &Shared, opening: Opening, seat: &Seat) -> Result<Response, Refusal> {
    let start = opening.start();
    let options = SessionOptions {
        batch_max_events: opening.query.limit as usize,
        ..options(gateway, &opening.query)
    };
    let mut session = gateway.bus.open(options);
    session.subscribe(opening.query.topics, start).await?;
    let batch = tokio::select! {
        biased;
        batch = session.next_within(opening.query.wait) => batch?,
        () = gateway.drain.begun() => None,
    };
    Ok(match batch {
        Some(batch) => {
            seat.delivered(&batch);
            answer(&batch)
        }
        None => empty(&session.cursor().to_string()),
    })
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
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A cursor has only characters that a header may have.
    if let Ok(value) = HeaderValue::from_str(cursor) {
        headers.insert(HeaderName::from_static("tidewire-cursor"), value);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("\"{cursor}\"")) {
        headers.insert(ETAG, value);
    }
    response
}
