//! The HTTP surface of the gateway: publish, WebSocket, SSE, long-poll, read, admin.
//!
//! The nouns, in the order to read them: [`Server`] puts everything together and stops it in order; `router` has every
//! route and layer in one column; `publish` and `read` are the REST verbs; `transport` is what the three transports
//! share, and each of `transport/{websocket,sse,poll}` turns the batches of its session into its own bytes. Around them:
//! `listener` and `tls` (connections), `auth` and `origin` (who may), `error` (what a client learns), `limits` (every bound
//! by name), `proxy` (who speaks for others), `drain`, `health`, `metrics`, `admin`, `assets`; `hooks` (the user's backend is
//! asked), `sessions` (who is connected) and `revocation`.
//!
//! **Invariants.** It knows the engine only through the bus. No transport has a queue of its own: a session is a cursor over
//! the log. Nothing from the network panics the process; what would is caught, counted and answered. Nothing here waits
//! for a subscriber while it holds a lock.
//!
//! Source: the protocol document, all sections.

mod admin;
mod assets;
mod auth;
mod config;
mod drain;
mod error;
mod front;
mod gateway;
mod health;
mod hooks;
mod host;
mod leftover;
mod limits;
mod listener;
mod metrics;
mod origin;
mod proxy;
mod publish;
mod read;
mod redirect;
mod revocation;
mod router;
mod sessions;
mod ticket;
mod tls;
mod transport;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use tidewire_bus::Bus;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

pub use auth::{
    Access, AccessError, GrantPattern, TokenError,
    mint::{MintError, TokenRequest, mint},
};
pub use config::{
    AnonymousConfig, AuthConfig, ConfigError, HttpConfig, JwtConfig, KeyConfig, RoleConfig, Secret,
    ServerConfig,
};
pub use hooks::{
    ConnectHookConfig, HooksConfig, OnFailure, PublishHookConfig, SubscribeHookConfig,
};
pub use limits::{LimitsConfig, descriptors::raise_open_files};
pub use proxy::ForwardedHeader;
pub use revocation::RevocationsConfig;
pub use tls::{
    AcmeConfig, ClientCert, ClientCertificates, Reload, Tls, TlsConfig, TlsError, TlsOptions,
};

use crate::{
    front::Front,
    gateway::{Gateway, Shared},
    listener::{Door, Http},
    tls::{Handshakes, Upkeep},
};

/// Sockets that are bound already: tests take port 0, the binary says which port is in use before anything starts.
#[derive(Debug)]
pub struct Listeners {
    /// For clients. At least one.
    pub public: Vec<TcpListener>,
    /// For the operator, on loopback; plain HTTP.
    pub admin: Option<TcpListener>,
    /// For clients that come without TLS: they are sent to the first public one.
    pub redirect: Option<TcpListener>,
}

/// Why the gateway does not serve. The operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A value that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The revocations of earlier runs: without them, whoever was revoked would come back.
    #[error("the revocations cannot be read: {0}")]
    Revocations(String),
    /// There is no public listener.
    #[error("no address to listen on")]
    NoListener,
    /// A socket cannot be used.
    #[error("a listening socket cannot be used: {0}")]
    Socket(#[from] io::Error),
}

/// Serves until the token is cancelled, then drains.
///
/// # Errors
/// Nothing was served: a value, the certificate or a socket cannot work.
///
/// # Cancel safety
/// A dropped call ends everything at once: sessions are cut and may resume by their cursors.
pub async fn serve(
    config: ServerConfig,
    bus: Bus,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    Server::new(&config, bus, listeners)?.run(shutdown).await
}

/// A gateway that is ready to serve: everything that can go wrong at a start has gone right.
pub struct Server {
    gateway: Shared,
    tls: Option<(Handshakes, Upkeep)>,
    reload: Reload,
    listeners: Listeners,
}

impl Server {
    /// Checks the configuration, reads or makes the certificate.
    ///
    /// Connections wait in the sockets from the moment they are bound, so a caller may announce them when this returns.
    ///
    /// # Errors
    /// A value, the certificate or a socket cannot work.
    pub fn new(config: &ServerConfig, bus: Bus, listeners: Listeners) -> Result<Self, ServeError> {
        if listeners.public.is_empty() {
            return Err(ServeError::NoListener);
        }
        let addresses = listeners.public.iter().map(TcpListener::local_addr);
        let addresses: Vec<SocketAddr> = addresses.collect::<Result<_, _>>()?;
        let loopback = addresses
            .iter()
            .all(|address| address.ip().to_canonical().is_loopback());
        Ok(Self {
            gateway: Gateway::new(config, bus, loopback)?,
            tls: tls::open(&config.tls, &config.tls_options)?,
            reload: Reload::default(),
            listeners,
        })
    }

