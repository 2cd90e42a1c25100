//! What the HTTP surface is told: one struct for each component.
//!
//! Shape: the tables `[http]`, `[tls]`, `[auth]`, `[limits]` of the configuration file. The binary reads them and adds
//! what is its own (addresses, engine, data folder).
//! Failure: an unknown key or a value of the wrong form is refused while reading; what only makes sense together is
//! checked by [`ServerConfig::check`], before a port is served. [`ConfigError`] has the key, the value, the accepted form.
//! Source: protocol section 10.

mod jwt;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use tidewire_protocol::Pattern;

pub use self::jwt::{JwtConfig, Secret};
use crate::{
    auth::{Auth, grant_pattern::GrantPattern},
    hooks::HooksConfig,
    limits::LimitsConfig,
    origin::Origins,
    revocation::RevocationsConfig,
    tls::Tls,
};

/// Everything that [`crate::serve`] needs to know beside its sockets and its bus.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Origins, headers, assets.
    pub http: HttpConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// Every bound.
    pub limits: LimitsConfig,
    /// Questions to the user's backend.
    pub hooks: HooksConfig,
    /// How long revocations are kept.
    pub revocations: RevocationsConfig,
    /// The folder for what is to survive a restart. Default none: revocations end with the process.
    pub data_dir: Option<PathBuf>,
    /// How the public listeners speak TLS.
    pub tls: Tls,
    /// Serves `/echo`, for conformance suites. Default no.
    pub conformance_echo: bool,
}

impl ServerConfig {
    /// The defaults, with the given TLS.
    #[must_use]
    pub fn new(tls: Tls) -> Self {
        Self {
            http: HttpConfig::default(),
            auth: AuthConfig::default(),
            limits: LimitsConfig::default(),
            hooks: HooksConfig::default(),
            revocations: RevocationsConfig::default(),
            data_dir: None,
            tls,
            conformance_echo: false,
        }
    }

    /// Checks what can be checked without opening anything.
    ///
    /// # Errors
    /// The first key whose value cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.limits.check()?;
        self.hooks.check()?;
        self.revocations.check()?;
        Origins::new(&self.http.allowed_origins)?;
        Auth::check(&self.auth)?;
        Ok(())
    }
}

/// Origins, headers, assets: `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Origins of pages elsewhere that may use the gateway, such as `https://app.example.com`. Compared exactly.
    /// Default none: only pages of the gateway's own origin. A page from anywhere else gets 403 `forbidden`. Behind a
    /// TLS proxy (`--insecure-http`) the public origin belongs here too, because the gateway cannot see it.
    pub allowed_origins: Vec<String>,
    /// Names beside the loopback ones under which the admin port may be called, such as `gateway.internal`. Default
    /// none. Any other Host gets 403: it would be a page that was made to point here.
    pub admin_hosts: Vec<String>,
    /// How long a browser remembers to use TLS only (`Strict-Transport-Security`). Default 365 days; `"0s"` sends no
    /// such header. Never sent without TLS.
    #[serde(with = "humantime_serde")]
    pub hsts: Duration,
    /// Compress events for a WebSocket that offers `permessage-deflate`. Default true. Each event is compressed by itself,
    /// so that no event tells about another, and only once, for all who get it. Off: no offer is taken.
    pub websocket_deflate: bool,
    /// A folder to serve the pages from instead of those in the binary; for work on the pages. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_dir: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            admin_hosts: Vec::new(),
            hsts: Duration::from_secs(365 * 24 * 60 * 60),
            websocket_deflate: true,
            web_dir: None,
        }
    }
}

/// The certificate of the public listeners: `[tls]`.
///
/// Both or neither. Neither: a certificate for `localhost` is made and kept in the data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, the server's own first. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file with the private key; refused at the start when everybody on the machine can read it. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Who may do what: `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// What a client without credentials may do: `[auth.anonymous]`. Default, while every public listener is on
    /// loopback: everything but `forget` and the gateway's own topics; on any other address: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<AnonymousConfig>,
    /// What everybody may do who has shown credentials, beside what these give: `[auth.authenticated]`. Default nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<RoleConfig>,
    /// Named sets of rights: `[auth.roles.NAME]`, the name 1 to 100 of `A-Z a-z 0-9 _ - . @`. Given by the `roles` of a key
    /// or of a token. Default none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, RoleConfig>,
    /// The API keys: `[[auth.keys]]`. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyConfig>,
    /// Whose JSON Web Tokens are good: `[auth.jwt]`. Default none: no token is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
    /// How long a ticket is good. Default 30 s, 1 s to 10 min. Later: 401.
    #[serde(with = "humantime_serde")]
    pub ticket_ttl: Duration,
    /// Tickets that were given within `ticket_ttl`, of all subjects together. Default 100000. More: 503 with
    /// `Retry-After`.
    pub tickets_total: usize,
    /// Tickets that were given to one subject within `ticket_ttl`. Default 100. More: 429 with `Retry-After`.
    pub tickets_per_subject: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            anonymous: None,
            authenticated: None,
            roles: BTreeMap::new(),
            keys: Vec::new(),
            jwt: None,
            ticket_ttl: Duration::from_secs(30),
            tickets_total: 100_000,
            tickets_per_subject: 100,
        }
    }
}

