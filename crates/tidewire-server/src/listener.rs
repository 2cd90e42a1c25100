//! Accepting connections: caps, deadlines, TLS, and what HTTP may do on them.
//!
//! Shape: [`serve`] is the accept loop of one socket. [`Door`] counts a connection, shakes hands and waits for the first
//! bytes; [`Http`] then serves the protocol that they begin, and hands every request of it its [`Peer`].
//! Unit: connections, a task for each.
//! Bound: `connections_per_address`, `connections_total`, `handshake_timeout`, `header_timeout`, `write_timeout`,
//! `http2_streams`; the sizes of headers and HTTP/2 windows are constants of [`http`].
//! Failure: over a cap a connection is still served, but hears only that it is one too many; far over it is closed before
//! any work is done. When the system gives no more sockets the loop waits a moment; those that are open go on.
//! Source: hazards part 1 rows 13, 15, 18, 19, 21 and part 3.

mod control;
mod http;
mod opening;
mod outflow;
mod stream;
mod tls_stream;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{http::Http, opening::Opened};
use self::{
    http::Requests,
    stream::{Stream, Wire},
    tls_stream::TlsStream,
};
use crate::front::Front;
use crate::limits::{
    LimitsConfig,
    quota::{Permit, Quota},
};

/// Who is at the other end of a connection; every request carries it as an extension.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The socket's address. No header changes it.
    pub(crate) address: SocketAddr,
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

/// Serves a socket until `closing` is cancelled, and then until the last of its connections has ended.
///
/// # Cancel safety
/// A dropped call cuts all connections, but not what was upgraded to a WebSocket.
pub(crate) async fn serve(
    socket: TcpListener,
    door: Door,
    http: Http,
    front: Front,
    closing: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let http = Arc::new(http);
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let (door, http, front) = (door.clone(), Arc::clone(&http), front.clone());
                let closing = closing.clone();
                connections.spawn(async move {
                    // Boxed: it is large, and over soon. Whoever has asked nothing yet is owed nothing.
                    let let_in = closing.run_until_cancelled(Box::pin(door.let_in(socket)));
                    match let_in.await {
                        Some(Ok((stream, peer))) => {
                            let requests = Requests::new(front, peer);
                            http.serve(stream, requests, &closing).await;
                        }
                        Some(Err(error)) => tracing::debug!(%error, "no connection"),
                        None => {}
                    }
                });
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connections can be accepted for now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Whoever comes now is refused by the system.
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// The peer gave up before it was accepted: nothing is wrong with the socket.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Who is let in through one kind of listener.
#[derive(Clone)]
pub(crate) struct Door {
    tls: Option<Arc<ServerConfig>>,
    connections: Arc<Quota>,
    /// A few more than the cap, who are told why they are sent away.
    excess: Arc<Quota>,
    handshake_timeout: Duration,
    header_timeout: Duration,
    write_timeout: Duration,
    /// Cancelled once nobody is let in any more.
    closed: CancellationToken,
}

impl Door {
    pub(crate) fn new(
        tls: Option<Arc<ServerConfig>>,
        connections: Arc<Quota>,
        limits: &LimitsConfig,
        closed: CancellationToken,
    ) -> Self {
        Self {
            tls,
            connections,
            excess: Quota::new(EXCESS_PER_ADDRESS, EXCESS_TOTAL),
            handshake_timeout: limits.handshake_timeout,
            header_timeout: limits.header_timeout,
            write_timeout: limits.write_timeout,
            closed,
        }
    }

    async fn let_in(self, socket: TcpStream) -> io::Result<(Opened, Peer)> {
        if self.closed.is_cancelled() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let address = socket.peer_addr()?;
        let (permit, over_capacity) = self.permit(address.ip())?;
        // A batch is one write; waiting for more would only delay it.
        socket.set_nodelay(true)?;
        let wire = Wire::new(socket, self.write_timeout, permit);
        let too_slow = wire.too_slow();
        let secure = self.tls.is_some();
        let stream = match self.tls {
            Some(tls) => {
                let accepted = timeout(self.handshake_timeout, TlsStream::accept(tls, wire));
                Stream::Tls(accepted.await??)
            }
            None => Stream::Plain(wire),
        };
        let opened = timeout(self.header_timeout, Opened::new(stream)).await??;
        let peer = Peer {
            address,
            secure,
            over_capacity,
            too_slow,
        };
        Ok((opened, peer))
    }

    fn permit(&self, address: IpAddr) -> io::Result<(Permit, bool)> {
        if let Some(permit) = self.connections.take(address) {
            return Ok((permit, false));
        }
        if let Some(permit) = self.excess.take(address) {
            return Ok((permit, true));
        }
        tracing::debug!(%address, "connection refused: over capacity");
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// Connections over the cap that are told so, for each address.
const EXCESS_PER_ADDRESS: usize = 16;
/// The same in all.
const EXCESS_TOTAL: usize = 512;
/// How long the loop waits for the system to have sockets again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
