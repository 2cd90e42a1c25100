//! What one may do with a credential, for whoever runs the gateway.
//!
//! Shape: the same judgement as that of a running gateway, with the reason that clients are not told.
//! Bound: one fetch of keys, where they come from a URL.
//! Source: protocol section 7.

use tidewire_protocol::Pattern;

use super::{Auth, TokenError};
use crate::config::{AuthConfig, ConfigError};

/// Who shows a credential, and what that one may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `sub` of a token, `key:NAME` of a key.
    pub subject: String,
    /// `jti` of a token.
    pub token_id: Option<String>,
    /// `iat` of a token, in seconds since the Unix epoch.
    pub issued: Option<u64>,
    /// `exp` of a token, likewise. A key has none.
    pub expires: Option<u64>,
    /// Patterns that may be subscribed and read.
    pub subscribe: Vec<Pattern>,
    /// Patterns that may be published to.
    pub publish: Vec<Pattern>,
    /// Patterns whose members may be seen.
    pub presence: Vec<Pattern>,
    /// Patterns whose events may be forgotten.
    pub forget: Vec<Pattern>,
}

/// Why a credential gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A value of the configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The token proves nothing, and it is no key.
    #[error("neither a key nor a good token: {0}")]
    Refused(#[from] TokenError),
}

impl Access {
    /// What this configuration makes of an API key or a token.
    ///
    /// # Errors
    /// Nothing.
    pub async fn of(config: &AuthConfig, token: &str) -> Result<Self, AccessError> {
        Auth::check(config)?;
        let auth = Auth::new(config, false)?;
        if let Some(jwks) = auth.tokens.as_ref().and_then(|tokens| tokens.jwks()) {
            jwks.fetch().await;
        }
        let identity = auth.judge(token)?;
        let rights = identity.rights();
        Ok(Self {
            subject: identity.subject().unwrap_or_default().to_owned(),
            token_id: identity.token_id().map(str::to_owned),
            issued: identity.issued(),
            expires: identity.expires(),
            subscribe: rights.subscribe.clone(),
            publish: rights.publish.clone(),
            presence: rights.presence.clone(),
            forget: rights.forget.clone(),
        })
    }
}
