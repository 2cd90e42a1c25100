//! Server-sent events: `GET /sse`.
//!
//! Shape: one body that never ends by itself. Each batch of the session is one chunk, so that it is one write; in silence a
//! heartbeat goes out, and also without silence where conflation left something out.
//! Unit: blocks of the WHATWG event stream; the encoder is the protocol crate's.
//! Bound: one batch at a time. While the reader does not read, nothing is taken from the log: its cursor falls behind.
//! Failure: a stream ends cleanly after `bye`; before it begins an error is a problem. A browser's `EventSource` never
//! comes back after 503 or 204, so over capacity it gets 200, `retry:` and `bye` 4100.
//! Source: protocol section 3.1.

use std::{convert::Infallible, time::Instant};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use tidewire_bus::{Batch, ReadError, Session};
use tidewire_protocol::{Bye, CloseReason, Code, Cursor, Hb, Hello, Retry, StartAt, event_stream};

use super::{Opening, Seat, Transport, options, skipped::Skipped};
use crate::{
    auth::{Expiry, Shown},
    drain::{millis, retry_ms},
    error::Refusal,
    gateway::Shared,
    listener::Peer,
};

/// `GET /sse`.
pub(crate) async fn serve(gateway: Shared, peer: Peer, request: Parts) -> Response {
    opened(&gateway, &peer, &request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn opened(gateway: &Shared, peer: &Peer, request: &Parts) -> Result<Response, Refusal> {
    let headers = &request.headers;
    let opening = Opening::read(gateway, Shown::of_parts(request), request.uri.query());
    let mut opening = match opening {
        Ok(opening) => opening,
        // The keys of tokens are not there yet.
        Err(refusal) if refusal.code() == Code::Unavailable => {
            return come_back(headers, CloseReason::GoingAway, refusal);
        }
        Err(refusal) => return Err(refusal),
    };
    if let Some(start) = last_event_id(headers)? {
        opening.query.start = Some(start);
    }
    let mut session = gateway.bus.open(options(gateway, &opening.query));
    if gateway.hooks.is_some() && !peer.over_capacity {
        let asked = Box::pin(ask(gateway, peer, &mut opening, session.id(), headers)).await;
        match asked {
            // The backend may come back, and the stream with it.
            Err(refusal) if refusal.code() == Code::Unavailable => {
                return come_back(headers, CloseReason::GoingAway, refusal);
            }
            asked => asked?,
        }
    } else {
        opening.require_topics()?;
    }
    let Some(seat) = Seat::take(gateway, peer, Transport::Sse, &opening.identity) else {
        let refusal = Refusal::over_capacity();
        return come_back(headers, CloseReason::OverCapacity, refusal);
    };
    let start = opening.start();
    seat.reads(session.id(), &opening.query.topics);
    let subscribed = match session.subscribe(opening.query.topics, start).await {
        Ok(subscribed) => subscribed,
        // The engine may come back, and the stream with it.
        Err(error) => return come_back(headers, broken(&error), Refusal::from(error)),
    };
    tracing::debug!(session = session.id(), address = %peer.address, transport = "sse", "session opened");
    let hello = Hello {
        session: session.id().to_owned(),
        cursor: subscribed.cursor.to_string(),
        resumed: subscribed.resumed,
        heartbeat_ms: millis(gateway.limits.heartbeat),
    };
    let body = Stream {
        next: Next::Hello(hello),
        data_only: opening.query.format_data,
        skipped: Skipped::default(),
        expiry: gateway.auth.expiry(&opening.identity),
        gateway: gateway.clone(),
        session,
        seat,
    };
    Ok(response(Body::from_stream(stream::unfold(
        Some(body),
        step,
    ))))
}

/// Who may, where the user's backend is asked too.
async fn ask(
    gateway: &Shared,
    peer: &Peer,
    opening: &mut Opening,
    session: &str,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    opening.query.require_topic()?;
    let who = (Transport::Sse, Some(session));
    opening.ask_connect(gateway, peer, who, headers).await?;
    opening.require_topics()?;
    opening.ask_subscribe(gateway, peer, who).await
}

/// A stream between two chunks.
struct Stream {
    gateway: Shared,
    session: Session,
    seat: Seat,
    next: Next,
    /// `format=data`: the payload alone.
    data_only: bool,
    /// What conflation left out since the last heartbeat.
    skipped: Skipped,
    expiry: Expiry,
}

/// What the next chunk is.
enum Next {
    Hello(Hello),
    /// At once and in a chunk of its own: some middleboxes hold the first chunk until the second.
    FirstHeartbeat,
    Live,
}

/// One chunk; `None` after `bye`.
async fn step(stream: Option<Stream>) -> Option<(Result<Bytes, Infallible>, Option<Stream>)> {
    let mut stream = stream?;
    let chunk = match std::mem::replace(&mut stream.next, Next::Live) {
        Next::Hello(hello) => {
            stream.next = Next::FirstHeartbeat;
            joined(&[
                event_stream::retry(RETRY_MS),
                event_stream::hello(&hello, &hello.cursor),
            ])
        }
        Next::FirstHeartbeat => stream.heartbeat(),
        Next::Live => match stream.live().await {
            Ok(chunk) => chunk,
            Err(reason) => return Some((Ok(stream.bye(reason)), None)),
        },
    };
    Some((Ok(chunk), Some(stream)))
}

impl Stream {
    async fn live(&mut self) -> Result<Bytes, CloseReason> {
        let heartbeat = self.gateway.limits.heartbeat;
        let due = self.skipped.due(heartbeat);
        let wait = due.map_or(heartbeat, |due| {
            due.saturating_duration_since(Instant::now())
        });
        if wait.is_zero() {
            return Ok(self.heartbeat());
        }
        let read = tokio::select! {
            biased;
            reason = self.seat.entry().ended() => return Err(reason),
            read = self.session.next_within(self.expiry.within(wait)) => read,
        };
        // Looked at again after the read: from the moment that it is to end nothing is delivered.
        if let Some(reason) = self.seat.entry().ending() {
            return Err(reason);
        }
        if self.expiry.has_come() {
            return Err(CloseReason::TokenExpired);
        }
        match read {
            // A long part of the log has nothing for this session: what it says is how far it is.
            Ok(Some(batch)) if batch.events.is_empty() && batch.gap.is_none() => {
                Ok(self.heartbeat())
            }
            Ok(Some(batch)) => Ok(self.batch(&batch)),
            Ok(None) => Ok(self.heartbeat()),
            Err(error) => Err(broken(&error)),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Bytes {
        self.seat.delivered(batch);
        self.skipped.add(batch.skipped, Instant::now());
        let events = if self.data_only {
            batch.events.sse_data()
        } else {
            batch.events.sse()
        };
        match &batch.gap {
            Some(gap) => joined(&[event_stream::gap(gap), events]),
            None => events,
        }
    }

    fn heartbeat(&mut self) -> Bytes {
        event_stream::hb(&Hb {
            cursor: self.session.cursor().to_string(),
            skipped: self.skipped.take(),
            stale: false,
        })
    }

    fn bye(self, reason: CloseReason) -> Bytes {
        self.seat.end(reason);
        bye(reason)
    }
}

/// One chunk of several blocks.
fn joined(blocks: &[Bytes]) -> Bytes {
    let mut chunk = BytesMut::with_capacity(blocks.iter().map(Bytes::len).sum());
    for block in blocks {
        chunk.extend_from_slice(block);
    }
    chunk.freeze()
}

fn bye(reason: CloseReason) -> Bytes {
    let comes_back = reason.retry() != Retry::Never;
    event_stream::bye(&Bye::new(reason, comes_back.then(retry_ms)))
}

/// The engine failed under an open session: it may come back, here or elsewhere.
fn broken(error: &ReadError) -> CloseReason {
    tracing::warn!(%error, "session cannot read");
    CloseReason::GoingAway
}

/// What a reconnecting `EventSource` sends; it wins over the address, which still has the first cursor.
fn last_event_id(headers: &HeaderMap) -> Result<Option<StartAt>, Refusal> {
    let mut values = headers.get_all("last-event-id").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let cursor = value
        .to_str()
        .ok()
        .filter(|_| values.next().is_none())
        .and_then(|text| Cursor::parse(text).ok());
    match cursor {
        Some(cursor) => Ok(Some(StartAt::After(cursor))),
        None => Err(Refusal::new(
            Code::BadCursor,
            "Last-Event-ID: not a cursor that this gateway gave",
        )),
    }
}

/// Refuses a stream that may be opened again later. An `EventSource` comes back only after a 200.
fn come_back(
    headers: &HeaderMap,
    reason: CloseReason,
    refusal: Refusal,
) -> Result<Response, Refusal> {
    let accepts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    if !accepts
        .into_iter()
        .any(|value| value.contains(EVENT_STREAM))
    {
        return Err(refusal);
    }
    let chunk = joined(&[event_stream::retry(RETRY_LATER_MS), bye(reason)]);
    Ok(response(Body::from(chunk)))
}

fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

const EVENT_STREAM: &str = "text/event-stream";
/// How soon a browser comes back after a cut.
const RETRY_MS: u64 = 2000;
/// How soon it comes back when there was no room.
const RETRY_LATER_MS: u64 = 15_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("last-event-id", HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_last_event_id_is_one_cursor_or_an_error() {
        assert_eq!(last_event_id(&headers(&[])).unwrap(), None);
        let cursor = Cursor::parse("k3f9-41042").unwrap();
        assert_eq!(
            last_event_id(&headers(&["k3f9-41042"])).unwrap(),
            Some(StartAt::After(cursor))
        );
        for bad in [
            &["-1"][..],
            &[""],
            &[":"],
            &["now"],
            &["k3f9-41042", "k3f9-41042"],
        ] {
            assert_eq!(
                last_event_id(&headers(bad)).unwrap_err().code(),
                Code::BadCursor,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn without_room_a_native_event_source_gets_a_stream_that_ends() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            come_back(
                &headers,
                CloseReason::OverCapacity,
                Refusal::over_capacity()
            )
            .unwrap_err()
            .code(),
            Code::Unavailable
        );
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let response = come_back(
            &headers,
            CloseReason::OverCapacity,
            Refusal::over_capacity(),
        )
        .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-accel-buffering"], "no");
    }
}
