//! What all transports share: who may open a session, where it begins, how it ends.
//!
//! Shape: a request becomes an [`Opening`] (who, what, from where) or a refusal; a [`Seat`] is what a session takes up
//! while it lasts. Each transport below turns the batches of its session into its own bytes and knows nothing else.
//! Bound: `sessions_per_address`, `sessions_total`, `sessions_per_subject`, `topics_per_session`, `delivery_max_events`,
//! `delivery_max_bytes`.
//! Failure: every session ends through [`Seat::end`] with one close reason, or is dropped with its connection.
//! Source: protocol section 3; architecture, "The one idea".

pub(crate) mod poll;
mod skipped;
pub(crate) mod sse;
pub(crate) mod websocket;

use std::sync::Arc;

use http::HeaderMap;
use tidewire_bus::SessionOptions;
use tidewire_protocol::{CloseReason, Code, Pattern, StartAt, SubscribeQuery};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    auth::{Identity, Shown},
    error::Refusal,
    gateway::Shared,
    hooks,
    limits::{
        bytes,
        limit::Limit,
        quota::{Full, Permit, one_client},
    },
    listener::Peer,
    sessions::Entry,
};

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Sse,
    Poll,
}

impl Transport {
    /// Every one, in the order of their declaration.
    pub(crate) const ALL: [Self; 3] = [Self::WebSocket, Self::Sse, Self::Poll];

    /// The word in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Poll => "poll",
        }
    }
}

/// A request for a session that may be granted.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) identity: Identity,
    pub(crate) query: SubscribeQuery,
}

impl Opening {
    /// Reads and checks what all transports read and check; rights come afterwards.
    pub(crate) fn read(
        gateway: &Shared,
        shown: Shown<'_>,
        query: Option<&str>,
    ) -> Result<Self, Refusal> {
        // Read before the ticket is taken: what is asked wrongly shall not use it up.
        let query =
            SubscribeQuery::parse(query.unwrap_or_default(), gateway.limits.topics_per_session)?;
        let identity = match &query.ticket {
            Some(ticket) => gateway.auth.take_ticket(ticket)?,
            None => gateway.auth.identify(shown)?,
        };
        if query.presence || query.presence_data.is_some() {
            return Err(Refusal::new(
                Code::BadRequest,
                "presence: this gateway does not serve presence yet",
            ));
        }
        Ok(Self { identity, query })
    }

    /// Asks for a topic and for the right to read all of them, as `/sse` and `/poll` do.
    pub(crate) fn require_topics(&self) -> Result<(), Refusal> {
        self.query.require_topic()?;
        self.identity.require_subscribe(&self.query.topics)
    }

    /// Asks the user's backend who this is and what it may do, where a hook is configured.
    ///
    /// # Errors
    /// The backend refuses, or gives no answer and that counts as no.
    pub(crate) async fn ask_connect(
        &mut self,
        gateway: &Shared,
        peer: &Peer,
        (transport, session): (Transport, Option<&str>),
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let Some(hooks) = &gateway.hooks else {
            return Ok(());
        };
        let client = client(&self.identity, peer, transport, session);
        self.identity = Box::pin(hooks.connect(client, headers, &self.query.topics)).await?;
        // Who the backend says that it is may have been revoked.
        gateway.auth.require_good(&self.identity)
    }

    /// Asks it whether this one may have the topics, once its rights are known to cover them.
    ///
    /// # Errors
    /// As [`Opening::ask_connect`].
    pub(crate) async fn ask_subscribe(
        &self,
        gateway: &Shared,
        peer: &Peer,
        (transport, session): (Transport, Option<&str>),
    ) -> Result<(), Refusal> {
        let Some(hooks) = &gateway.hooks else {
            return Ok(());
        };
        let client = client(&self.identity, peer, transport, session);
        Box::pin(hooks.subscribe(client, &self.query.topics)).await
    }

    /// Where the session begins.
    pub(crate) fn start(&self) -> StartAt {
        self.query.start.unwrap_or(StartAt::Now)
    }
}

fn client<'a>(
    identity: &'a Identity,
    peer: &Peer,
    transport: Transport,
    session: Option<&'a str>,
) -> hooks::Client<'a> {
    hooks::Client {
        identity,
        transport,
        address: peer.address.ip(),
        session,
    }
}

/// How much a session takes from the log at a time.
pub(crate) fn options(gateway: &Shared, query: &SubscribeQuery) -> SessionOptions {
    SessionOptions {
        batch_max_events: gateway.limits.delivery_max_events,
        batch_max_bytes: bytes(gateway.limits.delivery_max_bytes),
        conflate: query.conflate,
    }
}

/// A place among the sessions of one subject.
type SubjectPermit = Permit<Arc<str>>;

