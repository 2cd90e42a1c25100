//! Who may do what.
//!
//! Shape: [`Auth`] turns what a request shows, a ticket, or the token of an `auth` frame, into an [`Identity`]; the identity
//! answers what every verb asks: subscribe, publish, forget. Below it [`identity`] and [`rights`], and the kinds of proof,
//! one file each.
//! Failure: a bad proof is 401 whatever is asked. A right that is missing is 401 for a client without credentials (it may
//! come back with some) and 403 for one with. Whether a topic exists makes no difference to the answer. A token whose key
//! could not be fetched yet is 503.
//! Source: protocol section 7.

mod access;
pub(crate) mod api_key;
pub(crate) mod cookie;
pub(crate) mod expiry;
pub(crate) mod grant_pattern;
pub(crate) mod identity;
pub(crate) mod jwt;
pub(crate) mod mint;
pub(crate) mod rights;
pub(crate) mod ticket;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, Request, header::AUTHORIZATION, request::Parts};
use tidewire_protocol::{Code, Pattern};
use tokio_util::task::AbortOnDropHandle;

pub use self::{
    access::{Access, AccessError},
    grant_pattern::GrantPattern,
    jwt::TokenError,
};
use self::{
    api_key::Keys,
    cookie::Unproven,
    jwt::{Tokens, WantedKey},
    rights::{Grants, Rights},
    ticket::Tickets,
};
pub(crate) use self::{expiry::Expiry, identity::Identity};
use crate::{
    config::{AuthConfig, ConfigError},
    error::Refusal,
    gateway::Shared,
    revocation::Revocations,
};

/// What a request shows of who sent it.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    headers: &'a HeaderMap,
    /// The front's word about the cookie stands here.
    extensions: &'a Extensions,
}

impl<'a> Shown<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    pub(crate) fn of_parts(parts: &'a Parts) -> Self {
        Self {
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

/// Who sent a request, for its handler.
impl FromRequestParts<Shared> for Identity {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gateway: &Shared) -> Result<Self, Refusal> {
        gateway.auth.identify(Shown::of_parts(parts))
    }
}

/// How clients prove who they are.
#[derive(Debug)]
pub(crate) struct Auth {
    anonymous: Identity,
    keys: Keys,
    grants: Grants,
    /// `None`: no token is good.
    tokens: Option<Tokens>,
    tickets: Tickets,
    revocations: Revocations,
}

impl Auth {
    /// Checks what can be checked without opening anything.
    ///
    /// # Errors
    /// A value that cannot work.
    pub(crate) fn check(config: &AuthConfig) -> Result<(), ConfigError> {
        let grants = Grants::new(config.authenticated.as_ref(), &config.roles)?;
        Keys::new(&config.keys, &grants)?;
        Tickets::new(config)?;
        config.jwt.as_ref().map_or(Ok(()), |jwt| jwt.check())
    }

