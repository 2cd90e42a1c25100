//! `POST /ticket`: a credential for one use, for a client that cannot set headers.
//!
//! Shape: whoever has shown credentials gets a ticket with the same subject, rights and expiry.
//! Bound: those of [`crate::auth::ticket`].
//! Failure: 401 without credentials; a ticket is none, so it cannot buy another. 429 where the subject has had too many, 503
//! where all have.
//! Source: protocol section 7.

use std::time::Instant;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidewire_protocol::Code;

use crate::{
    auth::{Identity, ticket::NoTicket},
    error::Refusal,
    gateway::Shared,
};

/// `POST /ticket`.
pub(crate) async fn give(
    State(gateway): State<Shared>,
    identity: Identity,
) -> Result<Response, Refusal> {
    if identity.is_anonymous() {
        return Err(identity.refusal());
    }
    let tickets = gateway.auth.tickets();
    let ttl = tickets.ttl();
    match tickets.give(&identity, Instant::now()) {
        Ok(ticket) => {
            let expires_in = ttl.as_secs();
            Ok(Json(Answer { ticket, expires_in }).into_response())
        }
        Err(NoTicket::TooMany) => {
            let message = "this subject has had too many tickets";
            Err(Refusal::new(Code::RateLimited, message).with_retry_after(ttl))
        }
        Err(NoTicket::NoRoom | NoTicket::NoRandomness) => Err(Refusal::unavailable(ttl)),
    }
}

#[derive(Serialize)]
struct Answer {
    ticket: String,
    /// Seconds.
    expires_in: u64,
}