/// What a client without credentials may do. It never may forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnonymousConfig {
    /// Patterns that may be subscribed and read. Default none.
    pub subscribe: Vec<Pattern>,
    /// Patterns that may be published to. Default none.
    pub publish: Vec<Pattern>,
    /// Patterns whose members may be seen. Default none.
    pub presence: Vec<Pattern>,
}

/// A set of rights. `{sub}` in a pattern stands for the subject; where that is no single level of a topic, the pattern gives
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleConfig {
    /// Patterns that may be subscribed and read. Default none.
    pub subscribe: Vec<GrantPattern>,
    /// Patterns that may be published to. Default none.
    pub publish: Vec<GrantPattern>,
    /// Patterns whose members may be seen. Default none.
    pub presence: Vec<GrantPattern>,
    /// Patterns whose events may be forgotten. Default none.
    pub forget: Vec<GrantPattern>,
}

/// One API key and its rights. `{sub}` in a pattern stands for `key:NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Who holds it: 1 to 100 of `A-Z a-z 0-9 _ - . @`. Publish keys and rates count by this name.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal digits. The key itself is written nowhere.
    pub sha256: String,
    /// Patterns that may be published to. Default none.
    #[serde(default)]
    pub publish: Vec<GrantPattern>,
    /// Patterns that may be subscribed and read. Default none.
    #[serde(default)]
    pub subscribe: Vec<GrantPattern>,
    /// Patterns whose events may be forgotten. Default none.
    #[serde(default)]
    pub forget: Vec<GrantPattern>,
    /// Patterns whose members may be seen. Default none.
    #[serde(default)]
    pub presence: Vec<GrantPattern>,
    /// Roles that it has beside: names of `[auth.roles.NAME]`. Default none. One that is not there is refused at the start.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// A value that cannot work. The operator's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: accepted is {accepted}")]
pub struct ConfigError {
    /// The key as it stands in the file.
    pub key: String,
    /// The value that was found.
    pub value: String,
    /// What would be accepted.
    pub accepted: String,
}

impl ConfigError {
    pub(crate) fn new(
        key: impl Into<String>,
        value: impl fmt::Display,
        accepted: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            accepted: accepted.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn the_keys_of_the_protocol_are_read() {
        let limits: LimitsConfig = from_value(json!({
            "event_max_bytes": "64KiB", "batch_max_bytes": "1 MiB", "topics_per_session": 64,
            "connections_per_address": 1000, "publishes_per_second": 1000, "handshake_timeout": "10s",
            "header_timeout": "10s", "body_timeout": "30s", "heartbeat": "15s"
        }))
        .unwrap();
        assert_eq!(limits, LimitsConfig::default());
        let http: HttpConfig =
            from_value(json!({"allowed_origins": ["https://app.example.com"]})).unwrap();
        assert_eq!(http.allowed_origins, ["https://app.example.com"]);
        let auth: AuthConfig = from_value(json!({
            "anonymous": {"subscribe": ["public.>"], "publish": []},
            "keys": [{"name": "shop", "sha256": "00", "publish": ["orders.>"], "subscribe": [], "forget": []}]
        }))
        .unwrap();
        assert_eq!(auth.keys[0].publish[0].as_str(), "orders.>");
    }

    #[test]
    fn a_size_may_be_a_plain_number_as_it_comes_from_the_environment() {
        let limits: LimitsConfig = from_value(json!({"event_max_bytes": 2048})).unwrap();
        assert_eq!(limits.event_max_bytes, ByteSize(2048));
    }

    #[test]
    fn an_unknown_key_and_a_bad_pattern_are_refused() {
        assert!(from_value::<LimitsConfig>(json!({"heart_beat": "15s"})).is_err());
        assert!(from_value::<AuthConfig>(json!({"jwt": {"secret": "x"}})).is_err());
        assert!(from_value::<AnonymousConfig>(json!({"publish": ["a..b"]})).is_err());
    }

    #[test]
    fn a_key_without_its_digest_is_refused() {
        assert!(from_value::<KeyConfig>(json!({"name": "shop"})).is_err());
    }

    #[test]
    fn what_is_written_out_reads_back_as_the_same() {
        let text = serde_json::to_string(&LimitsConfig::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<LimitsConfig>(&text).unwrap(),
            LimitsConfig::default()
        );
        let text = serde_json::to_string(&HttpConfig::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<HttpConfig>(&text).unwrap(),
            HttpConfig::default()
        );
    }
}
