//! The gateway behind the relay: TCP and TLS to it, with one protocol by name.
//! Failure: a gateway that chooses no protocol, or another one, is an error.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tidewire_tests::trusting;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where it listens, and whom to trust.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    trust: Arc<rustls::ClientConfig>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, certificate: &[u8]) -> Self {
        let trust = trusting(certificate);
        Self { address, trust }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A TLS connection on which both sides have agreed to speak this protocol (RFC 7301).
    pub(crate) async fn connect(&self, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let mut trust = rustls::ClientConfig::clone(&self.trust);
        trust.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(trust));
        let name = ServerName::from(self.address.ip());
        let stream = connector.connect(name, tcp).await?;
        if stream.get_ref().1.alpn_protocol() != Some(protocol) {
            return Err(io::Error::other("the gateway agreed on another protocol"));
        }
        Ok(stream)
    }
}
