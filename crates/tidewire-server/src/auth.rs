//! Who may do what.
//!
//! Shape: [`Auth`] turns the headers of a request, or the token of an `auth` frame, into an [`Identity`]; the identity
//! answers the three questions that every verb asks: subscribe, publish, forget. Below it the kinds of proof, one file
//! each; API keys are the first.
//! Failure: a bad proof is 401 whatever is asked. A right that is missing is 401 for a client without credentials (it may
//! come back with some) and 403 for one with. Whether a topic exists makes no difference to the answer.
//! Source: protocol section 7.

pub(crate) mod api_key;

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION};
use tidewire_protocol::{Code, Pattern, Topic};

use self::api_key::Keys;
use crate::{
    config::{AuthConfig, ConfigError},
    error::Refusal,
};

/// Who asks, and what that one may do. Clones share the rights.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// `anonymous` or `key:NAME`: publish keys count by it.
    name: Arc<str>,
    rights: Arc<Rights>,
    anonymous: bool,
}

/// Patterns that cover what may be done. An empty list allows nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    pub(crate) subscribe: Vec<Pattern>,
    pub(crate) publish: Vec<Pattern>,
    pub(crate) forget: Vec<Pattern>,
}

impl Identity {
    pub(crate) fn new(name: &str, rights: Rights, anonymous: bool) -> Self {
        Self {
            name: name.into(),
            rights: Arc::new(rights),
            anonymous,
        }
    }

    /// The name under which this one publishes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whose sessions are counted together; nobody's without credentials.
    pub(crate) fn subject(&self) -> Option<Arc<str>> {
        (!self.anonymous).then(|| Arc::clone(&self.name))
    }

    /// Whether no credentials were shown.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Whether there is anything at all that this one may do.
    pub(crate) fn may_anything(&self) -> bool {
        let Rights {
            subscribe,
            publish,
            forget,
        } = self.rights.as_ref();
        !(subscribe.is_empty() && publish.is_empty() && forget.is_empty())
    }

    /// Whether there is any topic that this one may publish to; asked before a body is read.
    pub(crate) fn may_publish_anywhere(&self) -> bool {
        !self.rights.publish.is_empty()
    }

    /// Whether everything that the pattern can match may be read.
    pub(crate) fn may_subscribe(&self, pattern: &Pattern) -> bool {
        covers(&self.rights.subscribe, pattern)
    }

    /// Whether the topic may be published to. The gateway's own topics never.
    pub(crate) fn may_publish(&self, topic: &Topic) -> bool {
        !topic.is_reserved() && matches(&self.rights.publish, topic)
    }

    /// Whether the topic's events may be forgotten.
    pub(crate) fn may_forget(&self, topic: &Topic) -> bool {
        matches(&self.rights.forget, topic)
    }

    /// The refusal for a right that is missing.
    pub(crate) fn refusal(&self) -> Refusal {
        if self.anonymous {
            Refusal::new(
                Code::Unauthorized,
                "this needs credentials: Authorization: Bearer KEY",
            )
        } else {
            Refusal::new(
                Code::Forbidden,
                "these credentials do not give the right to do this",
            )
        }
    }

    /// Asks for the right to read all of these.
    ///
    /// # Errors
    /// 401 or 403; the same whichever pattern it is.
    pub(crate) fn require_subscribe(&self, patterns: &[Pattern]) -> Result<(), Refusal> {
        if patterns.iter().all(|pattern| self.may_subscribe(pattern)) {
            return Ok(());
        }
        Err(self.refusal())
    }
}

fn covers(granted: &[Pattern], wanted: &Pattern) -> bool {
    granted.iter().any(|pattern| pattern.covers(wanted))
}

fn matches(granted: &[Pattern], topic: &Topic) -> bool {
    granted.iter().any(|pattern| pattern.matches(topic))
}

/// How clients prove who they are.
#[derive(Debug)]
pub(crate) struct Auth {
    anonymous: Identity,
    keys: Keys,
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
                forget: Vec::new(),
            },
            None if loopback => Rights {
                subscribe: everything(),
                publish: everything(),
                forget: Vec::new(),
            },
            None => Rights::default(),
        };
        Ok(Self {
            anonymous: Identity::new("anonymous", rights, true),
            keys: Keys::new(&config.keys)?,
        })
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
        self.keys.find(token).ok_or_else(bad_credentials)
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
                publish: vec![],
            }),
            keys: vec![],
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
