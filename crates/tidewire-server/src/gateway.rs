//! What every handler shares.
//!
//! Shape: one struct behind an `Arc`, made once, never changed; what moves inside it guards itself.
//! Source: architecture: gateway nodes hold no state that another lacks but their sockets.

use std::{path::PathBuf, sync::Arc};

use http::HeaderValue;
use tidewire_bus::Bus;
use tidewire_protocol::CloseReason;

use crate::{
    ServeError,
    auth::Auth,
    config::{ConfigError, ServerConfig},
    drain::Drain,
    hooks::Hooks,
    host::HostName,
    limits::{LimitsConfig, bucket::Publishers, descriptors::Room, quota::Quota},
    metrics::Metrics,
    origin::Origins,
    proxy::Proxies,
    revocation::Revocations,
    sessions::Sessions,
};

/// The gateway as its handlers hold it.
pub(crate) type Shared = Arc<Gateway>;

/// Everything that a request may need.
pub(crate) struct Gateway {
    /// The log, and the sessions over it.
    pub(crate) bus: Bus,
    /// Who may do what.
    pub(crate) auth: Auth,
    /// Which pages may ask.
    pub(crate) origins: Origins,
    /// Which proxies may speak for others.
    pub(crate) proxies: Proxies,
    /// Every bound.
    pub(crate) limits: LimitsConfig,
    /// The rates of the publishers.
    pub(crate) publishers: Publishers,
    /// The connections of the public listeners.
    pub(crate) connections: Arc<Quota>,
    /// A few more, who are told why they are sent away.
    pub(crate) excess: Arc<Quota>,
    /// The sessions that they carry, by address.
    pub(crate) sessions: Arc<Quota>,
    /// The same by who has opened them.
    pub(crate) sessions_by_subject: Arc<Quota<Arc<str>>>,
    /// The same sessions, one by one.
    pub(crate) open_sessions: Sessions,
    /// Who is asked about them; `None`: nobody.
    pub(crate) hooks: Option<Hooks>,
    /// The one orderly stop.
    pub(crate) drain: Drain,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Names under which the admin port may be called, beside the loopback ones.
    pub(crate) admin_hosts: Vec<HostName>,
    /// `Strict-Transport-Security`, where it is sent.
    pub(crate) hsts: Option<HeaderValue>,
    /// Whether `permessage-deflate` is agreed to.
    pub(crate) websocket_deflate: bool,
    /// Where the pages are taken from while somebody works on them.
    pub(crate) web_dir: Option<PathBuf>,
    /// `/echo` is served.
    pub(crate) conformance_echo: bool,
}

impl Gateway {
    /// Puts the parts together. `loopback`: every public listener is on loopback.
    pub(crate) fn new(
        config: &ServerConfig,
        bus: Bus,
        loopback: bool,
    ) -> Result<Shared, ServeError> {
        config.check()?;
        let limits = config.limits.clone();
        let room = Room::new(&limits);
        let admin_hosts = config
            .http
            .admin_hosts
            .iter()
            .map(|name| {
                HostName::parse(name).ok_or_else(|| {
                    ConfigError::new("http.admin_hosts", name, "a name, or a name and a port")
                })
            })
            .collect::<Result<_, _>>()?;
        let hsts = match config.http.hsts.as_secs() {
            0 => None,
            seconds => HeaderValue::from_str(&format!("max-age={seconds}")).ok(),
        };
        let revocations = Revocations::open(&config.revocations, config.data_dir.clone())
            .map_err(|error| ServeError::Revocations(error.to_string()))?;
        let metrics = Metrics::new();
        Ok(Arc::new(Self {
            bus,
            auth: Auth::new(&config.auth, loopback)?.with_revocations(revocations),
            origins: Origins::new(&config.http.allowed_origins)?,
            proxies: Proxies::new(&config.http)?,
            publishers: Publishers::new(limits.publishes_per_second),
            connections: Quota::new(limits.connections_per_address, room.connections),
            excess: Quota::new(EXCESS_PER_ADDRESS, room.excess),
            sessions: Quota::new(limits.sessions_per_address, limits.sessions_total),
            sessions_by_subject: Quota::new(limits.sessions_per_subject, usize::MAX),
            open_sessions: Sessions::default(),
            hooks: Hooks::new(&config.hooks, &limits, metrics.hooks())?,
            drain: Drain::default(),
            metrics,
            admin_hosts,
            hsts,
            websocket_deflate: config.http.websocket_deflate,
            web_dir: config.http.web_dir.clone(),
            conformance_echo: config.conformance_echo,
            limits,
        }))
    }

    /// Whether the user's backend is asked when a session opens.
    pub(crate) fn asks_about_sessions(&self) -> bool {
        self.hooks.as_ref().is_some_and(Hooks::concern_sessions)
    }

    /// Asks all sessions to end; those that open from now on hear it at once.
    pub(crate) fn begin_drain(&self) {
        self.drain.begin();
        self.open_sessions.stop(CloseReason::Draining, |_| true);
    }

    /// Cuts what is left.
    pub(crate) fn end_drain(&self) {
        self.drain.end();
        self.open_sessions.cut();
    }
}

/// Connections over the cap that are told so, for each address.
const EXCESS_PER_ADDRESS: usize = 16;
