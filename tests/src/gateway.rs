//! The server in this process, over TLS on a free port.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidewire_bus::{
    Bus, BusConfig, Clock, DiskConfig, DiskEngine, IDEMPOTENCY_WINDOW, MemoryConfig, MemoryEngine,
    Retention, RetentionRule, RetentionTable,
};
use tidewire_client::{Client, NewEvent, Transport};
use tidewire_server::{Listeners, ServerConfig, Tls};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Subscriber, within};

/// What keeps the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Nothing survives.
    Memory,
    /// Synced before the answer.
    Disk,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Disk];
}

/// What a test sets.
pub struct Settings {
    /// The server's own.
    pub server: ServerConfig,
    /// The window's.
    pub bus: BusConfig,
    /// Of every topic that no rule is for.
    pub retention: Retention,
    /// The first whose pattern matches a topic applies.
    pub rules: Vec<RetentionRule>,
    /// How long a key is remembered.
    pub idempotency_window: Duration,
    /// What the engine goes by.
    pub clock: Clock,
}

/// A running gateway. Dropping it ends it.
pub struct Gateway {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// The admin listener.
    pub admin: SocketAddr,
    /// Its bus, to look at.
    pub bus: Bus,
    folder: TempDir,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl Gateway {
    /// Starts one with everything as it is by default.
    pub fn start(engine: Engine) -> Self {
        Self::with(engine, |_| {})
    }

    /// Starts one with some settings. Needs a tokio runtime.
    pub fn with(engine: Engine, set: impl FnOnce(&mut Settings)) -> Self {
        Self::on(tempfile::tempdir().unwrap(), engine, set)
    }

    fn on(folder: TempDir, engine: Engine, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            server: ServerConfig::new(Tls::SelfSigned {
                folder: folder.path().join("tls"),
            }),
            bus: BusConfig::default(),
            retention: Retention::default(),
            rules: Vec::new(),
            idempotency_window: IDEMPOTENCY_WINDOW,
            clock: Clock::system(),
        };
        set(&mut settings);
        let retention = RetentionTable::new(settings.rules, settings.retention);
        let engine: Arc<dyn tidewire_bus::Engine> = match engine {
            Engine::Memory => {
                let config = MemoryConfig {
                    idempotency_window: settings.idempotency_window,
                    clock: settings.clock,
                    ..MemoryConfig::default()
                };
                Arc::new(MemoryEngine::new(config, retention))
            }
            Engine::Disk => {
                let log = folder.path().join("log");
                let config = DiskConfig {
                    idempotency_window: settings.idempotency_window,
                    clock: settings.clock,
                    ..DiskConfig::default()
                };
                Arc::new(DiskEngine::open(&log, config, retention).unwrap())
            }
        };
        let bus = Bus::start(engine, settings.bus);
        let (public, address) = listener();
        let (admin, admin_address) = listener();
        let listeners = Listeners {
            public: vec![public],
            admin: Some(admin),
            redirect: None,
        };
        let shutdown = CancellationToken::new();
        // Ready when this returns: the certificate is made and the sockets take connections.
        let server =
            tidewire_server::Server::new(&settings.server, bus.clone(), listeners).unwrap();
        let token = shutdown.clone();
        let server = tokio::spawn(async move { server.run(token).await.unwrap() });
        Self {
            url: format!("https://{address}"),
            admin: admin_address,
            bus,
            folder,
            shutdown,
            server,
        }
    }

    /// Our own client.
    #[must_use]
    pub fn client(&self) -> Client {
        client(&self.url, &self.certificate())
    }

    /// The certificate that it made, as PEM.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("tls/cert.pem")).unwrap()
    }

    /// Publishes one value and gives the event's id.
    pub async fn publish(&self, topic: &str, data: impl Into<Value>) -> String {
        let event = NewEvent::json(topic, &data.into()).unwrap();
        self.client().publish(&event).await.unwrap().id.to_string()
    }

    /// A POST with curl, over HTTP/2; gives the body of the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        self.ask("POST", path, headers, body).await.1
    }

    /// A request with curl, over HTTP/2; gives the status and the body of the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--http2", "--request", method])
            .args(["--write-out", "%{http_code}"])
            .arg("--cacert")
            .arg(self.folder.path().join("tls/cert.pem"))
            .arg(format!("{}{path}", self.url));
        if method == "POST" {
            curl.args(["--data-binary", "@-"]);
        }
        for (name, value) in headers {
            curl.arg("--header").arg(format!("{name}: {value}"));
        }
        let mut curl = curl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl");
        let mut input = curl.stdin.take().unwrap();
        input.write_all(body.as_bytes()).await.unwrap();
        drop(input);
        let output = within(curl.wait_with_output()).await.unwrap();
        assert!(output.status.success(), "{path}: {}", output.status);
        let mut answer = String::from_utf8(output.stdout).unwrap();
        let status = answer.split_off(answer.len() - 3);
        (status.parse().unwrap(), answer)
    }

    /// Subscribes from a place: `now`, `start` or a cursor.
    pub async fn subscribe(
        &self,
        transport: Transport,
        topics: &[&str],
        after: &str,
    ) -> Subscriber {
        Subscriber::open(&self.client(), transport, topics, after).await
    }

    /// Ends it in order and starts another one on its folder.
    pub async fn restart(self, engine: Engine, set: impl FnOnce(&mut Settings)) -> Self {
        let Self {
            bus,
            folder,
            shutdown,
            server,
            ..
        } = self;
        shutdown.cancel();
        server.await.unwrap();
        bus.stop().await;
        drop(bus);
        Self::on(folder, engine, set)
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.unwrap();
        self.bus.stop().await;
    }
}

/// A client that trusts this certificate.
pub(crate) fn client(url: &str, certificate: &[u8]) -> Client {
    Client::builder(url).ca_pem(certificate).build().unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
