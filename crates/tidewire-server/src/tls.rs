//! Certificates, and how the public listeners speak TLS.
//!
//! Shape: [`Tls`] says where the certificate comes from, [`TlsOptions`] what holds wherever it comes from; [`open`] turns both
//! into what a listener needs: [`Handshakes`], and the [`Upkeep`] that keeps them up to date. Files are looked at again and
//! again (`reload`), an authority is asked for a certificate and its renewal (`acme`); without either a certificate of our
//! own is made and kept (`self_signed`).
//! Failure: a file that cannot be read or does not fit stops the start and is named; later it is refused, and what is in use
//! stays.
//! Source: protocol sections 9 and 10; hazards part 1 row 22, part 2 row 17.

mod acme;
mod config;
mod error;
mod files;
mod handshakes;
mod reload;
mod self_signed;

use std::path::PathBuf;

pub(crate) use self::handshakes::Handshakes;
pub use self::{
    acme::AcmeConfig,
    config::{ClientCert, ClientCertificates, TlsConfig, TlsOptions},
    error::TlsError,
    reload::Reload,
};
use self::{acme::Orders, files::Files, reload::Watch};
use crate::gateway::Shared;

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
    /// With certificates of an authority.
    Acme {
        /// Whom to ask, and for what.
        config: AcmeConfig,
        /// Where the account and the certificate are kept; usually `DATA-DIR/acme`.
        folder: PathBuf,
    },
    /// Not at all: plain HTTP, for use behind a TLS proxy.
    None,
}

/// What keeps the certificate up to date while the gateway runs.
pub(crate) enum Upkeep {
    /// Looks at files.
    Files(Box<Watch>),
    /// Asks an authority.
    Authority(Box<Orders>),
}

impl Upkeep {
    /// Runs until it is dropped.
    pub(crate) async fn run(self, told: Reload, gateway: Shared) {
        match self {
            Self::Files(watch) => watch.run(told, gateway).await,
            // Nothing to look at: what the authority gives is used at once.
            Self::Authority(orders) => orders.run(gateway).await,
        }
    }
}

/// What a listener needs to speak TLS, and what keeps it up to date; `None` for plain HTTP.
///
/// # Errors
/// A file cannot be used.
pub(crate) fn open(
    tls: &Tls,
    options: &TlsOptions,
) -> Result<Option<(Handshakes, Upkeep)>, TlsError> {
    let (cert, key) = match tls {
        Tls::None => return Ok(None),
        Tls::Acme { config, folder } => {
            let (server, orders) = Orders::open(config, folder, options)?;
            let upkeep = Upkeep::Authority(Box::new(orders));
            return Ok(Some((Handshakes::new(server), upkeep)));
        }
        Tls::Files { cert, key } => (cert.clone(), key.clone()),
        Tls::SelfSigned { folder } => self_signed::keep(folder)?,
    };
    let (handshakes, watch) = Watch::open(Files { cert, key }, options.clone())?;
    Ok(Some((handshakes, Upkeep::Files(Box::new(watch)))))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refused(tls: &Tls) -> TlsError {
        open(tls, &TlsOptions::default()).map(|_| ()).unwrap_err()
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_everybody_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = self_signed::keep(folder.path()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = refused(&Tls::Files { cert, key });
        assert!(matches!(error, TlsError::ReadableKey { .. }), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = refused(&Tls::Files {
            cert: "/nowhere/cert.pem".into(),
            key: "/nowhere/key.pem".into(),
        });
        assert!(error.to_string().contains("/nowhere/"), "{error}");
    }
}
