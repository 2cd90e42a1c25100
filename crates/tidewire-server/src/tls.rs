//! Certificates, and how the public listeners speak TLS.
//!
//! Shape: [`Tls`] says where the certificate comes from; [`config`] turns it into what a listener needs. Without a
//! configured certificate one of our own is made and kept ([`self_signed`]).
//! Unit: PEM files.
//! Bound: TLS 1.2 and 1.3 with the suites of aws-lc-rs (AEAD, ECDHE), no early data, no renegotiation.
//! Failure: a file that cannot be read or does not fit stops the start and is named.
//! Source: protocol sections 9 and 10; hazards on weak TLS and readable keys.

mod self_signed;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::config::TlsConfig;

/// How the public listeners speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// With a certificate of our own in this folder, as `cert.pem` and `key.pem`; made when there is none.
    SelfSigned {
        /// Usually `DATA-DIR/tls`.
        folder: PathBuf,
    },
    /// With a configured certificate.
    Files {
        /// The chain, the server's own certificate first.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Not at all: plain HTTP, for use behind a TLS proxy.
    None,
}

impl TlsConfig {
    /// What these keys, the data folder and `--insecure-http` come to.
    ///
    /// # Errors
    /// Only one of `cert` and `key` is given.
    pub fn choose(&self, data_dir: &Path, insecure_http: bool) -> Result<Tls, TlsError> {
        if insecure_http {
            return Ok(Tls::None);
        }
        match (&self.cert, &self.key) {
            (None, None) => Ok(Tls::SelfSigned {
                folder: data_dir.join("tls"),
            }),
            (Some(cert), Some(key)) => Ok(Tls::Files {
                cert: cert.clone(),
                key: key.clone(),
            }),
            _ => Err(TlsError::OnlyOne),
        }
    }
}

/// Why there is no TLS. The operator's to mend; the start stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate without its key, or the other way round.
    #[error("tls.cert and tls.key belong together: give both or neither")]
    OnlyOne,
    /// A file cannot be read as what it should be.
    #[error("{path}: no {what} in PEM form: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What the reader says.
        source: rustls::pki_types::pem::Error,
    },
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Everybody on the machine may read the private key.
    #[error(
        "{path}: everybody can read this private key; take the right away with: chmod o-r {path}"
    )]
    ReadableKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not work together.
    #[error("{path}: this certificate and its key cannot be used: {source}")]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// What a listener needs to speak TLS, or `None` for plain HTTP.
pub(crate) fn config(tls: &Tls) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let (cert, key) = match tls {
        Tls::None => return Ok(None),
        Tls::Files { cert, key } => (cert.clone(), key.clone()),
        Tls::SelfSigned { folder } => self_signed::keep(folder)?,
    };
    refuse_readable_key(&key)?;
    let chain = read_chain(&cert)?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|source| TlsError::Pem {
        path: key.clone(),
        what: "private key",
        source,
    })?;
    let unusable = |source| TlsError::Unusable {
        path: cert.clone(),
        source,
    };
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(server)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
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

#[cfg(unix)]
const READ_BY_OTHERS: u32 = 0o004;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_key_that_everybody_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = self_signed::keep(folder.path()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = config(&Tls::Files { cert, key }).map(|_| ()).unwrap_err();
        assert!(matches!(error, TlsError::ReadableKey { .. }), "{error}");
    }

    #[test]
    fn half_a_pair_is_refused() {
        let config = TlsConfig {
            cert: Some("cert.pem".into()),
            key: None,
        };
        assert!(matches!(
            config.choose(Path::new("."), false),
            Err(TlsError::OnlyOne)
        ));
        assert_eq!(config.choose(Path::new("."), true).unwrap(), Tls::None);
    }

    #[test]
    fn a_missing_file_is_named() {
        let tls = Tls::Files {
            cert: "/nowhere/cert.pem".into(),
            key: "/nowhere/key.pem".into(),
        };
        let error = config(&tls).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("/nowhere/"), "{error}");
    }
}
