//! Who is let in: whose a connection is, whether there is room for it, and what it begins with.
//!
//! Shape: [`Door::admit`] gives a socket its place under the caps, [`Door::let_in`] takes it through the header of a proxy, the
//! TLS handshake and the first bytes; what comes out is a stream that has begun, and its [`Peer`].
//! Unit: connections.
//! Bound: `connections_per_address`, `connections_total`; `handshake_timeout` for a proxy's header and again for the
//! handshake; `header_timeout` for the first bytes.
//! Failure: an error for the log; the connection is closed. Over a cap it is still let in, to hear that it is one too many;
//! far over it is closed before any work is done. Each is counted by the bound that it met.
//! Source: hazards part 1 rows 13 and 21.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    opening::Opened,
    outflow, proxy_protocol,
    stream::{Stream, Wire},
    tls_stream::TlsStream,
};
use crate::{
    gateway::Shared,
    limits::{
        limit::Limit,
        quota::{Full, Permit, Quota, one_client},
    },
    tls::Handshakes,
};

/// Who is at the other end of a connection; every request carries it as an extension.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Whose connection it is: the socket's address, or what a trusted proxy said instead. For a request that a trusted
    /// proxy forwards, the client's.
    pub(crate) address: SocketAddr,
    /// Whether that is a trusted proxy, which may say for each request whom it is for.
    pub(crate) is_proxy: bool,
    /// Whether the connection is TLS.
    pub(crate) secure: bool,
    /// Whether it is one connection too many: whatever it asks, it is told so.
    pub(crate) over_capacity: bool,
    /// Set once the connection was given up because the peer took nothing.
    pub(crate) too_slow: Arc<AtomicBool>,
}

impl Peer {
    /// Whether the connection, or the HTTP/2 stream that is ending here, was given up because the peer took nothing.
    pub(crate) fn was_too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Relaxed) || outflow::is_giving_up()
    }
}

/// Who is let in through one kind of listener.
#[derive(Clone)]
pub(crate) struct Door {
    gateway: Shared,
    tls: Option<Handshakes>,
    connections: Arc<Quota>,
    /// A few more than the cap, who are told why they are sent away.
    excess: Arc<Quota>,
    /// Proxies are in front of the public listeners only.
    is_public: bool,
    /// Cancelled once nobody is let in any more.
    closed: CancellationToken,
}

impl Door {
    /// For clients.
    pub(crate) fn public(gateway: &Shared, tls: Option<Handshakes>) -> Self {
        Self {
            gateway: gateway.clone(),
            tls,
            connections: gateway.connections.clone(),
            excess: gateway.excess.clone(),
            is_public: true,
            closed: gateway.drain.signal(),
        }
    }

    /// For the operator, also during a drain.
    pub(crate) fn admin(gateway: &Shared) -> Self {
        Self {
            gateway: gateway.clone(),
            tls: None,
            connections: Quota::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS),
            excess: Quota::new(0, 0),
            is_public: false,
            closed: CancellationToken::new(),
        }
    }

    /// Whether there is room, before anything is done for a connection. Called in the accept loop, so that what is accepted
    /// is counted at once: every connection is an open file.
    ///
    /// # Errors
    /// There is none, also for one that is only told so; or nobody is let in any more.
    pub(super) fn admit(&self, socket: &TcpStream) -> io::Result<Admitted> {
        if self.closed.is_cancelled() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let address = socket.peer_addr()?;
        let is_proxy = self.is_public && self.gateway.proxies.trust(address.ip());
        // Behind a proxy are many; each of their sessions counts for its own address.
        let holder = (!is_proxy).then(|| one_client(address.ip()));
        let (permit, over_capacity) = match self.connections.take(holder) {
            Ok(permit) => (permit, false),
            Err(full) => (self.excess(holder, full)?, true),
        };
        Ok(Admitted {
            address,
            is_proxy,
            permit,
            over_capacity,
        })
    }

    /// A place for one that is only told that it is one too many.
    fn excess(&self, holder: Option<IpAddr>, full: Full) -> io::Result<Permit> {
        if self.is_public {
            self.gateway.metrics.refused(match full {
                Full::Each => Limit::ConnectionsPerAddress,
                Full::Total => Limit::ConnectionsTotal,
            });
        }
        let refused = |_| io::ErrorKind::ConnectionRefused.into();
        self.excess.take(holder).map_err(refused)
    }

    /// The rest of the way in.
    pub(super) async fn let_in(
        self,
        mut socket: TcpStream,
        mut admitted: Admitted,
    ) -> io::Result<(Opened, Peer)> {
        if admitted.is_proxy && self.gateway.proxies.speak_proxy_protocol {
            self.hear_proxy(&mut socket, &mut admitted).await?;
        }
        let Admitted {
            address,
            is_proxy,
            permit,
            over_capacity,
        } = admitted;
        // A batch is one write; waiting for more would only delay it.
        socket.set_nodelay(true)?;
        let limits = &self.gateway.limits;
        let wire = Wire::new(socket, limits.write_timeout, permit);
        let too_slow = wire.too_slow();
        let secure = self.tls.is_some();
        let stream = match &self.tls {
            Some(tls) => {
                let accepted = TlsStream::accept(tls.config(), wire);
                let time = limits.handshake_timeout;
                let mut stream = self.within(time, Limit::HandshakeTimeout, accepted).await?;
                if stream.is_challenge() {
                    // RFC 8737 section 3: nothing is said on such a connection.
                    stream.shutdown().await?;
                    return Err(io::Error::other("an authority looked for its proof"));
                }
                Stream::Tls(stream)
            }
            None => Stream::Plain(wire),
        };
        let first = Opened::new(stream);
        let time = limits.header_timeout;
        let opened = self.within(time, Limit::HeaderTimeout, first).await?;
        let peer = Peer {
            address,
            is_proxy,
            secure,
            over_capacity,
            too_slow,
        };
        Ok((opened, peer))
    }

    /// Whose connection it is by the word of the proxy, and whether that one may have one more.
    async fn hear_proxy(&self, socket: &mut TcpStream, admitted: &mut Admitted) -> io::Result<()> {
        let time = self.gateway.limits.handshake_timeout;
        let said = proxy_protocol::read(socket);
        let Some(address) = self.within(time, Limit::HandshakeTimeout, said).await? else {
            return Ok(());
        };
        admitted.address = address;
        admitted.is_proxy = self.gateway.proxies.trust(address.ip());
        if admitted.is_proxy || admitted.over_capacity {
            return Ok(());
        }
        let holder = one_client(address.ip());
        if let Err(full) = admitted.permit.belongs_to(holder) {
            admitted.permit = self.excess(Some(holder), full)?;
            admitted.over_capacity = true;
        }
        Ok(())
    }

    async fn within<T>(
        &self,
        time: Duration,
        limit: Limit,
        step: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        match timeout(time, step).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                self.gateway.metrics.refused(limit);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

/// A connection that has its place.
pub(super) struct Admitted {
    address: SocketAddr,
    is_proxy: bool,
    permit: Permit,
    over_capacity: bool,
}

/// Connections on the admin port at a time.
const ADMIN_CONNECTIONS: usize = 64;
