//! Keys that are fetched from a URL, and kept fresh.
//!
//! Shape: one task fetches ([`Jwks::keep_fresh`]); requests read what it has, and may ask it for a key that is not there.
//! Bound: `jwks_timeout` and `jwks_max_bytes` for a fetch, `jwks_pause` between the ends of two, `jwks_refresh` between two
//! that nobody asked for. A request waits at most `jwks_timeout`.
//! Failure: what cannot be fetched or read changes nothing: the old keys go on, and the log says so. Redirects are not
//! followed; the address is the configuration's and no proxy's.
//! Source: RFC 7517; hazards part 1 row 29, part 2 row 31.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonwebtoken::jwk::Jwk;
use reqwest::{Client, Url, header::ACCEPT, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    WantedKey,
    claims::Checks,
    key::{Key, Keys},
};
use crate::{
    config::{ConfigError, JwtConfig},
    limits::bytes,
};

/// The keys behind a URL.
#[derive(Debug)]
pub(crate) struct Jwks {
    url: Url,
    client: Client,
    checks: Checks,
    refresh: Duration,
    pause: Duration,
    timeout: Duration,
    max_bytes: usize,
    /// Std mutex: held for one look, never across an await.
    state: Mutex<State>,
    wanted: Notify,
    /// Counts the fetches that have ended.
    fetches: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// `None` until the first fetch that brought some.
    keys: Option<Arc<Keys>>,
    phase: Phase,
}

/// Where the task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A fetch is under way, or about to begin.
    Fetching,
    /// The last one has just ended: nobody gets another yet.
    Resting,
    /// Whoever asks gets one.
    Ready,
}

/// Why a fetch brought nothing.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the request failed: {0}")]
    Request(#[from] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is longer than jwks_max_bytes")]
    TooLong,
    #[error("the answer is no set of keys")]
    NotASet,
    #[error("no key of the set can be used")]
    NoKey,
}

impl Jwks {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// The URL is not one that keys may come from.
    pub(super) fn new(config: &JwtConfig, checks: Checks) -> Result<Self, ConfigError> {
        let text = config.jwks_url.as_deref().unwrap_or_default();
        let refuse = |accepted: &str| ConfigError::new("auth.jwt.jwks_url", text, accepted);
        let url = address(text).ok_or_else(|| refuse(AN_ADDRESS))?;
        let tls = tls(&url).ok_or_else(|| {
            refuse("https needs certificates that the system trusts; it has none")
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(config.jwks_timeout)
            .build()
            .map_err(|_| refuse("an address that this system can fetch"))?;
        Ok(Self {
            url,
            client,
            checks,
            refresh: config.jwks_refresh,
            pause: config.jwks_pause,
            timeout: config.jwks_timeout,
            max_bytes: bytes(config.jwks_max_bytes),
            state: Mutex::new(State {
                keys: None,
                phase: Phase::Fetching,
            }),
            wanted: Notify::new(),
            fetches: watch::Sender::new(0),
        })
    }

    /// Fetches now, again when it is time, and when somebody asks. Runs for as long as the gateway does.
    pub(crate) async fn keep_fresh(&self) {
        loop {
            let is_fresh = self.fetch().await;
            sleep(self.pause).await;
            self.lock().phase = Phase::Ready;
            let rest = match is_fresh {
                true => self.refresh.saturating_sub(self.pause),
                // What was asked for may be there by now.
                false => Duration::ZERO,
            };
            let heard = timeout(rest, self.wanted.notified()).await.is_ok();
            let phase = std::mem::replace(&mut self.lock().phase, Phase::Fetching);
            if phase == Phase::Fetching && !heard {
                // Asked in the moment in which the time was over: one fetch serves both.
                self.wanted.notified().await;
            }
        }
    }

    /// One fetch. Whether it brought keys.
    pub(crate) async fn fetch(&self) -> bool {
        let fetched = self.fetched().await;
        let mut state = self.lock();
        let is_fresh = match fetched {
            Ok(keys) => {
                state.keys = Some(Arc::new(keys));
                true
            }
            Err(error) => {
                let host = self.url.host_str();
                let goes_on = state.keys.is_some();
                tracing::warn!(host, %error, goes_on, "the keys of tokens were not fetched");
                false
            }
        };
        state.phase = Phase::Resting;
        drop(state);
        self.fetches.send_modify(|count| *count += 1);
        is_fresh
    }

    /// The keys, once there are any.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.lock().keys.clone()
    }

    /// Whether a fetch could bring the key that a token names.
    pub(super) fn lacks(&self, kid: Option<&str>) -> bool {
        self.lock().lacks(kid)
    }

    /// Waits for the end of a fetch, which begins now unless one is under way or has just been.
    ///
    /// # Cancel safety
    /// A dropped call leaves the fetch running.
    pub(crate) async fn wait_for(&self, wanted: &WantedKey) {
        // Listens before it looks, so that no end is missed.
        let mut ended = self.fetches.subscribe();
        let phase = {
            let mut state = self.lock();
            if !state.lacks(wanted.kid.as_deref()) {
                return;
            }
            std::mem::replace(&mut state.phase, Phase::Fetching)
        };
        // Only the first one asks: a fetch serves everybody.
        if phase == Phase::Ready {
            self.wanted.notify_one();
        }
        let _in_time = timeout(self.timeout, ended.changed()).await;
    }

    async fn fetched(&self) -> Result<Keys, FetchError> {
        let request = self.client.get(self.url.clone());
        let mut answer = request.header(ACCEPT, "application/json").send().await?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        self.read(&body)
    }

    /// One by one: a kind of key that is not known here must not take the others with it.
    fn read(&self, body: &[u8]) -> Result<Keys, FetchError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(body).map_err(|_| FetchError::NotASet)?;
        let known: Vec<Key> = set
            .keys
            .into_iter()
            .filter_map(|value| serde_json::from_value::<Jwk>(value).ok())
            .filter_map(|jwk| Key::from_jwk(&jwk, &self.checks))
            .collect();
        if known.is_empty() {
            return Err(FetchError::NoKey);
        }
        Ok(Keys::of_set(known))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lacks(&self, kid: Option<&str>) -> bool {
        match (&self.keys, kid) {
            _ if self.phase == Phase::Resting => false,
            (None, _) => true,
            (Some(keys), Some(kid)) => !keys.has(kid),
            (Some(_), None) => false,
        }
    }
}

/// Whether keys may come from there.
pub(crate) fn is_address(text: &str) -> bool {
    address(text).is_some()
}

/// https, or http to this machine itself, where nobody is in between. No password in it: it would stand in logs.
fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let is_here = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    (is_safe && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// Whom the fetch trusts. Without TLS the HTTP client wants a configuration all the same: it trusts nobody.
fn tls(url: &Url) -> Option<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?;
    let builder = match url.scheme() {
        "https" => builder.with_platform_verifier().ok()?,
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    Some(builder.with_no_client_auth())
}

/// The accepted form of the URL.
pub(crate) const AN_ADDRESS: &str =
    "an https address without a password (http only to localhost, 127.0.0.1 or [::1])";

#[cfg(test)]
mod tests;
