//! `[tls]`: which certificate the public listeners show, and which ones they ask for.
//!
//! Shape: [`TlsConfig`] is the table of the file; it is checked and becomes a [`Tls`] and its [`TlsOptions`].
//! Failure: keys that do not go together are refused before anything is opened.
//! Source: protocol section 10.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{AcmeConfig, Tls, TlsError};
use crate::config::ConfigError;

/// The certificate of the public listeners: `[tls]`.
///
/// `cert` and `key`: both or neither. Neither: a certificate for `localhost` is made and kept in the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, the server's own first. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file with the private key; refused when everybody on the machine can read it. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// How often the files are looked at. Default 10 s, from 100 ms to 1 h. What has changed is used for new handshakes;
    /// what cannot be used is refused and counted, and the old one stays.
    #[serde(with = "humantime_serde")]
    pub reload_interval: Duration,
    /// Whether clients have to show a certificate. Default `off`.
    pub client_cert: ClientCert,
    /// PEM file with the authorities of client certificates; with `client_cert` only. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// A certificate from an authority, instead of `cert` and `key`: `[tls.acme]`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeConfig>,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCert {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked; one that is shown must be good.
    Optional,
    /// Without a good one the handshake fails.
    Required,
}

/// What holds wherever the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// How often certificate files are looked at.
    pub reload_interval: Duration,
    /// Which certificates clients may show, where they are asked.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates clients may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM file with the authorities.
    pub ca: PathBuf,
    /// Without a certificate the handshake fails.
    pub required: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            reload_interval: RELOAD_INTERVAL,
            client_cert: ClientCert::Off,
            client_ca: None,
            acme: None,
        }
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            reload_interval: RELOAD_INTERVAL,
            clients: None,
        }
    }
}

impl TlsConfig {
    /// What these keys, the data folder and `--insecure-http` come to.
    ///
    /// # Errors
    /// Only one of `cert` and `key` is given, or more than one source.
    pub fn choose(&self, data_dir: &Path, insecure_http: bool) -> Result<Tls, TlsError> {
        if insecure_http {
            return Ok(Tls::None);
        }
        match (&self.cert, &self.key, &self.acme) {
            (None, None, None) => Ok(Tls::SelfSigned {
                folder: data_dir.join("tls"),
            }),
            (None, None, Some(acme)) => Ok(Tls::Acme {
                config: acme.clone(),
                folder: data_dir.join("acme"),
            }),
            (Some(cert), Some(key), None) => Ok(Tls::Files {
                cert: cert.clone(),
                key: key.clone(),
            }),
            (_, _, Some(_)) => Err(TlsError::TwoSources),
            _ => Err(TlsError::OnlyOne),
        }
    }

    /// What holds wherever the certificate comes from.
    ///
    /// # Errors
    /// A value that cannot work, or authorities that nobody asks for.
    pub fn options(&self) -> Result<TlsOptions, ConfigError> {
        if !RELOAD_INTERVALS.contains(&self.reload_interval) {
            return Err(ConfigError::new(
                "tls.reload_interval",
                format!("{:?}", self.reload_interval),
                "a time from \"100ms\" to \"1h\"",
            ));
        }
        if let Some(acme) = &self.acme {
            acme.check()?;
            if self.client_cert == ClientCert::Required {
                return Err(ConfigError::new(
                    "tls.client_cert",
                    "required",
                    "\"off\" or \"optional\" with [tls.acme]: the authority shows no certificate when it looks for its proof",
                ));
            }
        }
        let clients = match (self.client_cert, &self.client_ca) {
            (ClientCert::Off, None) => None,
            (ClientCert::Off, Some(ca)) => {
                return Err(ConfigError::new(
                    "tls.client_ca",
                    ca.display(),
                    "a file together with client_cert = \"optional\" or \"required\"",
                ));
            }
            (ClientCert::Optional | ClientCert::Required, None) => {
                return Err(ConfigError::new(
                    "tls.client_ca",
                    "none",
                    "the file of the authorities whose certificates are good",
                ));
            }
            (asked, Some(ca)) => Some(ClientCertificates {
                ca: ca.clone(),
                required: asked == ClientCert::Required,
            }),
        };
        Ok(TlsOptions {
            reload_interval: self.reload_interval,
            clients,
        })
    }
}

const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
const RELOAD_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_refused() {
        let config = TlsConfig {
            cert: Some("cert.pem".into()),
            ..TlsConfig::default()
        };
        assert!(matches!(
            config.choose(Path::new("."), false),
            Err(TlsError::OnlyOne)
        ));
        assert_eq!(config.choose(Path::new("."), true).unwrap(), Tls::None);
    }

    #[test]
    fn an_authority_takes_the_place_of_files_and_shows_no_certificate_itself() {
        let acme = r#"{"domains": ["gate.example.com"]}"#;
        let mut config = TlsConfig {
            acme: Some(serde_json::from_str(acme).unwrap()),
            ..TlsConfig::default()
        };
        let tls = config.choose(Path::new("data"), false).unwrap();
        assert!(matches!(tls, Tls::Acme { folder, .. } if folder == Path::new("data/acme")));
        config.client_ca = Some("ca.pem".into());
        config.client_cert = ClientCert::Optional;
        assert!(config.options().is_ok());
        config.client_cert = ClientCert::Required;
        assert!(config.options().is_err());
        (config.cert, config.key) = (Some("cert.pem".into()), Some("key.pem".into()));
        assert!(matches!(
            config.choose(Path::new("data"), false),
            Err(TlsError::TwoSources)
        ));
    }

    #[test]
    fn client_certificates_need_authorities_and_authorities_need_somebody_who_asks() {
        for (client_cert, client_ca, is_good) in [
            (ClientCert::Off, None, true),
            (ClientCert::Off, Some("ca.pem"), false),
            (ClientCert::Optional, None, false),
            (ClientCert::Optional, Some("ca.pem"), true),
            (ClientCert::Required, None, false),
            (ClientCert::Required, Some("ca.pem"), true),
        ] {
            let config = TlsConfig {
                client_cert,
                client_ca: client_ca.map(Into::into),
                ..TlsConfig::default()
            };
            assert_eq!(config.options().is_ok(), is_good, "{config:?}");
        }
    }

    #[test]
    fn a_look_at_every_moment_and_one_in_a_day_are_refused() {
        for reload_interval in [Duration::ZERO, Duration::from_secs(86_400)] {
            let config = TlsConfig {
                reload_interval,
                ..TlsConfig::default()
            };
            assert!(config.options().is_err(), "{reload_interval:?}");
        }
    }
}
