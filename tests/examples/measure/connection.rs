//! HTTP/1.1 over TLS 1.3 by hand: a connection for each publisher or subscriber, and nothing between it and the clock.
//! Bound: a gateway takes a thousand connections of one address, so they come from several of loopback.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tidewire_tests::Executable;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;

/// Where connections go to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Target {
    address: String,
    config: Arc<rustls::ClientConfig>,
}

impl Target {
    pub(crate) fn of(gateway: &Executable) -> Result<Self, Failure> {
        let mut trusted = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(gateway.certificate()) {
            trusted.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Ok(Self {
            address: gateway.address().to_owned(),
            config: Arc::new(config),
        })
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The connection with this number.
    pub(crate) async fn connect(&self, number: usize) -> Result<Connection, Failure> {
        Ok(Connection {
            address: self.address.clone(),
            tls: BufReader::new(self.connect_tls(number, &[]).await?),
        })
    }

    /// The same without HTTP, with these protocols offered.
    pub(crate) async fn connect_tls(
        &self,
        number: usize,
        protocols: &[&[u8]],
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 0, 1, u8::try_from(number % 8)? + 1], 0).into())?;
        let tcp = socket.connect(self.address.parse()?).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let mut config = Arc::clone(&self.config);
        if !protocols.is_empty() {
            let offered = protocols.iter().map(|name| name.to_vec());
            Arc::make_mut(&mut config).alpn_protocols = offered.collect();
        }
        Ok(TlsConnector::from(config).connect(name, tcp).await?)
    }
}

/// One open connection.
pub(crate) struct Connection {
    address: String,
    tls: BufReader<TlsStream<TcpStream>>,
}

impl Connection {
    /// Asks for a stream or a poll; `headers` are further lines.
    pub(crate) async fn get(&mut self, path: &str, headers: &str) -> Result<(), Failure> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.address
        );
        self.tls.write_all(request.as_bytes()).await?;
        Ok(())
    }

    /// The status line, and everything up to the end of the headers. Gives how long the body is, where it says so.
    pub(crate) async fn head(&mut self) -> Result<usize, Failure> {
        let status = self.line().await?;
        let is_good = ["101", "200", "201"]
            .iter()
            .any(|code| status.contains(code));
        let mut length = 0;
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() && is_good {
                return Ok(length);
            }
            if line.trim().is_empty() {
                let mut body = vec![0; length];
                self.tls.read_exact(&mut body).await?;
                return Err(format!("{status}{}", String::from_utf8_lossy(&body)).into());
            }
        }
    }

    /// Publishes and awaits the answer; gives its body.
    pub(crate) async fn publish(
        &mut self,
        content_type: &str,
        body: &str,
    ) -> Result<Vec<u8>, Failure> {
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.tls.write_all(request.as_bytes()).await?;
        let length = self.head().await?;
        let mut answer = vec![0; length];
        self.tls.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// The next line of a stream.
    pub(crate) async fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.tls.read_line(&mut line).await? == 0 {
            return Err("the gateway closed the connection".into());
        }
        Ok(line)
    }
}
