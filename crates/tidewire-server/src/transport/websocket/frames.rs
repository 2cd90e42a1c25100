//! Answers to the frames of a client.
//!
//! Shape: one method for each frame. Frames are answered in the order in which they came; while one is answered nothing is
//! delivered, and nothing is lost by that: the session is a cursor.
//! Bound: `frames_per_second` (4101 beyond it), `topics_per_session`, and for a publish the same checks as over REST.
//! Failure: an `error` frame with the stable code; the connection stays, unless the frame was no JSON object (4000).
//! Source: protocol section 3.3.

use std::{collections::HashSet, net::IpAddr, time::Instant};

use http::HeaderMap;
use serde_json::value::RawValue;
use tidewire_protocol::{
    ClientFrame, CloseReason, Code, FrameError, Pattern, Publish, ServerFrame, StartAt,
};
use tidewire_websocket::Message;

use super::{connection::Connection, socket::End};
use crate::{
    auth::Identity, error::Refusal, hooks::Client, limits::limit::Limit, publish,
    transport::Transport,
};

type Reference = Option<Box<RawValue>>;

impl Connection {
    /// Answers what was heard.
    pub(super) async fn heard(&mut self, heard: Result<Message, End>) -> Result<(), End> {
        let heard = heard?;
        self.require_open()?;
        self.unanswered = 0;
        if self
            .frames
            .take(self.gateway.limits.frames_per_second, Instant::now())
            .is_err()
        {
            self.gateway.metrics.refused(Limit::FramesPerSecond);
            return Err(End::Say(CloseReason::RateLimited));
        }
        let text = match heard {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(End::Say(CloseReason::Unsupported)),
            // Signs of life; the codec has seen to the pong.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        match ClientFrame::parse(&text) {
            Ok(frame) => self.answer(frame).await,
            Err(FrameError::Bad {
                reference,
                code,
                message,
            }) => self.refuse(&reference, &Refusal::new(code, message)).await,
            Err(error @ FrameError::NotAnObject { .. }) => {
                let refusal = Refusal::new(Code::BadRequest, error.to_string());
                self.refuse(&None, &refusal).await?;
                Err(End::Say(CloseReason::BadFrame))
            }
        }
    }

    async fn answer(&mut self, frame: ClientFrame) -> Result<(), End> {
        match frame {
            ClientFrame::Subscribe {
                reference,
                topics,
                start,
            } => self.subscribe(reference, topics, start).await,
            ClientFrame::Unsubscribe { reference, topics } => {
                self.session.unsubscribe(&topics);
                self.show_topics();
                self.send(ServerFrame::done(reference.as_deref())).await
            }
            ClientFrame::Publish { reference, publish } => self.publish(reference, publish).await,
            ClientFrame::Auth { reference, token } => self.auth(reference, &token).await,
            ClientFrame::Ping { reference } => {
                self.send(ServerFrame::Pong {
                    reference: reference.as_deref(),
                })
                .await
            }
            ClientFrame::Presence { reference, .. }
            | ClientFrame::Enter { reference, .. }
            | ClientFrame::Leave { reference, .. } => {
                let refusal =
                    Refusal::new(Code::BadRequest, "this gateway does not serve presence yet");
                self.refuse(&reference, &refusal).await
            }
        }
    }

    async fn subscribe(
        &mut self,
        reference: Reference,
        topics: Vec<Pattern>,
        start: Option<StartAt>,
    ) -> Result<(), End> {
        if let Err(refusal) = self
            .identity
            .require_subscribe(&topics)
            .and_then(|()| self.require_room(&topics))
        {
            return self.refuse(&reference, &refusal).await;
        }
        if let Err(refusal) = self.ask_subscribe(&topics).await {
            return self.refuse(&reference, &refusal).await;
        }
        match self
            .session
            .subscribe(topics, start.unwrap_or(StartAt::Now))
            .await
        {
            Ok(begun) => {
                self.show_topics();
                let ok = ServerFrame::Ok {
                    reference: reference.as_deref(),
                    cursor: Some(begun.cursor),
                    resumed: Some(begun.resumed),
                    id: None,
                    duplicate: false,
                    expires: None,
                };
                self.send(ok).await
            }
            Err(error) => self.refuse(&reference, &error.into()).await,
        }
    }

    /// Counts what the session would then have; a pattern that it has already costs nothing.
    fn require_room(&self, topics: &[Pattern]) -> Result<(), Refusal> {
        let mut patterns: HashSet<Pattern> = self.session.patterns().into_iter().collect();
        patterns.extend(topics.iter().cloned());
        let bound = self.gateway.limits.topics_per_session;
        if patterns.len() <= bound {
            return Ok(());
        }
        Err(Refusal::new(
            Code::BadRequest,
            format!("a session has at most {bound} topics"),
        ))
    }

