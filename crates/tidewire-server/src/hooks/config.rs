//! What the hooks are told: `[hooks]` of the configuration.
//!
//! Shape: what all hooks share, and a table for each of the three. A hook without a `url` is off.
//! Unit: durations carry theirs, everything else is a count.
//! Failure: a value that cannot work is refused at the start and named; the secret is never shown.
//! Source: protocol document, "Hooks".

use std::{net::IpAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use http::HeaderName;
use serde::{Deserialize, Serialize};
use tidewire_protocol::Pattern;
use url::{Host, Url};

use super::target::Targets;
use crate::config::{ConfigError, Secret};

/// Questions to the user's backend: `[hooks]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HooksConfig {
    /// Signs each question: HMAC-SHA256, in `Tidewire-Signature`. At least 16 characters. Default none; needed where any
    /// hook has a `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Time for one attempt, from the connection to the last byte of the answer, and for the wait for a place. Default
    /// 2 s. Later: the attempt has failed.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Attempts after a first one that failed. Default 2. After the last: the hook has failed.
    pub retries: u32,
    /// The longest pause before the first repeat; it doubles with each further one, and the real one is random below it.
    /// Default 100 ms.
    #[serde(with = "humantime_serde")]
    pub retry_pause: Duration,
    /// Attempts under way at a time, of all hooks together. Default 64. One more waits for a place, at most `timeout`.
    pub concurrency: usize,
    /// Failures of one hook in a row after which its backend is left alone. Default 5. From then on the hook fails at once.
    pub breaker_failures: u32,
    /// How long it is left alone before one question tries it again. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub breaker_pause: Duration,
    /// Backends on this machine or in its network, and plain `http` to them. Default false: public addresses over `https`
    /// only. The metadata addresses of clouds are refused in any case.
    pub allow_private: bool,
    /// PEM file with the certificates to trust instead of the system's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How long the answers for a long-poll count for the next polls that would ask the same. Default 10 s; `"0s"`: each
    /// poll asks.
    #[serde(with = "humantime_serde")]
    pub poll_cache: Duration,
    /// Answers that are kept for it. Default 10000. At the bound a new one is not kept, so the next poll asks again.
    pub poll_cache_max: usize,
    /// Asked when a session opens.
    pub connect: ConnectHookConfig,
    /// Asked for the topics of a session.
    pub subscribe: SubscribeHookConfig,
    /// Asked for events from clients.
    pub publish: PublishHookConfig,
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self {
            secret: None,
            timeout: Duration::from_secs(2),
            retries: 2,
            retry_pause: Duration::from_millis(100),
            concurrency: 64,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(5),
            allow_private: false,
            ca: None,
            poll_cache: Duration::from_secs(10),
            poll_cache_max: 10_000,
            connect: ConnectHookConfig::default(),
            subscribe: SubscribeHookConfig::default(),
            publish: PublishHookConfig::default(),
        }
    }
}

/// Who may enter, and with which rights: `[hooks.connect]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectHookConfig {
    /// Where to ask. Default none: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What happens where the backend gives no answer. Default `deny`.
    pub on_failure: OnFailure,
    /// Names of headers of the client's request whose values are passed on, such as `cookie`. Default none.
    pub headers: Vec<String>,
}

/// Who may read what: `[hooks.subscribe]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscribeHookConfig {
    /// Where to ask. Default none: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What happens where the backend gives no answer. Default `deny`.
    pub on_failure: OnFailure,
}

/// What may be published: `[hooks.publish]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishHookConfig {
    /// Where to ask. Default none: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What happens where the backend gives no answer. Default `deny`.
    pub on_failure: OnFailure,
    /// The topics whose events are asked for. Default all.
    pub topics: Vec<Pattern>,
    /// Also for events from API keys, which are backends themselves. Default false.
    pub for_keys: bool,
}

impl Default for PublishHookConfig {
    fn default() -> Self {
        Self {
            url: None,
            on_failure: OnFailure::default(),
            topics: vec![Pattern::parse(">").expect("\">\" is a pattern")],
            for_keys: false,
        }
    }
}

/// What happens where a backend gives no answer that can be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// 503: the client may come back.
    #[default]
    Deny,
    /// As if there were no hook.
    Allow,
}

