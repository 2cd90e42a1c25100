//! The loop of one WebSocket.
//!
//! Shape: what the session has goes out, what the client sends is answered, in silence a heartbeat; one `select!`, one call
//! for each arm.
//! Unit: a tick is the earliest of: the next ping, the end of the silence, the time to tell what conflation left out, the
//! deadline of the `auth` frame, the end of the token.
//! Bound: one batch at a time; [`UNANSWERED_MAX`] pings.
//! Failure: whatever ends the loop is an [`End`]; it is said where it can be, and counted.
//! Source: protocol section 3.3; house style section 8.

use std::{pin::pin, sync::Arc, time::Instant};

use tidewire_bus::{Batch, Encoded, Events, Form, ReadError, Session, Subscribed};
use tidewire_protocol::{CloseReason, Code, Hb, Hello, ServerFrame};
use tidewire_websocket::{
    deflate,
    frame::{self, Opcode},
};
use tokio::time::sleep_until;

use super::{
    Waiting, frames,
    socket::{End, Socket},
};
use crate::{
    auth::{Expiry, Identity},
    drain::millis,
    error::Refusal,
    gateway::Shared,
    limits::bucket::Bucket,
    sessions::Entry,
    transport::{Seat, skipped::Skipped},
};

/// An open WebSocket and its session.
pub(super) struct Connection {
    pub(super) gateway: Shared,
    pub(super) hello: Subscribed,
    pub(super) socket: Socket,
    pub(super) session: Session,
    pub(super) seat: Seat,
    pub(super) identity: Identity,
    pub(super) waiting: Option<Waiting>,
    /// When an `auth` frame must have come, while one is needed.
    pub(super) auth_deadline: Option<Instant>,
    /// When its token ends.
    pub(super) expiry: Expiry,
    /// The allowance of frames.
    pub(super) frames: Bucket,
    pub(super) next_ping: Instant,
    /// Pings since anything was heard.
    pub(super) unanswered: u32,
    /// What conflation left out since the last heartbeat.
    pub(super) skipped: Skipped,
}

impl Connection {
    /// All of a connection's life. This future is what an idle connection costs, so whatever is large and rare is boxed.
    pub(super) async fn run(mut self) {
        tracing::debug!("session opened");
        let entry = Arc::clone(self.seat.entry());
        let end = tokio::select! {
            end = self.serve(&entry) => end,
            () = entry.was_cut() => End::Gone(CloseReason::Draining),
        };
        Box::pin(self.socket.end(end)).await;
        self.seat.end(end.reason());
    }

    /// The loop. Every arm is cancel safe: `next` moves its cursor only with a batch that it returned, `receive` keeps what
    /// it has read. Whoever ends the session from outside signals its entry.
    async fn serve(&mut self, entry: &Entry) -> End {
        if let Err(end) = Box::pin(self.hello()).await {
            return end;
        }
        let mut timer = pin!(sleep_until(self.next_tick().into()));
        loop {
            let step = tokio::select! {
                reason = entry.ended() => Err(End::Say(reason)),
                heard = self.socket.receive() => Box::pin(self.heard(heard)).await,
                read = self.session.next() => match self.gather(read) {
                    Ok(()) => self.socket.flush().await,
                    Err(end) => Err(end),
                },
                () = &mut timer => Box::pin(self.tick()).await,
            };
            if let Err(end) = step {
                return end;
            }
            // A tick that was put off finds nothing to do when it comes; only one that is sooner is set anew.
            let tick = self.next_tick().into();
            if timer.is_elapsed() || tick < timer.deadline() {
                timer.as_mut().reset(tick);
            }
        }
    }

    /// Whoever has been sent away gets nothing any more, and nothing of his is done, also where both come at once.
    pub(super) fn require_open(&self) -> Result<(), End> {
        match self.seat.entry().ending() {
            Some(reason) => Err(End::Say(reason)),
            None => Ok(()),
        }
    }

    async fn hello(&mut self) -> Result<(), End> {
        let hello = Hello {
            session: self.session.id().to_owned(),
            cursor: self.hello.cursor.to_string(),
            resumed: self.hello.resumed,
            heartbeat_ms: millis(self.gateway.limits.heartbeat),
        };
        self.socket.send(ServerFrame::Hello(&hello).encode()).await
    }

