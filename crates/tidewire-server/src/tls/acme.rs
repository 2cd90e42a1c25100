//! Certificates from an authority, got and renewed by the gateway itself.
//!
//! Shape: [`AcmeConfig`] is `[tls.acme]`; [`Orders`] is rustls-acme's state machine and runs as a task. It proves that a
//! domain is ours by a handshake of its own kind on the public listener (TLS-ALPN-01), so it needs no other port.
//! Unit: one certificate for all domains. Account key and certificate lie in `DATA-DIR/acme`, for the owner only, and are
//! taken from there at a start.
//! Bound: one order at a time; after a failure the next one waits twice as long, from 1 s to 18 h. Renewed once two thirds of
//! its life are over.
//! Failure: logged and counted (`tidewire_tls_reloads_total{outcome="refused"}`); the certificate in use stays. Before the
//! first one handshakes fail.
//! Source: RFC 8555, RFC 8737.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::DnsName};
use rustls_acme::{AcmeState, EventOk, acme::ACME_TLS_ALPN_NAME, caches::DirCache};
use serde::{Deserialize, Serialize};

use super::{
    TlsError, TlsOptions,
    files::{HTTP_ALPN, builder, provider, read_chain},
};
use crate::{config::ConfigError, gateway::Shared};

/// A certificate from an authority: `[tls.acme]`. Whoever turns it on agrees to the terms of that authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeConfig {
    /// The names of the certificate, such as `gate.example.com`; at least one. The authority must reach the public listener
    /// under each of them on port 443.
    pub domains: Vec<String>,
    /// Mail addresses that the authority may write to. Default none.
    #[serde(default)]
    pub contact: Vec<String>,
    /// The directory of the authority. Default that of Let's Encrypt.
    #[serde(default = "lets_encrypt")]
    pub directory_url: String,
    /// PEM file with the authorities that vouch for the directory's own certificate, for one of your own. Default those that
    /// browsers trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl AcmeConfig {
    /// Checks what can be checked without asking anybody.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.domains.is_empty() {
            return Err(ConfigError::new("tls.acme.domains", "[]", DOMAINS));
        }
        for domain in &self.domains {
            if DnsName::try_from(domain.as_str()).is_err() || !domain.contains('.') {
                return Err(ConfigError::new("tls.acme.domains", domain, DOMAINS));
            }
        }
        if let Some(contact) = self.contact.iter().find(|contact| !contact.contains('@')) {
            return Err(ConfigError::new(
                "tls.acme.contact",
                contact,
                "mail addresses",
            ));
        }
        if !self.directory_url.starts_with("https://") {
            let accepted = "an address that begins with https://";
            return Err(ConfigError::new(
                "tls.acme.directory_url",
                &self.directory_url,
                accepted,
            ));
        }
        Ok(())
    }
}

/// The certificate that is there, and those that will come.
pub(crate) struct Orders(AcmeState<io::Error>);

impl Orders {
    /// Prepares everything; nobody is asked before [`Orders::run`].
    ///
    /// # Errors
    /// A file or the folder cannot be used.
    pub(super) fn open(
        config: &AcmeConfig,
        folder: &Path,
        options: &TlsOptions,
    ) -> Result<(Arc<ServerConfig>, Self), TlsError> {
        keep_private(folder).map_err(|source| TlsError::File {
            path: folder.to_owned(),
            source,
        })?;
        let directory = directory_client(config.ca_file.as_deref())?;
        let contact = config
            .contact
            .iter()
            .map(|contact| match contact.contains(':') {
                true => contact.clone(),
                false => format!("mailto:{contact}"),
            });
        let state = rustls_acme::AcmeConfig::new_with_provider(&config.domains, provider())
            .contact(contact)
            .directory(&config.directory_url)
            .cache(DirCache::new(folder.to_owned()));
        let state = match directory {
            Some(client) => state.client_tls_config(client),
            None => state,
        };
        let state = state.state();
        let mut server = builder(options)?.with_cert_resolver(state.resolver());
        let protocols = HTTP_ALPN.into_iter().chain([ACME_TLS_ALPN_NAME]);
        server.alpn_protocols = protocols.map(<[u8]>::to_vec).collect();
        Ok((Arc::new(server), Self(state)))
    }

    /// Orders and renews until it is dropped.
    pub(crate) async fn run(mut self, gateway: Shared) {
        while let Some(event) = self.0.next().await {
            match event {
                Ok(EventOk::DeployedCachedCert | EventOk::DeployedNewCert) => {
                    tracing::info!("certificate of the authority taken");
                    gateway.metrics.certificate_taken();
                }
                Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
                Err(error) => {
                    tracing::error!(%error, "no certificate from the authority; it is asked again");
                    gateway.metrics.certificate_refused();
                }
            }
        }
    }
}

/// What is in the folder are keys.
fn keep_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    #[cfg(unix)]
    fs::set_permissions(
        folder,
        std::os::unix::fs::PermissionsExt::from_mode(OWNER_ONLY),
    )?;
    Ok(())
}

/// How the directory is asked where its authority is one of your own.
fn directory_client(ca_file: Option<&Path>) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let Some(path) = ca_file else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for root in read_chain(path)? {
        roots.add(root).map_err(|source| TlsError::Unusable {
            path: path.to_owned(),
            source,
        })?;
    }
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites of both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(Arc::new(client)))
}

fn lets_encrypt() -> String {
    rustls_acme::acme::LETS_ENCRYPT_PRODUCTION_DIRECTORY.to_owned()
}

const DOMAINS: &str = "names such as \"gate.example.com\", without a wildcard";
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o700;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(domains: &[&str]) -> AcmeConfig {
        AcmeConfig {
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            contact: vec!["ops@example.com".into()],
            directory_url: lets_encrypt(),
            ca_file: None,
        }
    }

    #[test]
    fn only_names_that_an_authority_can_reach_are_taken() {
        config(&["gate.example.com", "a.example.com"])
            .check()
            .unwrap();
        for bad in [
            "",
            "*.example.com",
            "localhost",
            "192.0.2.7",
            "a b.example.com",
        ] {
            assert!(config(&[bad]).check().is_err(), "{bad:?}");
        }
        assert!(config(&[]).check().is_err());
    }

    #[test]
    fn a_contact_is_a_mail_address() {
        let mut config = config(&["gate.example.com"]);
        config.contact.push("nobody".into());
        assert!(config.check().is_err());
    }

    #[test]
    fn the_directory_is_asked_over_https_only() {
        let mut config = config(&["gate.example.com"]);
        config.directory_url = "http://localhost:14000/dir".into();
        assert!(config.check().is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_of_the_keys_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("acme");
        let opened = Orders::open(&config(&["a.example.com"]), &folder, &TlsOptions::default());
        assert!(opened.is_ok());
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, OWNER_ONLY);
    }
}
