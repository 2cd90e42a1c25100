//! Our own certificate, for `localhost`, `127.0.0.1` and `::1`.
//!
//! Shape: `cert.pem` and `key.pem` in one folder, kept as long as a client that trusts them would accept them.
//! Bound: a life of [`SELF_SIGNED_DAYS`]; made anew [`RENEW_DAYS`] before its end, at a start.
//! Failure: a folder that cannot be written is named.
//! Source: protocol section 10.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use super::{
    TlsError,
    files::{provider, read_chain},
};

/// The paths of our own certificate and key, made anew unless those that are there will do.
pub(super) fn keep(folder: &Path) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if will_do(&cert, &key) {
        return Ok((cert, key));
    }
    let (cert_pem, key_pem) = make(SELF_SIGNED_DAYS)?;
    fs::create_dir_all(folder).map_err(|source| TlsError::File {
        path: folder.to_owned(),
        source,
    })?;
    write(&key, &key_pem, OWNER_ONLY)?;
    // Clients are to trust it, so everybody may read it.
    write(&cert, &cert_pem, FOR_ALL)?;
    tracing::info!(path = %cert.display(), days = SELF_SIGNED_DAYS, "certificate made");
    Ok((cert, key))
}

/// Whether a client that trusts this file would still accept it for `localhost` in [`RENEW_DAYS`] days.
fn will_do(cert: &Path, key: &Path) -> bool {
    let (Ok(chain), Ok(private)) = (read_chain(cert), PrivateKeyDer::from_pem_file(key)) else {
        return false;
    };
    let usable = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain.clone(), private)
        });
    usable.is_ok()
        && accepted_at(
            &chain[0],
            UnixTime::since_unix_epoch(today() + days(RENEW_DAYS)),
        )
}

fn accepted_at(cert: &CertificateDer<'_>, time: UnixTime) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(cert.clone().into_owned()).is_err() {
        return false;
    }
    let Ok(verifier) =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
    else {
        return false;
    };
    let Ok(name) = ServerName::try_from("localhost") else {
        return false;
    };
    verifier
        .verify_server_cert(cert, &[], &name, &[], time)
        .is_ok()
}

/// A new certificate and its key, both as PEM.
fn make(good_for_days: u64) -> Result<(String, String), TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Tidewire on this machine");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A day back, for machines whose clocks are apart.
    params.not_before = epoch + today().saturating_sub(days(1));
    params.not_after = epoch + today() + days(good_for_days - 1);
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// Writes a file with these rights, whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let fresh = path.with_extension("pem.new");
    let attempt = || -> io::Result<()> {
        let _ = fs::remove_file(&fresh);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let mut file = options.open(&fresh)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    attempt().map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

/// The time since the Unix epoch; a clock before it counts as the epoch.
fn today() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

/// Life of our own certificate. Apple's platforms refuse more than 825 days.
const SELF_SIGNED_DAYS: u64 = 397;
/// How long before its end it is made anew.
const RENEW_DAYS: u64 = 30;
const OWNER_ONLY: u32 = 0o600;
const FOR_ALL: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, _) = keep(folder.path()).unwrap();
        let first = fs::read(&cert).unwrap();
        keep(folder.path()).unwrap();
        assert_eq!(fs::read(&cert).unwrap(), first);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_and_the_certificate_for_all() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = keep(folder.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&key), 0o600);
        assert_eq!(mode(&cert) & 0o400, 0o400);
    }

    #[test]
    fn a_certificate_near_its_end_or_of_another_key_will_not_do() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = keep(folder.path()).unwrap();
        let chain = read_chain(&cert).unwrap();
        let at = |count| UnixTime::since_unix_epoch(today() + days(count));
        assert!(accepted_at(&chain[0], at(0)));
        assert!(accepted_at(&chain[0], at(SELF_SIGNED_DAYS - 2)));
        assert!(!accepted_at(&chain[0], at(SELF_SIGNED_DAYS)));
        assert!(will_do(&cert, &key));
        write(&key, &make(SELF_SIGNED_DAYS).unwrap().1, OWNER_ONLY).unwrap();
        assert!(!will_do(&cert, &key));
        let (old, of_old) = make(RENEW_DAYS).unwrap();
        write(&cert, &old, FOR_ALL).unwrap();
        write(&key, &of_old, OWNER_ONLY).unwrap();
        assert!(!will_do(&cert, &key));
    }
}
