//! WebSocket: `GET /ws`, HTTP/1.1 Upgrade and HTTP/2 extended CONNECT (RFC 8441).
//!
//! Shape: the way to an open connection is here: who asks, for what, the handshake, the session. Then [`connection`] is the
//! loop, [`frames`] answers the client's frames, [`socket`] knows RFC 6455.
//! Bound: a frame of `event_max_bytes` and 16 KiB; `frames_per_second`; `write_timeout`; `auth_timeout`.
//! Failure: before the 101 a problem; afterwards every end has a close reason, and where it can still be said, `bye` and a
//! Close frame say it.
//! Source: protocol section 3.3.

mod connection;
mod frames;
mod socket;

use std::{net::IpAddr, time::Instant};

use axum::{
    Extension,
    extract::{
        FromRequestParts, Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{ALLOW, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION},
    request::Parts,
};
use tidewire_bus::{Session, Subscribed};
use tidewire_protocol::{CloseReason, Code, Cursor, Pattern, StartAt};
use tracing::Instrument;

use self::{
    connection::Connection,
    socket::{End, Socket},
};
use super::{Opening, Seat, Transport, options, skipped::Skipped};
use crate::{
    auth::Identity, error::Refusal, gateway::Shared, limits::bucket::Bucket, listener::Peer,
    router::wrong_method,
};

/// `GET /ws`, or `CONNECT /ws` over HTTP/2. Whatever is refused is refused before the 101.
pub(crate) async fn serve(
    State(gateway): State<Shared>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Response> {
    let (mut parts, _body) = request.into_parts();
    require_method(&parts).await?;
    let opening = Opening::read(&gateway, &parts.headers, parts.uri.query())
        .map_err(IntoResponse::into_response)?;
    let wanted = Wanted::of(&gateway, opening).map_err(IntoResponse::into_response)?;
    let upgrade = upgrade(&gateway, &mut parts).await?;
    let Some(seat) = Seat::take(&gateway, &peer, Transport::WebSocket) else {
        return Ok(upgrade.on_upgrade(move |socket| turn_away(gateway, socket)));
    };
    let prepared = Prepared::new(gateway, wanted, peer.address.ip())
        .await
        .map_err(IntoResponse::into_response)?;
    let span = tracing::debug_span!("session", id = prepared.session.id(), transport = "websocket", address = %peer.address);
    Ok(upgrade.on_upgrade(move |socket| prepared.connect(socket, seat).run().instrument(span)))
}

async fn require_method(parts: &Parts) -> Result<(), Response> {
    if parts.method != Method::GET && parts.method != Method::CONNECT {
        return Err(([(ALLOW, "GET")], wrong_method().await).into_response());
    }
    Ok(())
}

/// The handshake of every WebSocket, with the bounds of every WebSocket.
async fn upgrade(gateway: &Shared, parts: &mut Parts) -> Result<WebSocketUpgrade, Response> {
    if parts.version <= Version::HTTP_11 && !has_good_key(&parts.headers) {
        return Err(no_upgrade(
            "Sec-WebSocket-Key is missing or not 16 bytes in base64",
        ));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
        .await
        .map_err(|rejection| no_upgrade(&rejection.body_text()))?;
    Ok(socket::configure(upgrade, &gateway.limits))
}

/// `GET /echo`, for conformance suites only: every message comes back as it was.
pub(crate) async fn echo(
    State(gateway): State<Shared>,
    request: Request,
) -> Result<Response, Response> {
    let (mut parts, _body) = request.into_parts();
    require_method(&parts).await?;
    let upgrade = upgrade(&gateway, &mut parts).await?;
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        let echoing = async {
            // An answer to ping and to close is the library's.
            while let Some(Ok(message)) = socket.recv().await {
                let is_echoed = matches!(message, Message::Text(_) | Message::Binary(_));
                if is_echoed && socket.send(message).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = echoing => {}
            () = gateway.drain.begun() => {}
        }
    }))
}

/// What the query asks for, as far as it may be had already.
struct Wanted {
    identity: Identity,
    opening: Opening,
    /// Whether the topics wait for an `auth` frame.
    waits: bool,
}

impl Wanted {
    /// Credentials without the right are refused here; without credentials an `auth` frame may still come.
    fn of(gateway: &Shared, opening: Opening) -> Result<Self, Refusal> {
        let identity = opening.identity.clone();
        let granted = identity.require_subscribe(&opening.query.topics);
        let waits = granted.is_err();
        if !identity.is_anonymous() {
            granted?;
        }
        if gateway.drain.has_begun() {
            return Err(Refusal::unavailable(gateway.limits.drain_timeout));
        }
        Ok(Self {
            identity,
            opening,
            waits,
        })
    }
}

/// A session that only lacks its socket.
struct Prepared {
    gateway: Shared,
    address: IpAddr,
    session: Session,
    identity: Identity,
    hello: Subscribed,
    waiting: Option<Waiting>,
}

/// Topics of the query that wait for an `auth` frame, and where they begin.
struct Waiting {
    topics: Vec<Pattern>,
    start: StartAt,
}

impl Prepared {
    async fn new(gateway: Shared, wanted: Wanted, address: IpAddr) -> Result<Self, Refusal> {
        let start = wanted.opening.start();
        let mut session = gateway.bus.open(options(&gateway, &wanted.opening.query));
        let topics = wanted.opening.query.topics;
        let (hello, waiting) = if wanted.waits {
            let cursor = first_cursor(&gateway, start);
            // "Now" is when the client asked, not when its credentials came.
            let start = if start == StartAt::Now {
                StartAt::After(cursor)
            } else {
                start
            };
            (began_at(cursor), Some(Waiting { topics, start }))
        } else if topics.is_empty() {
            (began_at(session.cursor()), None)
        } else {
            (session.subscribe(topics, start).await?, None)
        };
        Ok(Self {
            gateway,
            address,
            session,
            identity: wanted.identity,
            hello,
            waiting,
        })
    }

    fn connect(self, socket: WebSocket, seat: Seat) -> Connection {
        let now = Instant::now();
        let limits = &self.gateway.limits;
        let must_prove = self.waiting.is_some()
            || (self.identity.is_anonymous() && !self.identity.may_anything());
        Connection {
            hello: self.hello,
            socket: Socket::new(socket, limits.write_timeout),
            frames: Bucket::new(limits.frames_per_second, now),
            auth_deadline: must_prove.then(|| now + limits.auth_timeout),
            next_ping: now + limits.heartbeat,
            unanswered: 0,
            skipped: Skipped::default(),
            seat,
            session: self.session,
            identity: self.identity,
            waiting: self.waiting,
            address: self.address,
            gateway: self.gateway,
        }
    }
}

/// Over capacity: the upgrade is the only way to say it to a browser.
async fn turn_away(gateway: Shared, socket: WebSocket) {
    let mut socket = Socket::new(socket, gateway.limits.write_timeout);
    socket.end(End::Say(CloseReason::OverCapacity)).await;
}

/// A cursor that is safe to resume from although nothing was read yet.
fn first_cursor(gateway: &Shared, start: StartAt) -> Cursor {
    match start {
        StartAt::After(cursor) => cursor,
        StartAt::Now => gateway.bus.head(),
        StartAt::Start | StartAt::Last(_) => Cursor::new(gateway.bus.epoch(), 0),
    }
}

fn began_at(cursor: Cursor) -> Subscribed {
    Subscribed {
        cursor,
        resumed: false,
    }
}

/// RFC 6455 section 4.2.1: 16 bytes in base64, which are 22 characters and two signs of padding.
fn has_good_key(headers: &HeaderMap) -> bool {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return false;
    };
    let bytes = key.as_bytes();
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    bytes.len() == 24 && bytes.ends_with(b"==") && bytes[..22].iter().all(letter)
}

fn no_upgrade(why: &str) -> Response {
    let refusal = Refusal::new(
        Code::BadRequest,
        format!("not a WebSocket handshake: {why}"),
    );
    let version = (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    ([version], refusal).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_key_is_sixteen_bytes_in_base64() {
        let good = |key: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
            has_good_key(&headers)
        };
        assert!(good("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!good("dGhlIHNhbXBsZSBub25jZQ"));
        assert!(!good("!GhlIHNhbXBsZSBub25jZQ=="));
        assert!(!has_good_key(&HeaderMap::new()));
    }
}
