//! The other end: rustls' own client, and sockets that are as unpleasant as sockets can be.

use std::sync::LazyLock;

use rand::{Rng, SeedableRng, rngs::StdRng};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::tls::{self, Tls, TlsOptions};

/// The gateway's own configuration, and a client's that trusts it.
pub(super) static SERVER: LazyLock<(Arc<ServerConfig>, RootCertStore)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::SelfSigned {
        folder: folder.path().to_owned(),
    };
    let (handshakes, _) = tls::open(&tls, &TlsOptions::default()).unwrap().unwrap();
    let mut trusted = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
    trusted.add(certificate).unwrap();
    (handshakes.config(), trusted)
});

pub(super) fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(SERVER.1.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Both ends after the handshake, with so many bytes of room between them.
pub(super) async fn pair(
    version: &'static SupportedProtocolVersion,
    room: usize,
) -> (TlsStream<DuplexStream>, client::TlsStream<DuplexStream>) {
    let (near, far) = duplex(room);
    over(client_config(version), near, far).await
}

pub(super) async fn over<N, F>(
    config: ClientConfig,
    near: N,
    far: F,
) -> (TlsStream<N>, client::TlsStream<F>)
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    shaken(Arc::clone(&SERVER.0), config, near, far).await
}

/// Both ends after the handshake, each with its own configuration.
pub(super) async fn shaken<N, F>(
    server: Arc<ServerConfig>,
    config: ClientConfig,
    near: N,
    far: F,
) -> (TlsStream<N>, client::TlsStream<F>)
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let (server, client) = in_time(async {
        tokio::join!(
            TlsStream::accept(server, near),
            connector.connect(name, far),
        )
    })
    .await;
    (server.unwrap(), client.unwrap())
}

/// Both ends shake hands, send this to each other at once, and close; gives what each of them heard.
pub(super) async fn exchange<N, F>(
    config: ClientConfig,
    near: N,
    far: F,
    bytes: &[u8],
) -> [io::Result<Vec<u8>>; 2]
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    async fn end<T: AsyncRead + AsyncWrite>(stream: T, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (mut from, mut to) = tokio::io::split(stream);
        let mut heard = Vec::new();
        let (read, written) = tokio::join!(from.read_to_end(&mut heard), async {
            to.write_all(bytes).await?;
            to.shutdown().await
        });
        read?;
        written?;
        Ok(heard)
    }
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let accepting = TlsStream::accept(Arc::clone(&SERVER.0), near);
    let server = Box::pin(async { end(accepting.await?, bytes).await });
    let client = Box::pin(async { end(connector.connect(name, far).await?, bytes).await });
    in_time(async { tokio::join!(server, client) }).await.into()
}

pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.expect("it hangs")
}

/// A socket that takes and gives any number of bytes, or says that it cannot, as a seed has it.
pub(super) struct Jagged {
    inner: DuplexStream,
    random: StdRng,
}

impl Jagged {
    pub(super) fn new(inner: DuplexStream, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { inner, random }
    }

    /// How many bytes this time; `None` is "not now".
    fn portion(&mut self, context: &Context<'_>) -> Option<usize> {
        if self.random.random_bool(0.3) {
            context.waker().wake_by_ref();
            return None;
        }
        let scale = 1 << self.random.random_range(0..16);
        Some(self.random.random_range(1..=scale))
    }
}

impl AsyncRead for Jagged {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(portion) = self.portion(context) else {
            return Poll::Pending;
        };
        let mut part = vec![0; portion.min(into.remaining())];
        let mut part = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        into.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Jagged {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(portion) = self.portion(context) else {
            return Poll::Pending;
        };
        let part = &bytes[..portion.min(bytes.len())];
        Pin::new(&mut self.inner).poll_write(context, part)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// A socket that counts the writes.
pub(super) struct Counting {
    pub(super) inner: DuplexStream,
    pub(super) writes: usize,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Only catches a hang.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