    async fn publish(&mut self, reference: Reference, publish: Publish) -> Result<(), End> {
        match publish::from_frame(&self.gateway, &self.identity, self.address(), publish).await {
            Ok(appended) => {
                let ok = ServerFrame::Ok {
                    reference: reference.as_deref(),
                    cursor: None,
                    resumed: None,
                    id: Some(appended.id),
                    duplicate: appended.duplicate,
                    expires: None,
                };
                self.send(ok).await
            }
            Err(refusal) => self.refuse(&reference, &refusal).await,
        }
    }

    async fn auth(&mut self, reference: Reference, token: &str) -> Result<(), End> {
        self.gateway.auth.wait_for_key_of(token).await;
        let identity = match self.gateway.auth.identify_token(token) {
            Ok(identity) => identity,
            Err(refusal) => return self.refuse(&reference, &refusal).await,
        };
        if !self.identity.is_anonymous() && self.identity.name() != identity.name() {
            let refusal = Refusal::new(
                Code::Forbidden,
                "this session belongs to another; open a new one",
            );
            return self.refuse(&reference, &refusal).await;
        }
        let identity = match self.ask_connect(identity).await {
            Ok(identity) => identity,
            Err(refusal) => return self.refuse(&reference, &refusal).await,
        };
        if !self.seat.belongs_to(&identity) {
            return Err(End::Say(CloseReason::OverCapacity));
        }
        self.expiry = self.gateway.auth.expiry(&identity);
        self.seat.identify(&identity);
        self.identity = identity;
        self.auth_deadline = None;
        // Rights narrow at once: what the new ones do not cover is delivered no longer.
        let mut lost = self.session.patterns();
        lost.retain(|pattern| !self.identity.may_subscribe(pattern));
        self.session.unsubscribe(&lost);
        self.show_topics();
        let ok = ServerFrame::Ok {
            reference: reference.as_deref(),
            cursor: None,
            resumed: None,
            id: None,
            duplicate: false,
            // An API key has no end.
            expires: self.identity.expires().map(|at| at.saturating_mul(1000)),
        };
        self.send(ok).await?;
        match self.waiting.take() {
            Some(waiting) => self.subscribe_waiting(waiting.topics, waiting.start).await,
            None => Ok(()),
        }
    }

    /// The topics of the query, now that somebody has asked for them. Their hello is out, so only a refusal is said.
    async fn subscribe_waiting(&mut self, topics: Vec<Pattern>, start: StartAt) -> Result<(), End> {
        if let Err(refusal) = self.identity.require_subscribe(&topics) {
            return self.refuse(&None, &refusal).await;
        }
        if let Err(refusal) = self.ask_subscribe(&topics).await {
            return self.refuse(&None, &refusal).await;
        }
        match self.session.subscribe(topics, start).await {
            Ok(_) => {
                self.show_topics();
                Ok(())
            }
            Err(error) => self.refuse(&None, &error.into()).await,
        }
    }

    /// Asks the user's backend about somebody who has just shown who he is, where a hook is configured. The headers of the
    /// request are long gone.
    /// That he has been revoked meanwhile, the seat finds out when it hears of him.
    async fn ask_connect(&mut self, identity: Identity) -> Result<Identity, Refusal> {
        let Some(hooks) = &self.gateway.hooks else {
            return Ok(identity);
        };
        let topics = match &self.waiting {
            Some(waiting) => waiting.topics.clone(),
            None => self.session.patterns(),
        };
        let client = self.client(&identity);
        Box::pin(hooks.connect(client, &HeaderMap::new(), &topics)).await
    }

    /// Asks it about topics that the rights cover.
    async fn ask_subscribe(&mut self, topics: &[Pattern]) -> Result<(), Refusal> {
        let Some(hooks) = &self.gateway.hooks else {
            return Ok(());
        };
        Box::pin(hooks.subscribe(self.client(&self.identity), topics)).await
    }

    fn address(&self) -> IpAddr {
        self.seat.entry().peer.address.ip()
    }

    fn client<'a>(&'a self, identity: &'a Identity) -> Client<'a> {
        Client {
            identity,
            transport: Transport::WebSocket,
            address: self.address(),
            session: Some(self.session.id()),
        }
    }

    /// The list of sessions shows what is subscribed now.
    fn show_topics(&self) {
        self.seat.reads(self.session.id(), &self.session.patterns());
    }

    async fn refuse(&mut self, reference: &Reference, refusal: &Refusal) -> Result<(), End> {
        self.socket.send(error(reference.as_deref(), refusal)).await
    }

    async fn send(&mut self, frame: ServerFrame<'_>) -> Result<(), End> {
        self.socket.send(frame.encode()).await
    }
}

/// A refusal as a frame.
pub(super) fn error(reference: Option<&RawValue>, refusal: &Refusal) -> String {
    ServerFrame::Error {
        reference,
        code: refusal.code(),
        message: refusal.message(),
    }
    .encode()
}
