//! Making tokens, for development and for backends in Rust.
//!
//! Shape: what a token shall say, signed with the secret of the configuration.
//! Failure: without a secret nobody can sign here; whoever has the private key does.
//! Source: protocol section 7.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;
use tidewire_protocol::Pattern;

use super::jwt::is_subject;
use crate::config::JwtConfig;

/// What a token shall say.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    /// `sub`.
    pub subject: String,
    /// Patterns that may be subscribed and read.
    pub subscribe: Vec<Pattern>,
    /// Patterns that may be published to.
    pub publish: Vec<Pattern>,
    /// Patterns whose members may be seen.
    pub presence: Vec<Pattern>,
    /// Patterns whose events may be forgotten.
    pub forget: Vec<Pattern>,
    /// Names of roles.
    pub roles: Vec<String>,
    /// How long it is good.
    pub expires_in: Duration,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The configuration has no secret to sign with.
    #[error("[auth.jwt] has no hs256_secret, so tokens are made where the private key is")]
    NoSecret,
    /// The subject cannot be one.
    #[error(
        "the subject is 1 to 256 bytes without control characters, not beginning with \"key:\""
    )]
    Subject,
    /// The system gives no random number for its id, or the signature failed.
    #[error("the token could not be signed")]
    Unsigned,
}

/// A token that says what was asked for, and the `iss` and `aud` that the configuration wants.
///
/// # Errors
/// It cannot be made.
pub fn mint(config: &JwtConfig, request: &TokenRequest) -> Result<String, MintError> {
    let secret = config.hs256_secret.as_ref().ok_or(MintError::NoSecret)?;
    if !is_subject(&request.subject) {
        return Err(MintError::Subject);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let id = getrandom::u64().map_err(|_| MintError::Unsigned)?;
    let claims = Claims {
        sub: &request.subject,
        iat: now,
        exp: now.saturating_add(request.expires_in.as_secs()),
        jti: format!("{id:016x}"),
        iss: config.issuer.as_deref(),
        aud: config.audience.as_deref(),
        tidewire: Rights {
            subscribe: &request.subscribe,
            publish: &request.publish,
            presence: &request.presence,
            forget: &request.forget,
            roles: &request.roles,
        },
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    encode(&Header::default(), &claims, &key).map_err(|_| MintError::Unsigned)
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    tidewire: Rights<'a>,
}

#[derive(Serialize)]
struct Rights<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscribe: &'a [Pattern],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    publish: &'a [Pattern],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    presence: &'a [Pattern],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    forget: &'a [Pattern],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    roles: &'a [String],
}
