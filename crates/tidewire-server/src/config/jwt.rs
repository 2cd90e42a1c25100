//! `[auth.jwt]`: whose JSON Web Tokens are good.
//!
//! Shape: one source of keys, and what every token must say.
//! Failure: no source or two, a secret that could be guessed, or a bound out of range is refused at the start.
//! Source: protocol sections 7 and 10.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize, Serializer};

use super::ConfigError;
use crate::auth::jwt::jwks::{AN_ADDRESS, is_address};

/// Whose JSON Web Tokens are good: `[auth.jwt]`. One of `hs256_secret`, `public_key_file` and `jwks_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtConfig {
    /// The secret of HS256, which whoever makes tokens has too: at least 16 bytes, better 32 random ones. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hs256_secret: Option<Secret>,
    /// PEM file with the public key of RS256, ES256 or EdDSA; its kind decides which. Default none. Read at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
    /// Address of a set of public keys (RFC 7517): https, or http to this machine. Default none. Redirects are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// `iss` that a token must have. Default none: any, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `aud` that a token must have, alone or among others. Default none: any, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How much the clocks may differ: allowed on `exp` and `nbf`. Default 5 s, at most 60 s.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// How often the set is fetched anew. Default 5 min, 1 s to 24 h. While the address is down the old keys go on.
    #[serde(with = "humantime_serde")]
    pub jwks_refresh: Duration,
    /// The least time between two fetches, also where tokens name a key that is not known. Default 10 s, 100 ms to 10 min.
    /// Within it such a token is refused at once.
    #[serde(with = "humantime_serde")]
    pub jwks_pause: Duration,
    /// Time for a fetch, and how long a request waits for one. Default 5 s, 10 ms to 1 min. Later: the old keys go on.
    #[serde(with = "humantime_serde")]
    pub jwks_timeout: Duration,
    /// The longest set. Default 256 KiB, 1 KiB to 16 MiB. Longer: the old keys go on.
    pub jwks_max_bytes: ByteSize,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            hs256_secret: None,
            public_key_file: None,
            jwks_url: None,
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(5),
            jwks_refresh: Duration::from_secs(300),
            jwks_pause: Duration::from_secs(10),
            jwks_timeout: Duration::from_secs(5),
            jwks_max_bytes: ByteSize::kib(256),
        }
    }
}

impl JwtConfig {
    /// Checks what can be checked without opening anything.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let sources = [
            self.hs256_secret.is_some(),
            self.public_key_file.is_some(),
            self.jwks_url.is_some(),
        ];
        let given = sources.into_iter().filter(|is_given| *is_given).count();
        if given != 1 {
            let found = format!("({given} sources of keys)");
            let accepted = "exactly one of hs256_secret, public_key_file and jwks_url";
            return Err(ConfigError::new("auth.jwt", found, accepted));
        }
        if let Some(secret) = &self.hs256_secret
            && secret.expose().len() < SECRET_MIN_BYTES
        {
            let accepted = "at least 16 bytes; `openssl rand -hex 32` makes a good one";
            let key = "auth.jwt.hs256_secret";
            return Err(ConfigError::new(key, "(not shown)", accepted));
        }
        if let Some(url) = &self.jwks_url
            && !is_address(url)
        {
            return Err(ConfigError::new("auth.jwt.jwks_url", url, AN_ADDRESS));
        }
        let times = [
            ("leeway", self.leeway, LEEWAY, "at most 60s"),
            ("jwks_refresh", self.jwks_refresh, REFRESH, "1s to 24h"),
            ("jwks_pause", self.jwks_pause, PAUSE, "100ms to 10m"),
            ("jwks_timeout", self.jwks_timeout, TIMEOUT, "10ms to 1m"),
        ];
        for (key, value, range, accepted) in times {
            if !range.contains(&value) {
                let key = format!("auth.jwt.{key}");
                let accepted = format!("a duration of {accepted}");
                return Err(ConfigError::new(key, format!("{value:?}"), accepted));
            }
        }
        if !SET_BYTES.contains(&self.jwks_max_bytes.as_u64()) {
            let accepted = "a size from \"1KiB\" to \"16MiB\"";
            return Err(ConfigError::new(
                "auth.jwt.jwks_max_bytes",
                self.jwks_max_bytes,
                accepted,
            ));
        }
        Ok(())
    }
}

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

const HIDDEN: &str = "(hidden)";
/// Shorter ones are words, which can be guessed from one token.
const SECRET_MIN_BYTES: usize = 16;
const LEEWAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
const REFRESH: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const SET_BYTES: RangeInclusive<u64> = 1024..=16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> JwtConfig {
        JwtConfig {
            hs256_secret: Some("0123456789abcdef".into()),
            ..JwtConfig::default()
        }
    }

    fn refused(config: &JwtConfig, key: &str) -> String {
        let error = config.check().unwrap_err();
        assert_eq!(error.key, key);
        error.to_string()
    }

    #[test]
    fn there_is_exactly_one_source_of_keys() {
        secret().check().unwrap();
        refused(&JwtConfig::default(), "auth.jwt");
        let two = JwtConfig {
            jwks_url: Some("https://id.example.com/keys".into()),
            ..secret()
        };
        refused(&two, "auth.jwt");
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused_and_not_shown() {
        let short = JwtConfig {
            hs256_secret: Some("opensesame".into()),
            ..JwtConfig::default()
        };
        let told = refused(&short, "auth.jwt.hs256_secret");
        assert!(!told.contains("opensesame"), "{told}");
        let shown = format!("{short:?} {}", serde_json::to_string(&short).unwrap());
        assert!(!shown.contains("opensesame"), "{shown}");
    }

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        let from = |url: &str| JwtConfig {
            jwks_url: Some(url.into()),
            ..JwtConfig::default()
        };
        for good in [
            "https://id.example.com/keys",
            "http://127.0.0.1:9/keys",
            "http://[::1]/",
            "http://localhost/",
        ] {
            from(good).check().unwrap();
        }
        for bad in [
            "http://id.example.com/keys",
            "http://localhost.example.com/",
            "https://user:password@id.example.com/",
            "file:///etc/keys",
            "id.example.com",
            "",
        ] {
            refused(&from(bad), "auth.jwt.jwks_url");
        }
    }

    #[test]
    fn the_leeway_is_at_most_a_minute() {
        let wide = JwtConfig {
            leeway: Duration::from_secs(61),
            ..secret()
        };
        refused(&wide, "auth.jwt.leeway");
    }
}
