//! WebSocket: `GET /ws`, HTTP/1.1 Upgrade and HTTP/2 extended CONNECT (RFC 8441).
//!
//! Shape: the way to an open connection is here: who asks, for what, the session; [`handshake`] takes the connection over
//! from HTTP. Then [`connection`] is the loop, [`frames`] answers the client's frames, [`socket`] is the codec's connection
//! with our deadlines and our one end. [`echo`] is for conformance suites.
//! Bound: a frame of `event_max_bytes` and 16 KiB; `frames_per_second`; `write_timeout`; `auth_timeout`.
//! Failure: before the 101 a problem; afterwards every end has a close reason, and where it can still be said, `bye` and a
//! Close frame say it.
//! Source: protocol section 3.3.

mod connection;
mod echo;
mod frames;
mod handshake;
mod socket;

use std::time::Instant;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, request::Parts};
use tidewire_bus::{Session, Subscribed};
use tidewire_protocol::{CloseReason, Code, Cursor, Pattern, StartAt};
use tracing::Instrument;

use self::{
    connection::Connection,
    handshake::Upgrade,
    socket::{End, Socket},
};
use super::{Opening, Seat, Transport, options, skipped::Skipped};
use crate::{
    auth::{Identity, Shown, rights::Rights},
    error::Refusal,
    gateway::Shared,
    limits::bucket::Bucket,
    listener::Peer,
};

pub(crate) use echo::echo;

/// `GET /ws`, or `CONNECT /ws` over HTTP/2. Whatever is refused is refused before the 101.
pub(crate) async fn serve(gateway: Shared, peer: Peer, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    match Upgrade::of(&gateway, &mut parts) {
        Ok(upgrade) => opened(&gateway, &peer, &parts, upgrade)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        Err(refused) => *refused,
    }
}

async fn opened(
    gateway: &Shared,
    peer: &Peer,
    parts: &Parts,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let opening = Opening::read(gateway, Shown::of_parts(parts), parts.uri.query())?;
    let session = gateway.bus.open(options(gateway, &opening.query));
    let wanted = if gateway.hooks.is_some() && !peer.over_capacity {
        Box::pin(asked(gateway, peer, opening, session.id(), &parts.headers)).await?
    } else {
        Wanted::of(gateway, opening)?
    };
    let Some(seat) = Seat::take(gateway, peer, Transport::WebSocket, &wanted.identity) else {
        return Ok(upgrade.accept(turn_away));
    };
    if !wanted.waits {
        seat.reads(session.id(), &wanted.opening.query.topics);
    }
    let prepared = Prepared::new(gateway.clone(), session, wanted).await?;
    let span = tracing::debug_span!("session", id = prepared.session.id(), transport = "websocket", address = %peer.address);
    Ok(upgrade.accept(move |socket| prepared.connect(socket, seat).run().instrument(span)))
}

/// What may be had where the user's backend is asked too.
async fn asked(
    gateway: &Shared,
    peer: &Peer,
    mut opening: Opening,
    session: &str,
    headers: &HeaderMap,
) -> Result<Wanted, Refusal> {
    let who = (Transport::WebSocket, Some(session));
    match opening.ask_connect(gateway, peer, who, headers).await {
        // Somebody without credentials may still show some in an `auth` frame, and is asked about again then.
        Err(refusal) if refusal.code() == Code::Unauthorized && opening.identity.is_anonymous() => {
            opening.identity = Identity::anonymous(Rights::default());
        }
        asked => asked?,
    }
    let wanted = Wanted::of(gateway, opening)?;
    if !wanted.waits {
        wanted.opening.ask_subscribe(gateway, peer, who).await?;
    }
    Ok(wanted)
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
    async fn new(gateway: Shared, mut session: Session, wanted: Wanted) -> Result<Self, Refusal> {
        let start = wanted.opening.start();
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
            session,
            identity: wanted.identity,
            hello,
            waiting,
        })
    }

    fn connect(self, socket: Socket, seat: Seat) -> Connection {
        let now = Instant::now();
        let limits = &self.gateway.limits;
        let must_prove = self.waiting.is_some()
            || (self.identity.is_anonymous() && !self.identity.may_anything());
        Connection {
            hello: self.hello,
            socket,
            frames: Bucket::new(limits.frames_per_second, now),
            auth_deadline: must_prove.then(|| now + limits.auth_timeout),
            next_ping: now + limits.heartbeat,
            expiry: self.gateway.auth.expiry(&self.identity),
            unanswered: 0,
            skipped: Skipped::default(),
            seat,
            session: self.session,
            identity: self.identity,
            waiting: self.waiting,
            gateway: self.gateway,
        }
    }
}

/// Over capacity: the upgrade is the only way to say it to a browser.
async fn turn_away(mut socket: Socket) {
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
