//! JSON Web Tokens: who says who somebody is, and what that one may do.
//!
//! Shape: [`Tokens`] holds the one source of keys that is configured and turns a token into an [`Identity`]. A key fixes its
//! one algorithm; what a token's header says can only agree with it. `jku`, `jwk`, `x5u` and `x5c` in a header are not looked
//! at.
//! Unit: times in a token are seconds since the Unix epoch; `leeway` is allowed on `exp` and `nbf`.
//! Bound: [`TOKEN_MAX_BYTES`].
//! Failure: [`TokenError`] says why to the operator; the client hears one sentence for all of it, but for keys that could
//! not be fetched yet, which are 503.
//! Source: RFC 7519, RFC 8725 (best current practice); protocol section 7; hazards part 1 row 7.

pub(crate) mod claims;
pub(crate) mod jwks;
pub(crate) mod key;

use std::{fs, path::Path, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, decode, decode_header};

use self::{
    claims::{Checks, Claims},
    jwks::Jwks,
    key::{Key, Keys},
};
use super::{
    identity::{Identity, TokenFacts, is_key_subject},
    rights::Grants,
};
use crate::config::{ConfigError, JwtConfig};

/// Whose tokens are good.
#[derive(Debug)]
pub(crate) struct Tokens {
    source: Source,
    leeway: Duration,
}

#[derive(Debug)]
enum Source {
    /// The secret or the PEM file.
    Fixed(Keys),
    /// The URL; a task keeps them fresh.
    Url(Arc<Jwks>),
}

/// Why a token proves nothing. No part of the token stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is no JWT at all, or has a header that cannot be read; `alg` is none of the four.
    #[error("it is no token with an algorithm that is served (HS256, RS256, ES256, EdDSA)")]
    NotAToken,
    /// It is longer than a token may be.
    #[error("it is longer than {TOKEN_MAX_BYTES} bytes")]
    TooLong,
    /// The header has `crit`: it asks for something that is not known here.
    #[error("its header asks for extensions (crit)")]
    Critical,
    /// No key has this `kid`, or the token names none among several.
    #[error("no key that is known has its kid")]
    UnknownKey,
    /// The key is for another algorithm.
    #[error("its alg is not the algorithm of the key")]
    WrongAlgorithm,
    /// The signature does not fit.
    #[error("its signature is not that of the key")]
    Signature,
    /// `exp` is over.
    #[error("it has expired")]
    Expired,
    /// `nbf` lies in the future.
    #[error("it is not valid yet (nbf)")]
    NotYet,
    /// `iss` is another, or missing where it counts.
    #[error("its iss is not the configured issuer")]
    Issuer,
    /// `aud` is another, or missing where it counts.
    #[error("its aud is not the configured audience")]
    Audience,
    /// `sub` or `exp` is missing, or a claim has the wrong form.
    #[error("a claim is missing or has the wrong form; sub and exp are required")]
    Claims,
    /// The subject cannot be one.
    #[error(
        "its sub cannot be a subject: 1 to 256 bytes without control characters, not beginning with \"key:\""
    )]
    Subject,
    /// The keys could not be fetched yet. Not the client's fault: it may come again.
    #[error("the keys could not be fetched yet")]
    NoKeysYet,
}

impl Tokens {
    /// Reads the keys, or gets ready to fetch them.
    ///
    /// # Errors
    /// The configuration cannot work, or the file cannot be read.
    pub(crate) fn new(config: &JwtConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let checks = Checks::new(config);
        let source = if let Some(secret) = &config.hs256_secret {
            // RFC 7518 section 3.2: a key of HS256 has at least 256 bits.
            if secret.expose().len() < GOOD_SECRET_BYTES {
                tracing::warn!("auth.jwt.hs256_secret is shorter than 32 bytes");
            }
            let key = DecodingKey::from_secret(secret.expose().as_bytes());
            Source::Fixed(Keys::one(Key::new(Algorithm::HS256, key, &checks)))
        } else if let Some(path) = &config.public_key_file {
            let (algorithm, key) = read_public_key(path)?;
            Source::Fixed(Keys::one(Key::new(algorithm, key, &checks)))
        } else {
            Source::Url(Arc::new(Jwks::new(config, checks)?))
        };
        Ok(Self {
            source,
            leeway: config.leeway,
        })
    }

