//! Who may do what.
//!
//! Shape: [`Auth`] turns the headers of a request, or the token of an `auth` frame, into an [`Identity`]; the identity
//! answers what every verb asks: subscribe, publish, forget. Below it [`identity`] and [`rights`], and the kinds of proof,
//! one file each; API keys are the first.
//! Failure: a bad proof is 401 whatever is asked. A right that is missing is 401 for a client without credentials (it may
//! come back with some) and 403 for one with. Whether a topic exists makes no difference to the answer.
//! Source: protocol section 7.

pub(crate) mod api_key;
pub(crate) mod grant_pattern;
pub(crate) mod identity;
pub(crate) mod rights;

use http::{HeaderMap, header::AUTHORIZATION};
use tidewire_protocol::{Code, Pattern};

pub(crate) use self::identity::Identity;
use self::{
    api_key::Keys,
    rights::{Grants, Rights},
};
use crate::{
    config::{AuthConfig, ConfigError},
    error::Refusal,
    revocation::Revocations,
};

/// How clients prove who they are.
#[derive(Debug)]
pub(crate) struct Auth {
    anonymous: Identity,
    keys: Keys,
    revocations: Revocations,
}

impl Auth {
    /// Reads the configuration. `loopback`: every public listener is on loopback, so that only this machine can come.
    ///
    /// # Errors
    /// A key that cannot work.
    pub(crate) fn new(config: &AuthConfig, loopback: bool) -> Result<Self, ConfigError> {
        let everything = || vec![Pattern::parse(">").expect("\">\" is a pattern")];
        let rights = match &config.anonymous {
            Some(anonymous) => Rights {
                subscribe: anonymous.subscribe.clone(),
                publish: anonymous.publish.clone(),
                presence: anonymous.presence.clone(),
                forget: Vec::new(),
            },
            None if loopback => Rights {
                subscribe: everything(),
                publish: everything(),
                ..Rights::default()
            },
            None => Rights::default(),
        };
        let grants = Grants::new(config.authenticated.as_ref(), &config.roles)?;
        Ok(Self {
            anonymous: Identity::anonymous(rights),
            keys: Keys::new(&config.keys, &grants)?,
            revocations: Revocations::default(),
        })
    }

    /// The same, with credentials that are good no longer.
    pub(crate) fn with_revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = revocations;
        self
    }

    /// What is good no longer.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Asks that these credentials have not been revoked: at each identification, and again once a session is in the list.
    ///
    /// # Errors
    /// 401, as for any bad credentials.
    pub(crate) fn require_good(&self, identity: &Identity) -> Result<(), Refusal> {
        match self.revocations.refuse(identity) {
            true => Err(bad_credentials()),
            false => Ok(()),
        }
    }

    /// Who sent a request with these headers.
    ///
    /// # Errors
    /// 401 for credentials that prove nothing.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Identity, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Ok(self.anonymous.clone());
        };
        let text = value.to_str().ok().filter(|_| values.next().is_none());
        let token = text.and_then(bearer).ok_or_else(bad_credentials)?;
        self.identify_token(token)
    }

    /// Who shows this token, in a header or in an `auth` frame.
    ///
    /// # Errors
    /// 401 for a token that proves nothing.
    pub(crate) fn identify_token(&self, token: &str) -> Result<Identity, Refusal> {
        let identity = self.keys.find(token).ok_or_else(bad_credentials)?;
        self.require_good(&identity)?;
        Ok(identity)
    }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// One sentence for every kind of bad credentials, so that nothing is learned from it.
pub(crate) fn bad_credentials() -> Refusal {
    Refusal::new(Code::Unauthorized, "these credentials are not accepted")
}

#[cfg(test)]
mod tests {
    use tidewire_protocol::Topic;

    use super::*;
    use crate::config::AnonymousConfig;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn topic(text: &str) -> Topic {
        Topic::parse(text).unwrap()
    }

    fn anonymous(config: &AuthConfig, loopback: bool) -> Identity {
        let auth = Auth::new(config, loopback).unwrap();
        auth.identify(&HeaderMap::new()).unwrap()
    }

    #[test]
    fn on_loopback_anybody_may_do_everything_but_forget_and_the_gateways_own() {
        let identity = anonymous(&AuthConfig::default(), true);
        assert!(identity.may_subscribe(&pattern("a.>")));
        assert!(identity.may_publish(&topic("a.b")));
        assert!(!identity.may_publish(&topic("$presence.a")));
        assert!(!identity.may_subscribe(&pattern("$presence.>")));
        assert!(!identity.may_forget(&topic("a.b")));
    }

    #[test]
    fn elsewhere_the_default_is_nothing() {
        let identity = anonymous(&AuthConfig::default(), false);
        assert!(!identity.may_anything());
        assert!(!identity.may_publish_anywhere());
    }

    #[test]
    fn what_is_configured_for_anonymous_counts_on_loopback_too() {
        let config = AuthConfig {
            anonymous: Some(AnonymousConfig {
                subscribe: vec![pattern("public.>")],
                ..AnonymousConfig::default()
            }),
            ..AuthConfig::default()
        };
        let identity = anonymous(&config, true);
        assert!(identity.may_subscribe(&pattern("public.*")));
        assert!(!identity.may_subscribe(&pattern(">")));
        assert!(
            identity
                .require_subscribe(&[pattern("public.a"), pattern("b")])
                .is_err()
        );
        assert!(!identity.may_publish(&topic("public.a")));
    }

    #[test]
    fn only_a_bearer_counts() {
        let auth = Auth::new(&AuthConfig::default(), true).unwrap();
        for bad in [
            "Basic eDp5",
            "Bearer",
            "Bearer ",
            "Bearer nonsense",
            "nonsense",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, bad.parse().unwrap());
            assert!(auth.identify(&headers).is_err(), "{bad}");
        }
        assert_eq!(bearer("bEARER  k"), Some("k"));
    }
}
