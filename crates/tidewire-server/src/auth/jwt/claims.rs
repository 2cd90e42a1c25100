//! What stands in a token, and what must stand in it.
//!
//! Shape: [`Checks`] is the configured side (issuer, audience, leeway); [`Claims`] the token's, read only after the signature
//! was found good.
//! Failure: a claim of the wrong form refuses the whole token: its issuer meant something else than we would read.
//! Source: RFC 7519 section 4.1; protocol section 7.

use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};
use tidewire_protocol::Pattern;

use super::TokenError;
use crate::{auth::rights::Rights, config::JwtConfig};

/// What is asked of every token.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    issuer: Option<String>,
    audience: Option<String>,
    leeway_seconds: u64,
}

impl Checks {
    pub(super) fn new(config: &JwtConfig) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway_seconds: config.leeway.as_secs(),
        }
    }

    /// The same in the library's words, for a key of this algorithm.
    pub(super) fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        validation.leeway = self.leeway_seconds;
        validation.validate_nbf = true;
        // Off where none is configured: the library would refuse every token that has an audience.
        validation.validate_aud = self.audience.is_some();
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

/// What is read of a token.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    pub(super) sub: String,
    pub(super) exp: Seconds,
    pub(super) iat: Option<Seconds>,
    pub(super) jti: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub(super) tidewire: Option<OwnRights>,
}

/// The claim `tidewire`. Members that are not known are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnRights {
    subscribe: Vec<Pattern>,
    publish: Vec<Pattern>,
    presence: Vec<Pattern>,
    forget: Vec<Pattern>,
    roles: Vec<String>,
}

impl OwnRights {
    /// The rights themselves, and the names of roles.
    pub(super) fn split(self) -> (Rights, Vec<String>) {
        let Self {
            subscribe,
            publish,
            presence,
            forget,
            roles,
        } = self;
        let rights = Rights {
            subscribe,
            publish,
            presence,
            forget,
        };
        (rights, roles)
    }
}

/// An object and nothing else: a list would count as its members, in the order in which they stand here.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OwnRights>, D::Error> {
    let members = Option::<Map<String, Value>>::deserialize(deserializer)?;
    let read = |members| serde_json::from_value(Value::Object(members)).map_err(D::Error::custom);
    members.map(read).transpose()
}

/// A time in a token; RFC 7519 section 2 lets it have a fraction, which is rounded as the library does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A cast of a float stops at the ends of the integer.
        f64::deserialize(deserializer).map(|seconds| Self(seconds.round() as u64))
    }
}

/// The library's error in our words. Its own may show a part of the token.
pub(super) fn reason(error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenError::Issuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::Json(_)
        | ErrorKind::Utf8(_) => TokenError::Claims,
        ErrorKind::InvalidAlgorithm => TokenError::WrongAlgorithm,
        // A key that the algorithm cannot use, or base64 that is none.
        _ => TokenError::NotAToken,
    }
}