    /// Asks this gateway to look at its certificate files at once; it may be kept while the gateway runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until the token is cancelled, then drains: readiness off, no new connections, `bye` to the sessions, time for
    /// what is in flight, the end of what is left. The bus is left running; its owner stops it afterwards.
    ///
    /// # Errors
    /// A socket cannot be used.
    ///
    /// # Cancel safety
    /// As [`serve`].
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self {
            gateway,
            tls,
            reload,
            listeners,
        } = self;
        let limits = &gateway.limits;
        // Sessions of a dropped call end too; their tasks are not all ours.
        let _cut = CutOnDrop(gateway.clone());

        // Dropped with this call.
        let mut tasks = JoinSet::new();
        let tls = tls.map(|(handshakes, upkeep)| {
            tasks.spawn(upkeep.run(reload, gateway.clone()));
            handshakes
        });
        let door = Door::public(&gateway, tls);
        let _keys = gateway.auth.keep_keys_fresh();
        let front = Front::public(&gateway, router::routes(&gateway));
        let https = listeners
            .public
            .first()
            .map(TcpListener::local_addr)
            .transpose()?;
        let mut public = Running::default();
        for socket in listeners.public {
            tracing::info!(address = %socket.local_addr()?, "listening");
            public.add(socket, door.clone(), front.clone(), &gateway)?;
        }
        if let (Some(socket), Some(https)) = (listeners.redirect, https) {
            let routes = redirect::routes(https.port());
            public.add(
                socket,
                Door::public(&gateway, None),
                Front::redirect(&gateway, routes),
                &gateway,
            )?;
        }
        let mut admin = Running::default();
        if let Some(socket) = listeners.admin {
            admin.add(
                socket,
                Door::admin(&gateway),
                Front::admin(&gateway, admin::routes(&gateway)),
                &gateway,
            )?;
        }

        shutdown.cancelled().await;

        tracing::info!(sessions = gateway.sessions.held(), "draining");
        gateway.begin_drain();
        let in_time = timeout(limits.drain_timeout, async {
            gateway.drain.sessions_gone().await;
            // Over HTTP/2 some clients give a connection up at GOAWAY, and with it the last words that
            // are on their way.
            tokio::time::sleep(LAST_WORDS).await;
            public.stop();
            public.gone().await;
        });
        if in_time.await.is_err() {
            tracing::info!(
                sessions = gateway.sessions.held(),
                "drain timed out; the rest is cut"
            );
        }
        gateway.end_drain();
        admin.stop();
        // The operator sees the last numbers; what still hangs is dropped with the set.
        let _ = timeout(ADMIN_GRACE, admin.gone()).await;
        tracing::info!("drained");
        Ok(())
    }
}

/// The servers of one kind, one for each socket. Dropping them cuts their connections.
#[derive(Default)]
struct Running {
    closing: CancellationToken,
    servers: JoinSet<()>,
}

impl Running {
    fn add(
        &mut self,
        socket: TcpListener,
        door: Door,
        front: Front,
        gateway: &Shared,
    ) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let http = Http::new(&gateway.limits);
        let closing = self.closing.clone();
        self.servers
            .spawn(listener::serve(socket, door, http, front, closing));
        Ok(())
    }

    /// No new connections; those that are open end after their answers.
    fn stop(&self) {
        self.closing.cancel();
    }

    async fn gone(&mut self) {
        while self.servers.join_next().await.is_some() {}
    }
}

struct CutOnDrop(Shared);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.end_drain();
    }
}

/// What `bye` and the answers of held polls have to leave before the connections are told to end.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long the admin port goes on after the drain, for an answer in flight.
const ADMIN_GRACE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use tidewire_bus::{BusConfig, MemoryConfig, MemoryEngine, Retention, RetentionTable};

    use super::*;
    use crate::auth::Shown;

    #[tokio::test]
    async fn one_address_that_others_reach_takes_from_everybody_what_loopback_gives() {
        for (second, may_do_all) in [("127.0.0.1:0", true), ("0.0.0.0:0", false)] {
            let public = ["127.0.0.1:0", second].map(|at| TcpListener::bind(at).unwrap());
            let listeners = Listeners {
                public: public.into(),
                admin: None,
                redirect: None,
            };
            let retention = RetentionTable::new(Vec::new(), Retention::default());
            let engine = MemoryEngine::new(MemoryConfig::default(), retention);
            let bus = Bus::start(Arc::new(engine), BusConfig::default());
            let server = Server::new(&ServerConfig::new(Tls::None), bus, listeners).unwrap();
            let nobody = Request::new(());
            let anonymous = server.gateway.auth.identify(Shown::of(&nobody)).unwrap();
            assert_eq!(anonymous.may_anything(), may_do_all, "{second}");
        }
    }
}