    /// Reads the configuration and the file of a public key. `loopback`: every public listener is on loopback, so that only
    /// this machine can come.
    ///
    /// # Errors
    /// A value that cannot work.
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
        if config.jwt.is_some() && config.anonymous.is_none() && loopback {
            // Right for a first try, wrong behind a proxy on this machine.
            tracing::warn!(
                "clients without a token may do everything: [auth.anonymous] is missing"
            );
        }
        let grants = Grants::new(config.authenticated.as_ref(), &config.roles)?;
        Ok(Self {
            anonymous: Identity::anonymous(rights),
            keys: Keys::new(&config.keys, &grants)?,
            tokens: config.jwt.as_ref().map(Tokens::new).transpose()?,
            tickets: Tickets::new(config)?,
            grants,
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

    /// Keeps the keys of tokens fresh until the handle is dropped. `None`: they do not come from a URL.
    pub(crate) fn keep_keys_fresh(&self) -> Option<AbortOnDropHandle<()>> {
        let jwks = Arc::clone(self.tokens.as_ref()?.jwks()?);
        let fetching = tokio::spawn(async move { jwks.keep_fresh().await });
        Some(AbortOnDropHandle::new(fetching))
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// 401 for credentials that prove nothing, 403 for a cookie without proof that a page asked which may, 503 while there
    /// are no keys.
    pub(crate) fn identify(&self, shown: Shown<'_>) -> Result<Identity, Refusal> {
        match self.credential(shown.headers)? {
            Credential::None => Ok(self.anonymous.clone()),
            Credential::Bearer(token) => self.identify_token(token),
            Credential::Cookie(_) if shown.extensions.get::<Unproven>().is_some() => {
                Err(Refusal::new(Code::Forbidden, UNPROVEN))
            }
            Credential::Cookie(token) => {
                let tokens = self.tokens.as_ref().ok_or_else(bad_credentials)?;
                let identity = tokens.identify(token, &self.grants).map_err(refused)?;
                self.require_good(&identity)?;
                Ok(identity)
            }
        }
    }

    /// Who shows this token, in a header or in an `auth` frame.
    ///
    /// # Errors
    /// As [`Auth::identify`].
    pub(crate) fn identify_token(&self, token: &str) -> Result<Identity, Refusal> {
        let identity = self.judge(token).map_err(refused)?;
        self.require_good(&identity)?;
        Ok(identity)
    }

    /// The same, with the reason that only the operator learns.
    fn judge(&self, token: &str) -> Result<Identity, TokenError> {
        if let Some(identity) = self.keys.find(token) {
            return Ok(identity);
        }
        let tokens = self.tokens.as_ref().ok_or(TokenError::NotAToken)?;
        tokens.identify(token, &self.grants)
    }

    /// Whose ticket this is. It is worth nothing afterwards.
    ///
    /// # Errors
    /// 401: not known, used, too old, or its token is over or was revoked.
    pub(crate) fn take_ticket(&self, ticket: &str) -> Result<Identity, Refusal> {
        let identity = self.tickets.take(ticket, Instant::now());
        let identity = identity
            .filter(|identity| !expiry::is_over(identity.expires(), self.leeway()))
            .ok_or_else(bad_credentials)?;
        self.require_good(&identity)?;
        Ok(identity)
    }

    /// The tickets.
    pub(crate) fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// When a session of this identity ends.
    pub(crate) fn expiry(&self, identity: &Identity) -> Expiry {
        Expiry::of(identity, self.leeway())
    }

    /// Whether a request shows a cookie that counts.
    pub(crate) fn reads_cookie(&self, headers: &HeaderMap) -> bool {
        self.tokens.is_some() && !headers.contains_key(AUTHORIZATION) && cookie::is_shown(headers)
    }

    /// The key that a request needs and that has not been fetched; to be waited for before it is answered.
    pub(crate) fn lacks(&self, headers: &HeaderMap) -> Option<WantedKey> {
        let tokens = self.tokens.as_ref()?;
        tokens.jwks()?;
        match self.credential(headers).ok()? {
            Credential::None => None,
            Credential::Bearer(token) | Credential::Cookie(token) => tokens.lacks(token),
        }
    }

    /// Waits for a key, within `jwks_timeout`.
    pub(crate) async fn wait_for(&self, wanted: &WantedKey) {
        if let Some(jwks) = self.tokens.as_ref().and_then(Tokens::jwks) {
            jwks.wait_for(wanted).await;
        }
    }

    /// The same for the token of an `auth` frame.
    pub(crate) async fn wait_for_key_of(&self, token: &str) {
        if let Some(wanted) = self.tokens.as_ref().and_then(|tokens| tokens.lacks(token)) {
            self.wait_for(&wanted).await;
        }
    }

    fn leeway(&self) -> Duration {
        self.tokens.as_ref().map_or(Duration::ZERO, Tokens::leeway)
    }

    /// What a request shows. A bearer wins over a cookie, which a browser sends unasked.
    fn credential<'a>(&self, headers: &'a HeaderMap) -> Result<Credential<'a>, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        if let Some(value) = values.next() {
            let text = value.to_str().ok().filter(|_| values.next().is_none());
            let token = text.and_then(bearer).ok_or_else(bad_credentials)?;
            return Ok(Credential::Bearer(token));
        }
        if self.tokens.is_none() {
            return Ok(Credential::None);
        }
        let cookie = cookie::token(headers).map_err(|_two| bad_credentials())?;
        Ok(cookie.map_or(Credential::None, Credential::Cookie))
    }
}

/// What stands in the headers of a request.
enum Credential<'a> {
    None,
    Bearer(&'a str),
    Cookie(&'a str),
}

/// A token that proves nothing, as the client hears of it. The log says why.
fn refused(why: TokenError) -> Refusal {
    tracing::debug!(%why, "token refused");
    match why {
        TokenError::NoKeysYet => Refusal::unavailable(NO_KEYS_PAUSE),
        _ => bad_credentials(),
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

const UNPROVEN: &str =
    "a cookie counts only with an Origin that may use it; send Authorization: Bearer TOKEN instead";
/// When to come again where the keys of tokens could not be fetched yet.
const NO_KEYS_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use http::HeaderValue;
    use tidewire_protocol::Topic;

    use super::{identity::TokenFacts, *};
    use crate::config::{AnonymousConfig, KeyConfig};

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn topic(text: &str) -> Topic {
        Topic::parse(text).unwrap()
    }

    fn anonymous(config: &AuthConfig, loopback: bool) -> Identity {
        let auth = Auth::new(config, loopback).unwrap();
        auth.identify(Shown::of(&Request::new(()))).unwrap()
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
    fn a_good_key_counts_as_a_bearer_and_once_only() {
        let config = AuthConfig {
            keys: vec![KeyConfig {
                name: "shop".into(),
                sha256: "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a".into(),
                ..KeyConfig::default()
            }],
            ..AuthConfig::default()
        };
        let auth = Auth::new(&config, true).unwrap();
        for (shown, is_good) in [
            (&["Bearer k"][..], true),
            (&["bearer k"], true),
            (&["Basic k"], false),
            (&["k"], false),
            (&["Bearer k", "Bearer k"], false),
            (&["Bearer k", "Bearer other"], false),
        ] {
            let mut request = Request::new(());
            for value in shown {
                let value = HeaderValue::from_static(value);
                request.headers_mut().append(AUTHORIZATION, value);
            }
            let identity = auth.identify(Shown::of(&request));
            assert_eq!(identity.is_ok_and(|one| one.is_key()), is_good, "{shown:?}");
        }
    }

    #[test]
    fn a_ticket_is_worth_nothing_once_the_token_that_bought_it_is_over() {
        let auth = Auth::new(&AuthConfig::default(), true).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        for (expires, is_good) in [(now.as_secs() + 60, true), (now.as_secs() - 1, false)] {
            let facts = TokenFacts {
                subject: "u1".into(),
                token_id: None,
                issued: None,
                expires,
            };
            let buyer = Identity::of_token(facts, Rights::default());
            let ticket = auth.tickets().give(&buyer, Instant::now()).unwrap();
            assert_eq!(auth.take_ticket(&ticket).is_ok(), is_good);
        }
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
            let request = Request::builder().header(AUTHORIZATION, bad);
            let request = request.body(()).unwrap();
            assert!(auth.identify(Shown::of(&request)).is_err(), "{bad}");
        }
        assert_eq!(bearer("bEARER  k"), Some("k"));
    }
}