/// What a session takes up while it lasts: a place under the caps, a place in the list of sessions, a place in the drain,
/// its line in the metrics.
pub(crate) struct Seat {
    gateway: Shared,
    /// Its place in the list of sessions, and the signal that ends it.
    entry: Arc<Entry>,
    reason: CloseReason,
    _permit: Permit,
    /// Boxed: most sessions have none.
    subject: Option<Box<SubjectPermit>>,
    _drain: TaskTrackerToken,
}

impl Seat {
    /// One more session of this peer, or `None` over capacity.
    pub(crate) fn take(
        gateway: &Shared,
        peer: &Peer,
        transport: Transport,
        identity: &Identity,
    ) -> Option<Self> {
        if peer.over_capacity {
            return None;
        }
        let subject = subject(gateway, identity)?;
        let permit = match gateway.sessions.take(Some(one_client(peer.address.ip()))) {
            Ok(permit) => permit,
            Err(full) => {
                gateway.metrics.refused(match full {
                    Full::Each => Limit::SessionsPerAddress,
                    Full::Total => Limit::SessionsTotal,
                });
                return None;
            }
        };
        gateway.metrics.opened(transport);
        let entry = gateway
            .open_sessions
            .open(transport, peer.clone(), identity.clone());
        let seat = Self {
            gateway: gateway.clone(),
            entry,
            // What it is when the client simply goes.
            reason: CloseReason::GoingAway,
            _permit: permit,
            subject,
            _drain: gateway.drain.session(),
        };
        // Whoever ends sessions says so first and looks through the list afterwards. So after this look nobody is missed.
        if gateway.drain.has_begun() {
            seat.entry.end(CloseReason::Draining);
        }
        if gateway.drain.has_ended() {
            seat.entry.cut();
        }
        seat.look_for_revocation(identity);
        Some(seat)
    }

    /// Its place in the list of sessions.
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Somebody has said who it is.
    pub(crate) fn identify(&self, identity: &Identity) {
        self.entry.identify(identity);
        self.look_for_revocation(identity);
    }

    /// The list shows what it reads, and the name that its client was told.
    pub(crate) fn reads(&self, session: &str, topics: &[Pattern]) {
        self.entry.reads(session, topics);
    }

    fn look_for_revocation(&self, identity: &Identity) {
        if self.gateway.auth.require_good(identity).is_err() {
            self.entry.end(CloseReason::Kicked);
        }
    }

    /// What somebody hears who was sent away where no close code can be said.
    pub(crate) fn sent_away(&self) -> Refusal {
        let identity = self.entry.seen().identity;
        match self.gateway.auth.require_good(&identity) {
            Err(refusal) => refusal,
            Ok(()) => Refusal::new(Code::Forbidden, "the operator has ended this session"),
        }
    }

    /// The session has said who it is only now. False where that one has too many.
    pub(crate) fn belongs_to(&mut self, identity: &Identity) -> bool {
        if self.subject.is_some() {
            return true;
        }
        let subject = subject(&self.gateway, identity);
        let has_room = subject.is_some();
        self.subject = subject.flatten();
        has_room
    }

    /// The one end of a session.
    pub(crate) fn end(mut self, reason: CloseReason) {
        self.reason = reason;
    }

    /// Counts what was handed to the connection.
    pub(crate) fn delivered(&self, batch: &tidewire_bus::Batch) {
        self.gateway
            .metrics
            .delivered(self.entry.transport, batch.events.len());
        if let Some(gap) = &batch.gap {
            self.gateway.metrics.gap(gap.reason);
        }
    }
}

/// A place among the sessions of this subject; `None` where there is none left. Who has no name needs no place.
fn subject(gateway: &Shared, identity: &Identity) -> Option<Option<Box<SubjectPermit>>> {
    let Some(holder) = identity.holder() else {
        return Some(None);
    };
    match gateway.sessions_by_subject.take(Some(holder)) {
        Ok(permit) => Some(Some(Box::new(permit))),
        Err(_) => {
            gateway.metrics.refused(Limit::SessionsPerSubject);
            None
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.gateway.metrics.panicked();
        }
        self.gateway.open_sessions.close(&self.entry);
        if self.entry.peer.was_too_slow() {
            // The connection was closed for it, and nothing could be said any more.
            self.reason = CloseReason::TooSlow;
            self.gateway.metrics.refused(Limit::WriteTimeout);
        }
        let transport = self.entry.transport;
        self.gateway.metrics.ended(transport, self.reason);
        tracing::debug!(
            transport = transport.name(),
            code = self.reason.code(),
            "session ended"
        );
    }
}

#[cfg(test)]
pub(crate) mod tests;
