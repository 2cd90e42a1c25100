//! Why there is no TLS.
//!
//! Failure: each is the operator's to mend. At a start it stops the start; later the certificate in use stays.

use std::{io, path::PathBuf};

/// Why there is no TLS. The operator's to mend; the start stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate without its key, or the other way round.
    #[error("tls.cert and tls.key belong together: give both or neither")]
    OnlyOne,
    /// Files and an authority.
    #[error("[tls.acme] takes the place of tls.cert and tls.key: give one or the other")]
    TwoSources,
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
    /// The authorities of client certificates cannot be used.
    #[error("{path}: these authorities of client certificates cannot be used: {why}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What the TLS library says.
        why: String,
    },
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}
