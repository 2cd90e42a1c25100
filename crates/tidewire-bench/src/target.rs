//! Where a server listens, and whom to trust there.
//!
//! Shape: an address, the name for `Host` and certificate, and one TLS configuration for all connections.
//! Bound: TLS 1.3 only where it is not said otherwise, and no session tickets, so that each handshake is a full one and all servers do the same work.
//! Failure: a certificate file without a certificate, and [`Trust::Anyone`] for an address that is not loopback, are refused.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    version::{TLS12, TLS13},
};

/// A server's address.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// What a `Host` header says: name and port.
    pub authority: String,
    /// TLS, unless it is plain.
    pub(crate) tls: Option<Tls>,
}

#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// Which certificates are good.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those in, or signed by one in, this PEM text.
    Pem(Vec<u8>),
    /// Any; for addresses of this machine only.
    Anyone,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The text is no address.
    #[error("{url}: accepted is http://HOST:PORT or https://HOST:PORT")]
    Url {
        /// What was given.
        url: String,
    },
    /// The name has no address.
    #[error("{host}: no such address")]
    Resolve {
        /// The name and port.
        host: String,
        /// What the resolver said.
        source: Option<std::io::Error>,
    },
    /// An unknown certificate is accepted from this machine only.
    #[error("{0} is not on this machine: give the certificate to trust")]
    NotLoopback(SocketAddr),
    /// The certificates to trust cannot be used.
    #[error("the certificates to trust cannot be used: {0}")]
    Certificate(String),
}

impl Target {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`; a path is not accepted.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(url: &str, trust: &Trust) -> Result<Target, TargetError> {
        Target::with_versions(url, trust, &[&TLS13])
    }

    /// The same for a server that has no TLS 1.3: 1.2 is enough.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse_tls12(url: &str, trust: &Trust) -> Result<Target, TargetError> {
        Target::with_versions(url, trust, &[&TLS13, &TLS12])
    }

    fn with_versions(
        url: &str,
        trust: &Trust,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Target, TargetError> {
        let bad = || TargetError::Url {
            url: url.to_owned(),
        };
        let (scheme, authority) = url.split_once("://").ok_or_else(bad)?;
        let authority = authority.trim_end_matches('/');
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(bad()),
        };
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(bad());
        }
        let parsed: http::uri::Authority = authority.parse().map_err(|_| bad())?;
        let host = parsed.host().trim_matches(['[', ']']);
        let address = resolve(host, parsed.port_u16().unwrap_or(default_port))?;
        let tls = match scheme {
            "https" => Some(Tls {
                config: Arc::new(config(trust, address, versions)?),
                name: ServerName::try_from(host.to_owned()).map_err(|_| bad())?,
            }),
            _ => None,
        };
        Ok(Target {
            address,
            authority: authority.to_owned(),
            tls,
        })
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The address that the connection with this number comes from: on loopback a few hundred from each of
    /// 127.0.1.1, 127.0.1.2 and so on, so that neither ports nor bounds for one address run out.
    pub(crate) fn source(&self, index: usize) -> Option<SocketAddr> {
        let IpAddr::V4(ip) = self.address.ip() else {
            return None;
        };
        if !ip.is_loopback() {
            return None;
        }
        let block = index / CONNECTIONS_PER_SOURCE;
        let [third, fourth] = [1 + block / 250 % 250, 1 + block % 250];
        Some(SocketAddr::from((
            Ipv4Addr::new(127, 0, third as u8, fourth as u8),
            0,
        )))
    }
}

impl Tls {
    /// The same with HTTP/2 offered.
    pub(crate) fn with_h2(&self) -> Arc<ClientConfig> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// IPv4 first: it has as many loopback addresses as connections need.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, TargetError> {
    let unknown = |source| TargetError::Resolve {
        host: format!("{host}:{port}"),
        source,
    };
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| unknown(Some(error)))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| unknown(None))
}

fn config(
    trust: &Trust,
    address: SocketAddr,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TargetError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("the provider serves these versions");
    let mut config = match trust {
        Trust::Pem(pem) => builder
            .with_root_certificates(roots(pem)?)
            .with_no_client_auth(),
        Trust::Anyone if !address.ip().is_loopback() => {
            return Err(TargetError::NotLoopback(address));
        }
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
            .with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TargetError> {
    let unusable = |error: String| TargetError::Certificate(error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is none in the PEM text".to_owned()));
    }
    Ok(roots)
}

/// Believes whoever answers on this machine. Signatures of the handshake are still checked: that work is part of it.
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

/// Half of what a gateway takes from one address by default.
const CONNECTIONS_PER_SOURCE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_refused_with_the_accepted_form() {
        let target = Target::parse("http://127.0.0.1:8080/", &Trust::Anyone).unwrap();
        assert_eq!(target.address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(target.authority, "127.0.0.1:8080");
        assert!(!target.is_tls());
        for bad in [
            "127.0.0.1:8080",
            "ftp://127.0.0.1",
            "https://",
            "https://a/b",
            "https://u@h",
        ] {
            let error = Target::parse(bad, &Trust::Anyone).unwrap_err();
            assert!(error.to_string().contains("accepted is"), "{bad}: {error}");
        }
    }

    #[test]
    fn anyone_is_trusted_on_this_machine_only() {
        assert!(Target::parse("https://127.0.0.1:1", &Trust::Anyone).is_ok());
        let error = Target::parse("https://192.0.2.1:1", &Trust::Anyone).unwrap_err();
        assert!(matches!(error, TargetError::NotLoopback(_)), "{error}");
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let trust = Trust::Pem(b"nothing".to_vec());
        let error = Target::parse("https://127.0.0.1:1", &trust).unwrap_err();
        assert!(matches!(error, TargetError::Certificate(_)), "{error}");
    }

    #[test]
    fn connections_come_from_several_addresses_on_loopback_only() {
        let here = Target::parse("http://127.0.0.1:1", &Trust::Anyone).unwrap();
        assert_eq!(here.source(0), Some("127.0.1.1:0".parse().unwrap()));
        assert_eq!(here.source(499), here.source(0));
        assert_eq!(here.source(500), Some("127.0.1.2:0".parse().unwrap()));
        let there = Target::parse("http://192.0.2.1:1", &Trust::Anyone).unwrap();
        assert_eq!(there.source(0), None);
    }
}
