//! Who asks, and what that one may do.
//!
//! Shape: one pointer to what the credentials have shown; every clone of it, in a session or a request, shares that.
//! Unit: times are seconds since the Unix epoch, as they stand in a token.
//! Failure: a right that is missing is 401 for a client without credentials (it may come back with some) and 403 for one
//! with. Whether a topic exists makes no difference to the answer.
//! Source: protocol section 7.

use std::sync::Arc;

use tidewire_protocol::{Code, Pattern, Topic};

use super::rights::Rights;
use crate::error::Refusal;

/// Who asks, and what that one may do. As large as a pointer, because each session holds one.
#[derive(Debug, Clone)]
pub(crate) struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `anonymous`, `key:NAME` or `sub:SUBJECT`: no token can take the name of a key.
    name: Arc<str>,
    kind: Kind,
    token_id: Option<Box<str>>,
    issued: Option<u64>,
    expires: Option<u64>,
    rights: Rights,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Anonymous,
    Key,
    Token,
}

/// What a token says of itself, checked.
#[derive(Debug, Clone)]
pub(crate) struct TokenFacts {
    /// `sub`.
    pub(crate) subject: String,
    /// `jti`.
    pub(crate) token_id: Option<String>,
    /// `iat`.
    pub(crate) issued: Option<u64>,
    /// `exp`.
    pub(crate) expires: u64,
}

impl Identity {
    /// A client without credentials.
    pub(crate) fn anonymous(rights: Rights) -> Self {
        Self(Arc::new(Inner {
            name: "anonymous".into(),
            kind: Kind::Anonymous,
            token_id: None,
            issued: None,
            expires: None,
            rights,
        }))
    }

    /// The holder of an API key.
    pub(crate) fn of_key(name: &str, rights: Rights) -> Self {
        Self(Arc::new(Inner {
            name: key_subject(name).into(),
            kind: Kind::Key,
            token_id: None,
            issued: None,
            expires: None,
            rights,
        }))
    }

    /// The subject of a token.
    pub(crate) fn of_token(facts: TokenFacts, rights: Rights) -> Self {
        Self(Arc::new(Inner {
            name: format!("{OF_TOKEN}{}", facts.subject).into(),
            kind: Kind::Token,
            token_id: facts.token_id.map(Into::into),
            issued: facts.issued,
            expires: Some(facts.expires),
            rights,
        }))
    }

    /// The same one as the user's backend sees it: an anonymous client may get a subject, and lists of rights may be others.
    pub(crate) fn as_the_backend_says(
        &self,
        subject: Option<&str>,
        subscribe: Option<&Vec<Pattern>>,
        publish: Option<&Vec<Pattern>>,
    ) -> Self {
        let inner = &*self.0;
        let mut rights = inner.rights.clone();
        if let Some(patterns) = subscribe {
            rights.subscribe.clone_from(patterns);
        }
        if let Some(patterns) = publish {
            rights.publish.clone_from(patterns);
        }
        let (name, kind) = match (inner.kind, subject) {
            (Kind::Anonymous, Some(subject)) => {
                (format!("{OF_TOKEN}{subject}").into(), Kind::Token)
            }
            (kind, _) => (inner.name.clone(), kind),
        };
        Self(Arc::new(Inner {
            name,
            kind,
            token_id: inner.token_id.clone(),
            issued: inner.issued,
            expires: inner.expires,
            rights,
        }))
    }

    /// The name under which this one publishes: idempotency keys and rates count by it.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Whose sessions are counted together; nobody's without credentials.
    pub(crate) fn holder(&self) -> Option<Arc<str>> {
        (!self.is_anonymous()).then(|| Arc::clone(&self.0.name))
    }

    /// `sub` of a token, `key:NAME` of a key; nobody is the subject of an anonymous client.
    pub(crate) fn subject(&self) -> Option<&str> {
        match self.0.kind {
            Kind::Anonymous => None,
            Kind::Key => Some(&self.0.name),
            Kind::Token => self.0.name.strip_prefix(OF_TOKEN),
        }
    }

    /// `jti` of a token: kick and hooks name a token by it.
    pub(crate) fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }

    /// `iat` of a token.
    pub(crate) fn issued(&self) -> Option<u64> {
        self.0.issued
    }

    /// `exp` of a token.
    pub(crate) fn expires(&self) -> Option<u64> {
        self.0.expires
    }

    /// What may be done.
    pub(crate) fn rights(&self) -> &Rights {
        &self.0.rights
    }

    /// Whether this is the holder of an API key.
    pub(crate) fn is_key(&self) -> bool {
        self.0.kind == Kind::Key
    }

    /// Whether no credentials were shown.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.0.kind == Kind::Anonymous
    }

    /// Whether there is anything at all that this one may do.
    pub(crate) fn may_anything(&self) -> bool {
        !self.0.rights.is_empty()
    }

    /// Whether there is any topic that this one may publish to; asked before a body is read.
    pub(crate) fn may_publish_anywhere(&self) -> bool {
        !self.0.rights.publish.is_empty()
    }

    /// Whether everything that the pattern can match may be read.
    pub(crate) fn may_subscribe(&self, pattern: &Pattern) -> bool {
        self.0.rights.may_subscribe(pattern)
    }

    /// Whether the topic may be published to. The gateway's own topics never.
    pub(crate) fn may_publish(&self, topic: &Topic) -> bool {
        self.0.rights.may_publish(topic)
    }

    /// Whether the topic's events may be forgotten. Clients without credentials never may.
    pub(crate) fn may_forget(&self, topic: &Topic) -> bool {
        !self.is_anonymous() && self.0.rights.may_forget(topic)
    }

    /// The refusal for a right that is missing.
    pub(crate) fn refusal(&self) -> Refusal {
        if self.is_anonymous() {
            Refusal::new(
                Code::Unauthorized,
                "this needs credentials: Authorization: Bearer TOKEN",
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

/// The subject of a key.
pub(crate) fn key_subject(name: &str) -> String {
    format!("{OF_KEY}{name}")
}

/// Whether a token may have this subject: what begins like that of a key is a key's alone.
pub(crate) fn is_key_subject(subject: &str) -> bool {
    subject.starts_with(OF_KEY)
}

const OF_KEY: &str = "key:";
const OF_TOKEN: &str = "sub:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_has_the_name_of_a_key_or_of_nobody() {
        let facts = |subject: &str| TokenFacts {
            subject: subject.into(),
            token_id: None,
            issued: None,
            expires: 1,
        };
        let token = Identity::of_token(facts("key:shop"), Rights::default());
        assert_ne!(
            token.name(),
            Identity::of_key("shop", Rights::default()).name()
        );
        let token = Identity::of_token(facts("anonymous"), Rights::default());
        assert_ne!(token.name(), Identity::anonymous(Rights::default()).name());
        assert_eq!(token.subject(), Some("anonymous"));
    }

    #[test]
    fn without_credentials_nobody_forgets_whatever_the_rights_say() {
        let everything = Rights {
            forget: vec![Pattern::parse(">").unwrap()],
            ..Rights::default()
        };
        let topic = Topic::parse("a").unwrap();
        assert!(Identity::of_key("shop", everything.clone()).may_forget(&topic));
        assert!(!Identity::anonymous(everything).may_forget(&topic));
    }

    #[test]
    fn an_identity_is_as_large_as_a_pointer() {
        assert_eq!(size_of::<Identity>(), size_of::<usize>());
    }
}