    /// How long a token is good beyond its `exp`.
    pub(crate) fn leeway(&self) -> Duration {
        self.leeway
    }

    /// The keys behind a URL, where that is the source.
    pub(crate) fn jwks(&self) -> Option<&Arc<Jwks>> {
        match &self.source {
            Source::Fixed(_) => None,
            Source::Url(jwks) => Some(jwks),
        }
    }

    /// The key that a token needs and that is not here yet; to be waited for with [`Jwks::wait_for`].
    pub(crate) fn lacks(&self, token: &str) -> Option<WantedKey> {
        let jwks = self.jwks()?;
        if !is_token(token) {
            return None;
        }
        let kid = decode_header(token).ok()?.kid;
        jwks.lacks(kid.as_deref()).then_some(WantedKey { kid })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// It proves nothing.
    pub(crate) fn identify(&self, token: &str, grants: &Grants) -> Result<Identity, TokenError> {
        let claims = self.verify(token)?;
        if !is_subject(&claims.sub) {
            return Err(TokenError::Subject);
        }
        let (own, roles) = claims.tidewire.unwrap_or_default().split();
        let rights = grants.rights(&claims.sub, own, &roles);
        let facts = TokenFacts {
            subject: claims.sub,
            token_id: claims.jti,
            issued: claims.iat.map(|at| at.0),
            expires: claims.exp.0,
        };
        Ok(Identity::of_token(facts, rights))
    }

    /// The claims of a token that is good now.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::TooLong);
        }
        let header = decode_header(token).map_err(|_| TokenError::NotAToken)?;
        // RFC 7515 section 4.1.11: whoever does not understand what is critical refuses. We know no extension.
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let kid = header.kid.as_deref();
        let verified = match &self.source {
            Source::Fixed(keys) => check(token, keys.find(kid, header.alg)?),
            Source::Url(jwks) => {
                let keys = jwks.keys().ok_or(TokenError::NoKeysYet)?;
                check(token, keys.find(kid, header.alg)?)
            }
        };
        verified.map_err(|error| claims::reason(&error))
    }
}

/// A key that is to be fetched.
#[derive(Debug)]
pub(crate) struct WantedKey {
    kid: Option<String>,
}

fn check(token: &str, key: &Key) -> Result<Claims, jsonwebtoken::errors::Error> {
    decode::<Claims>(token, key.decoding(), key.validation()).map(|data| data.claims)
}

/// Whether it has the shape of a JWT. An API key may have it too; those are looked for first.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() <= TOKEN_MAX_BYTES && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Subjects stand in logs, in presence and in the names of publishers.
pub(super) fn is_subject(text: &str) -> bool {
    (1..=SUBJECT_MAX_BYTES).contains(&text.len())
        && !text.chars().any(char::is_control)
        && !is_key_subject(text)
}

fn read_public_key(path: &Path) -> Result<(Algorithm, DecodingKey), ConfigError> {
    let refuse =
        |accepted: String| ConfigError::new("auth.jwt.public_key_file", path.display(), accepted);
    let pem =
        fs::read(path).map_err(|error| refuse(format!("a file that can be read: {error}")))?;
    key::from_pem(&pem).ok_or_else(|| refuse(key::A_PUBLIC_KEY.into()))
}

/// The longest token: what fits into the header of a request.
const TOKEN_MAX_BYTES: usize = 16 * 1024;
const SUBJECT_MAX_BYTES: usize = 256;
const GOOD_SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests;
