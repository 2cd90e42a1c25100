//! PEM files, and what a listener makes of them.
//!
//! Shape: [`Files`] is a pair of paths; [`Files::config`] reads both, with the authorities of client certificates, into one
//! configuration of rustls. [`builder`] is that configuration without a certificate.
//! Unit: PEM.
//! Bound: TLS 1.2 and 1.3 with the suites of aws-lc-rs (AEAD, ECDHE), no early data, no renegotiation.
//! Failure: a [`TlsError`] that names the file. A key that everybody on the machine can read is refused.
//! Source: hazards part 1 row 22.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WantsServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{ClientCertificates, TlsError, TlsOptions};

/// A certificate and its key.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    /// Reads everything that a handshake needs.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn config(&self, options: &TlsOptions) -> Result<Arc<ServerConfig>, TlsError> {
        refuse_readable_key(&self.key)?;
        let chain = read_chain(&self.cert)?;
        let private = PrivateKeyDer::from_pem_file(&self.key).map_err(|source| TlsError::Pem {
            path: self.key.clone(),
            what: "private key",
            source,
        })?;
        let mut server = builder(options)?
            .with_single_cert(chain, private)
            .map_err(|source| TlsError::Unusable {
                path: self.cert.clone(),
                source,
            })?;
        server.alpn_protocols = HTTP_ALPN.map(<[u8]>::to_vec).into();
        Ok(Arc::new(server))
    }
}

/// Everything but the certificate.
pub(super) fn builder(
    options: &TlsOptions,
) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("aws-lc-rs has suites of both versions");
    Ok(match &options.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients)?),
    })
}

/// Who judges the certificates of clients.
fn verifier(clients: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let authorities = |why: String| TlsError::Authorities {
        path: clients.ca.clone(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for root in read_chain(&clients.ca)? {
        roots
            .add(root)
            .map_err(|error| authorities(error.to_string()))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    builder
        .build()
        .map_err(|error| authorities(error.to_string()))
}

/// Where all cryptography comes from.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// All certificates of a file; there is at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem {
        path: path.to_owned(),
        what: "certificate",
        source,
    };
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(pem)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem)?;
    if chain.is_empty() {
        return Err(pem(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(chain)
}

#[cfg(unix)]
fn refuse_readable_key(path: &Path) -> Result<(), TlsError> {
    let metadata = fs::metadata(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    if mode & READ_BY_OTHERS != 0 {
        return Err(TlsError::ReadableKey {
            path: path.to_owned(),
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_readable_key(_path: &Path) -> Result<(), TlsError> {
    Ok(())
}

/// What is spoken after the handshake, the preferred one first.
pub(super) const HTTP_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
#[cfg(unix)]
const READ_BY_OTHERS: u32 = 0o004;

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_that_everybody_can_read_is_refused_and_one_of_a_group_is_not() {
        let key = tempfile::NamedTempFile::new().unwrap();
        for (mode, is_refused) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            fs::set_permissions(key.path(), fs::Permissions::from_mode(mode)).unwrap();
            let refused = refuse_readable_key(key.path());
            assert_eq!(
                matches!(refused, Err(TlsError::ReadableKey { .. })),
                is_refused,
                "{mode:o}: {refused:?}"
            );
        }
    }
}
