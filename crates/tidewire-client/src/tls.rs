//! Whom the client trusts.
//!
//! Shape: one rustls configuration for every connection of a client; ALPN is set by who uses it.
//! Bound: TLS 1.2 and 1.3. Failure: a PEM without a certificate is refused when the client is built.
//! Source: protocol section 9; the gateway makes its own certificate when it has none.

use std::{fmt::Display, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::error::ClientError;

/// Which certificates of a gateway are good.
#[derive(Debug, Clone, Default)]
pub(crate) enum Trust {
    /// Those that the operating system trusts.
    #[default]
    System,
    /// Those in, or signed by one in, this PEM text; nothing else.
    Pem(Vec<u8>),
    /// Any. For trials on one's own machine.
    Anything,
}

/// The configuration for a trust; no ALPN yet.
pub(crate) fn config(trust: &Trust) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider serves TLS 1.2 and 1.3");
    let config = match trust {
        Trust::System => builder
            .with_platform_verifier()
            .map_err(unusable)?
            .with_no_client_auth(),
        Trust::Pem(pem) => builder
            .with_root_certificates(roots(pem)?)
            .with_no_client_auth(),
        Trust::Anything => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
            .with_no_client_auth(),
    };
    Ok(config)
}

/// For an address without TLS: the HTTP client wants a configuration all the same. It trusts nobody.
pub(crate) fn unused() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider serves TLS 1.2 and 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn roots(pem: &[u8]) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(unusable)?;
        roots.add(certificate).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(unusable("there is none in the PEM text"));
    }
    Ok(roots)
}

fn unusable(detail: impl Display) -> ClientError {
    ClientError::Trust(format!(
        "the certificates to trust cannot be used: {detail}"
    ))
}

/// A verifier that accepts any certificate: whoever answers at the address is believed to be the gateway.
/// Signatures of the handshake are still checked, so the peer does hold the key of what it shows.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_without_a_certificate_is_refused() {
        for pem in ["", "not pem at all", "-----BEGIN CERTIFICATE-----\n!!\n"] {
            let trust = Trust::Pem(pem.as_bytes().to_vec());
            assert!(
                matches!(config(&trust), Err(ClientError::Trust(_))),
                "{pem:?}"
            );
        }
    }

    #[test]
    fn a_damaged_certificate_is_refused() {
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let trust = Trust::Pem(pem.to_vec());
        assert!(matches!(config(&trust), Err(ClientError::Trust(_))));
    }

    #[test]
    fn any_certificate_needs_no_roots() {
        assert!(config(&Trust::Anything).is_ok());
    }
}