impl HooksConfig {
    /// Refuses values with which no hook could work.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.url("hooks.connect.url", self.connect.url.as_deref())?;
        self.url("hooks.subscribe.url", self.subscribe.url.as_deref())?;
        self.url("hooks.publish.url", self.publish.url.as_deref())?;
        self.connect.header_names()?;
        self.check_secret()?;
        self.check_bounds()
    }

    fn check_secret(&self) -> Result<(), ConfigError> {
        let urls = [&self.connect.url, &self.subscribe.url, &self.publish.url];
        let is_needed = urls.into_iter().any(Option::is_some);
        let length = self
            .secret
            .as_ref()
            .map_or(0, |secret| secret.expose().len());
        if length < SECRET_MIN_BYTES && (is_needed || self.secret.is_some()) {
            let accepted = "at least 16 random characters that the backend knows too";
            return Err(ConfigError::new("hooks.secret", HIDDEN, accepted));
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), ConfigError> {
        let counts = [
            ("hooks.retries", self.retries as usize, 0..=10),
            ("hooks.concurrency", self.concurrency, 1..=10_000),
            (
                "hooks.breaker_failures",
                self.breaker_failures as usize,
                1..=1_000_000,
            ),
            ("hooks.poll_cache_max", self.poll_cache_max, 1..=10_000_000),
        ];
        for (key, value, accepted) in counts {
            if !accepted.contains(&value) {
                let (low, high) = accepted.into_inner();
                return Err(ConfigError::new(
                    key,
                    value,
                    format!("a count from {low} to {high}"),
                ));
            }
        }
        let times = [
            ("hooks.timeout", self.timeout, TIME_MIN..=TIME_MAX),
            (
                "hooks.retry_pause",
                self.retry_pause,
                Duration::ZERO..=TIME_MAX,
            ),
            (
                "hooks.breaker_pause",
                self.breaker_pause,
                TIME_MIN..=TIME_MAX,
            ),
            (
                "hooks.poll_cache",
                self.poll_cache,
                Duration::ZERO..=TIME_MAX,
            ),
        ];
        for (key, value, accepted) in times {
            check_time(key, value, &accepted)?;
        }
        Ok(())
    }

    /// An address to ask, as far as it can be judged without looking a name up.
    pub(super) fn url(&self, key: &str, text: Option<&str>) -> Result<Option<Url>, ConfigError> {
        let Some(text) = text else {
            return Ok(None);
        };
        // The value is not shown: an address may hold a password or a token.
        let refused = |accepted: &str| ConfigError::new(key, HIDDEN, accepted);
        let url = Url::parse(text).map_err(|_| refused(AN_ADDRESS))?;
        let address: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(refused(AN_ADDRESS)),
        };
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private => {}
            _ => return Err(refused(AN_ADDRESS)),
        }
        let targets = Targets::new(self.allow_private);
        if address.is_some_and(|address| !targets.allows(address)) {
            let accepted =
                "a public address, or with hooks.allow_private = true one of this network";
            return Err(refused(accepted));
        }
        Ok(Some(url))
    }
}

impl ConnectHookConfig {
    /// The headers that are passed on.
    pub(super) fn header_names(&self) -> Result<Vec<HeaderName>, ConfigError> {
        let names = self.headers.iter().map(|name| {
            HeaderName::try_from(name.as_str()).map_err(|_| {
                let accepted = "names of request headers such as \"cookie\"";
                ConfigError::new("hooks.connect.headers", name.escape_debug(), accepted)
            })
        });
        names.collect()
    }
}

fn check_time(
    key: &str,
    value: Duration,
    accepted: &RangeInclusive<Duration>,
) -> Result<(), ConfigError> {
    if accepted.contains(&value) {
        return Ok(());
    }
    let (low, high) = (accepted.start(), accepted.end());
    let accepted = format!("a time from {low:?} to {high:?}");
    Err(ConfigError::new(key, format!("{value:?}"), accepted))
}

const HIDDEN: &str = "(hidden)";
const AN_ADDRESS: &str = "an address such as \"https://app.example.com/tidewire\"; http needs hooks.allow_private = true";
/// 128 bits, if they are random.
const SECRET_MIN_BYTES: usize = 16;
const TIME_MIN: Duration = Duration::from_millis(10);
const TIME_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn refused(value: serde_json::Value) -> String {
        let config: HooksConfig = from_value(value).unwrap();
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_pass_their_own_check_and_ask_nobody() {
        let config = HooksConfig::default();
        config.check().unwrap();
        assert!(config.url("hooks.connect.url", None).unwrap().is_none());
    }

    #[test]
    fn an_address_that_hooks_may_not_use_is_refused_at_the_start() {
        let secret = "0123456789abcdef";
        for url in [
            "https://127.0.0.1/h",
            "https://[::1]/h",
            "https://10.1.2.3/h",
            "https://2130706433/h",
            "https://0x7f.1/h",
            "https://169.254.169.254/latest",
            "https://[::ffff:127.0.0.1]/h",
            "http://app.example.com/h",
            "ftp://app.example.com/h",
            "app.example.com",
            "https://",
        ] {
            let told = refused(json!({"secret": secret, "connect": {"url": url}}));
            assert!(
                told.starts_with("hooks.connect.url = (hidden): accepted is "),
                "{url}: {told}"
            );
        }
        let metadata = json!({"secret": secret, "allow_private": true,
            "publish": {"url": "http://169.254.169.254/"}});
        assert!(refused(metadata).starts_with("hooks.publish.url"));
        for url in [
            "http://127.0.0.1:9000/h",
            "http://localhost/h",
            "https://[fd12::1]/h",
        ] {
            let config = json!({"secret": secret, "allow_private": true, "connect": {"url": url}});
            from_value::<HooksConfig>(config).unwrap().check().unwrap();
        }
    }

    #[test]
    fn a_hook_needs_a_secret_of_some_length_and_it_is_never_shown() {
        let url = json!({"url": "https://app.example.com/"});
        assert!(refused(json!({"connect": url})).starts_with("hooks.secret"));
        let short = json!({"secret": "canary-canary", "connect": url});
        let told = refused(short.clone());
        assert!(
            told.starts_with("hooks.secret") && !told.contains("canary"),
            "{told}"
        );
        let config: HooksConfig = from_value(short).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
        assert!(!serde_json::to_string(&config).unwrap().contains("canary"));
    }

    #[test]
    fn bounds_and_header_names_are_checked() {
        assert!(refused(json!({"concurrency": 0})).starts_with("hooks.concurrency"));
        assert!(refused(json!({"retries": 11})).starts_with("hooks.retries"));
        assert!(refused(json!({"timeout": "0s"})).starts_with("hooks.timeout"));
        assert!(
            refused(json!({"connect": {"headers": ["a b"]}})).starts_with("hooks.connect.headers")
        );
    }
}