    /// Everything that was ready, for one write.
    fn gather(&mut self, read: Result<Batch, ReadError>) -> Result<(), End> {
        self.require_open()?;
        self.require_token()?;
        let batch = read.map_err(|error| {
            tracing::warn!(%error, "session cannot read");
            End::Say(CloseReason::GoingAway)
        })?;
        self.skipped.add(batch.skipped, Instant::now());
        if let Some(gap) = &batch.gap {
            self.socket.feed_text(ServerFrame::Gap(gap).encode());
        }
        self.feed(&batch.events);
        self.seat.delivered(&batch);
        Ok(())
    }

    /// Asked before anything is delivered or done, because the wall clock may have been set.
    pub(super) fn require_token(&self) -> Result<(), End> {
        if self.expiry.has_come() {
            return Err(End::Say(CloseReason::TokenExpired));
        }
        Ok(())
    }

    /// As frames that were made once for all sessions that get this batch.
    fn feed(&mut self, events: &Events) {
        let takes_deflated = |event: &Encoded| self.socket.takes_deflated(event.json().len());
        let frames = if !self.socket.takes_deflated(0) {
            events.joined(Form::Frame, append_frame)
        } else if events.iter().all(|event| takes_deflated(event)) {
            events.joined(Form::DeflatedFrame, append_deflated)
        } else {
            // A smaller window was agreed, and not every event fits into it.
            let mut frames = Vec::new();
            for event in events {
                match takes_deflated(event) {
                    true => append_deflated(event, &mut frames),
                    false => append_frame(event, &mut frames),
                }
            }
            frames.into()
        };
        self.socket.feed(frames);
    }

    /// When there is something to do although nothing came.
    fn next_tick(&self) -> Instant {
        let others = [self.auth_deadline, self.expiry.due()];
        let tick = self.next_heartbeat().min(self.next_ping);
        others.into_iter().flatten().fold(tick, Instant::min)
    }

    /// After silence, and where conflation left something out also without it.
    fn next_heartbeat(&self) -> Instant {
        let heartbeat = self.gateway.limits.heartbeat;
        let silence = self.socket.last_sent() + heartbeat;
        self.skipped
            .due(heartbeat)
            .map_or(silence, |due| due.min(silence))
    }

    async fn tick(&mut self) -> Result<(), End> {
        self.require_token()?;
        self.expiry.look_again();
        let now = Instant::now();
        let heartbeat = self.gateway.limits.heartbeat;
        if self.auth_deadline.is_some_and(|deadline| deadline <= now) {
            let refusal = Refusal::new(Code::Unauthorized, "no auth frame came in time");
            self.socket.send(frames::error(None, &refusal)).await?;
            return Err(End::Say(CloseReason::Unauthorized));
        }
        if self.next_ping <= now {
            if self.unanswered >= UNANSWERED_MAX {
                return Err(End::Say(CloseReason::HeartbeatTimeout));
            }
            self.unanswered += 1;
            self.next_ping = now + heartbeat;
            self.socket.ping().await?;
        }
        if self.next_heartbeat() <= now {
            // Topics that wait for an `auth` frame have not been read yet.
            let cursor = match self.waiting {
                Some(_) => self.hello.cursor,
                None => self.session.cursor(),
            };
            let hb = Hb {
                cursor: cursor.to_string(),
                skipped: self.skipped.take(),
                stale: false,
            };
            self.socket.send(ServerFrame::Hb(&hb).encode()).await?;
        }
        Ok(())
    }
}

fn append_frame(event: &Encoded, frames: &mut Vec<u8>) {
    let json = event.json();
    frames.extend_from_slice(&frame::header(Opcode::Text, false, json.len()));
    frames.extend_from_slice(json);
}

/// Where compressing does not pay, the event as it is.
fn append_deflated(event: &Encoded, frames: &mut Vec<u8>) {
    if event.json().len() < deflate::PAYS_FROM_BYTES {
        return append_frame(event, frames);
    }
    let form = event.form(Form::DeflatedFrame, |event| {
        deflate::text(event.json()).unwrap_or_else(|| frame::text(event.json()))
    });
    frames.extend_from_slice(form);
}

/// Pings without an answer before the connection counts as dead.
const UNANSWERED_MAX: u32 = 2;
