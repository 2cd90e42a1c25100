//! Sending somebody away: `POST /admin/kick`.
//!
//! Shape: all sessions of a subject, of a token, or one session; with `revoke` the credentials do not come back either.
//! Bound: a body of [`BODY_MAX_BYTES`]; `revocations.max`.
//! Failure: a body that does not fit is 400, and nobody is kicked. A revocation that could not be saved is in force, its
//! sessions are kicked, and the answer is 503.
//! Source: hazards part 1 row 9; protocol document, "The admin port".
//!
//! **Invariant.** A session that opens while its credentials are being revoked is ended too: it is in the list before it
//! looks whether they are revoked, and they are revoked before the list is looked through.

use std::time::Duration;

use axum::{Json, body::Bytes, extract::State};
use serde::{Deserialize, Serialize};
use tidewire_protocol::{CloseReason, Code};

use crate::{
    auth::Identity,
    error::Refusal,
    gateway::{Gateway, Shared},
    revocation::{Revocation, RevocationError, Revoked},
};

/// What is asked for. Unknown members are refused: a mistyped `revoke` would revoke nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    subject: Option<String>,
    session: Option<String>,
    token: Option<String>,
    #[serde(default)]
    revoke: bool,
    #[serde(default, rename = "for", with = "humantime_serde::option")]
    lasting: Option<Duration>,
}

/// Who is meant.
#[derive(Debug)]
enum Whom {
    Subject(String),
    Session(String),
    Token(String),
}

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Kicked {
    /// Sessions that end by this call.
    kicked: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<Revocation>,
}

/// `POST /admin/kick`
pub(crate) async fn kick(
    State(gateway): State<Shared>,
    body: Bytes,
) -> Result<Json<Kicked>, Refusal> {
    if body.len() > BODY_MAX_BYTES {
        return Err(Refusal::new(
            Code::TooLarge,
            "the body is larger than 16 KiB",
        ));
    }
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|error| Refusal::new(Code::BadRequest, error.to_string()))?;
    let (whom, revoke, lasting) = read(wanted)?;
    let done = async move {
        let revoked = match revoke {
            true => Some(revoke_for(&gateway, &whom, lasting).await?),
            false => None,
        };
        let revocations = gateway.auth.revocations();
        let kicked = gateway.open_sessions.stop(CloseReason::Kicked, |entry| {
            entry.is(|identity, name| whom.is(identity, name) || revocations.refuse(identity))
        });
        tracing::info!(kicked, revoke, "sessions kicked");
        let revocation = revoked.transpose().map_err(|error| not_saved(&error))?;
        Ok(Json(Kicked { kicked, revocation }))
    };
    // A task of its own: half of it must not be left undone because whoever asked has gone.
    tokio::spawn(done).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a kick failed");
        Err(Refusal::new(
            Code::Internal,
            "the gateway failed; the operator can see why in its log",
        ))
    })
}

fn read(wanted: Wanted) -> Result<(Whom, bool, Option<Duration>), Refusal> {
    let whom = match (wanted.subject, wanted.session, wanted.token) {
        (Some(subject), None, None) => Whom::Subject(subject),
        (None, Some(session), None) => Whom::Session(session),
        (None, None, Some(token)) => Whom::Token(token),
        _ => {
            let message = "give exactly one of subject, session and token";
            return Err(Refusal::new(Code::BadRequest, message));
        }
    };
    if wanted.lasting.is_some() && !wanted.revoke {
        let message = "for: it says how long to revoke, so it needs \"revoke\": true";
        return Err(Refusal::new(Code::BadRequest, message));
    }
    Ok((whom, wanted.revoke, wanted.lasting))
}

/// What could not be saved is in force: the inner error is told once the sessions have been kicked.
type InForce = Result<Revocation, RevocationError>;

async fn revoke_for(
    gateway: &Gateway,
    whom: &Whom,
    lasting: Option<Duration>,
) -> Result<InForce, Refusal> {
    let (revoked, until) = match whom {
        Whom::Subject(subject) => (Revoked::Subject(subject.clone()), None),
        Whom::Token(token) => {
            let end = session_of(gateway, |identity, _| identity.token_id() == Some(token))
                .and_then(|identity| end_of(&identity));
            (Revoked::Token(token.clone()), end)
        }
        Whom::Session(session) => {
            let of = session_of(gateway, |_, name| name == session);
            let identity =
                of.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such session"))?;
            match (identity.token_id(), identity.subject()) {
                (Some(token), _) => (Revoked::Token(token.to_owned()), end_of(&identity)),
                (None, Some(subject)) => (Revoked::Subject(subject.to_owned()), None),
                (None, None) => {
                    let message =
                        "this session has shown no credentials, so there are none to revoke";
                    return Err(Refusal::new(Code::BadRequest, message));
                }
            }
        }
    };
    match gateway
        .auth
        .revocations()
        .add(revoked, lasting, until)
        .await
    {
        Err(error @ RevocationError::Full(_)) => {
            Err(Refusal::new(Code::Unavailable, error.to_string()))
        }
        outcome => Ok(outcome),
    }
}

/// Whose session fits; of several with one token all are alike.
fn session_of(gateway: &Gateway, fits: impl Fn(&Identity, &str) -> bool) -> Option<Identity> {
    let mut found = None;
    gateway.open_sessions.each(|entry| {
        if found.is_none() && entry.is(&fits) {
            found = Some(entry.seen().identity);
        }
    });
    found
}

/// When the token is good nowhere any more.
fn end_of(identity: &Identity) -> Option<u64> {
    Some(identity.expires()?.saturating_add(LEEWAY_MAX_S))
}

impl Whom {
    fn is(&self, identity: &Identity, name: &str) -> bool {
        match self {
            Self::Subject(subject) => identity.subject() == Some(subject),
            Self::Session(session) => name == session,
            Self::Token(token) => identity.token_id() == Some(token),
        }
    }
}

fn not_saved(error: &RevocationError) -> Refusal {
    tracing::error!(%error, "a revocation was not saved");
    Refusal::new(
        Code::Unavailable,
        "the revocation is in force and its sessions were ended, but it could not be saved: it ends with the process",
    )
}

const BODY_MAX_BYTES: usize = 16 * 1024;
/// What a token's end may be stretched by; the configuration takes no more.
const LEEWAY_MAX_S: u64 = 60;
