//! A gateway in this process, and clients that trust its certificate.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use reqwest::{Client, RequestBuilder, Response};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;
use tempfile::TempDir;
use tidewire_bus::{Bus, BusConfig, MemoryConfig, MemoryEngine, Retention, RetentionTable};
use tidewire_server::{Listeners, ServeError, Server, ServerConfig, Tls};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use tokio_util::sync::CancellationToken;

/// Only catches a hang.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) type WebSocket = WebSocketStream<TlsStream<TcpStream>>;

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) redirect: SocketAddr,
    pub(crate) bus: Bus,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
    /// Where the certificate and its key lie.
    pub(crate) folder: TempDir,
    root: CertificateDer<'static>,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(Tls::SelfSigned {
            folder: folder.path().to_owned(),
        });
        change(&mut config);
        let retention = RetentionTable::new(Vec::new(), Retention::default());
        let engine = MemoryEngine::new(MemoryConfig::default(), retention);
        let bus = Bus::start(Arc::new(engine), BusConfig::default());
        let public = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let redirect = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, admin_address) = (public.local_addr().unwrap(), admin.local_addr().unwrap());
        let redirect_address = redirect.local_addr().unwrap();
        let listeners = Listeners {
            public: vec![public],
            admin: Some(admin),
            redirect: Some(redirect),
        };
        let shutdown = CancellationToken::new();
        let server = Server::new(&config, bus.clone(), listeners).unwrap();
        let served = tokio::spawn(server.run(shutdown.clone()));
        let pem = fs::read(folder.path().join("cert.pem")).unwrap();
        Self {
            address,
            admin: admin_address,
            redirect: redirect_address,
            bus,
            shutdown,
            served,
            folder,
            root: CertificateDer::from_pem_slice(&pem).unwrap(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) fn tls(&self, alpn: &[&[u8]]) -> ClientConfig {
        let mut config = trusting(&self.root).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// Of the certificate that the gateway had at its start.
    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// A client that may use HTTP/2.
    pub(crate) fn client(&self) -> Client {
        let tls = self.tls(&[b"h2", b"http/1.1"]);
        let builder = Client::builder().tls_backend_preconfigured(tls);
        builder.resolve("localhost", self.address).build().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client().get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client().post(self.url(path))
    }

    /// Publishes JSON and gives the id.
    pub(crate) async fn publish(&self, topic: &str, data: Value) -> String {
        let answer = sent(self.post(&format!("/topics/{topic}")).json(&data)).await;
        assert_eq!(answer.status(), 201);
        json(answer).await["id"].as_str().unwrap().to_owned()
    }

    /// A TLS connection for hand-made bytes.
    pub(crate) async fn connect(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(self.tls(&[alpn])));
        connector
            .connect("localhost".try_into().unwrap(), socket)
            .await
            .unwrap()
    }

    pub(crate) async fn websocket(&self, path: &str) -> WebSocket {
        self.try_websocket(path, &[]).await.unwrap()
    }

    pub(crate) async fn try_websocket(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<WebSocket, tungstenite::Error> {
        let stream = self.connect(b"http/1.1").await;
        let url = format!("wss://localhost:{}{path}", self.address.port());
        let mut request = tungstenite::client::IntoClientRequest::into_client_request(url)?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, stream).await?;
        Ok(socket)
    }

    /// What the admin port says.
    pub(crate) async fn admin(&self, path: &str) -> Response {
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls(&[]))
            .build()
            .unwrap();
        sent(client.get(format!("http://{}{path}", self.admin))).await
    }

    /// Waits until the metrics have a line.
    pub(crate) async fn counted(&self, line: &str) {
        let waiting = async {
            while !self
                .admin("/metrics")
                .await
                .text()
                .await
                .unwrap()
                .lines()
                .any(|had| had == line)
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, waiting)
            .await
            .unwrap_or_else(|_| panic!("never counted: {line}"));
    }
}

/// A client's TLS that trusts this certificate only.
pub(crate) fn trusting(
    root: &CertificateDer<'static>,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

pub(crate) async fn sent(request: RequestBuilder) -> Response {
    timeout(DEADLINE, request.send()).await.unwrap().unwrap()
}

pub(crate) async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// Sends and asks for a problem with this code; gives the response's headers back.
pub(crate) async fn refused(
    request: RequestBuilder,
    status: u16,
    code: &str,
) -> reqwest::header::HeaderMap {
    let response = sent(request).await;
    let headers = response.headers().clone();
    assert_eq!(response.status(), status, "{code}");
    assert_eq!(headers["content-type"], "application/problem+json");
    let problem = json(response).await;
    assert_eq!(problem["code"], code, "{problem}");
    headers
}
