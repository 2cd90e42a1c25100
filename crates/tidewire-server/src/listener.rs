//! Accepting connections: caps, deadlines, TLS, and what HTTP may do on them.
//!
//! Shape: [`Door`] is the acceptor inside axum-server: it counts, shakes hands, wraps the stream and hands every request
//! of the connection its [`Peer`]. [`open`] puts a door and the HTTP settings around one socket.
//! Unit: connections.
//! Bound: `connections_per_address`, `connections_total`, `handshake_timeout`, `header_timeout`, `write_timeout`,
//! `http2_streams`; the sizes of headers and HTTP/2 windows are constants below.
//! Failure: over a cap a connection is still served, but hears only that it is one too many; far over it is closed before
//! any work is done.
//! Source: hazards part 1 rows 13, 15, 18, 21 and part 3.

pub(crate) mod stream;
mod tls_stream;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Extension, middleware::AddExtension};
use axum_server::{Handle, Server, accept::Accept};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use self::{
    stream::{Opening, Stream, Wire},
    tls_stream::TlsStream,
};
use crate::limits::{LimitsConfig, quota::Quota};

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
    /// Whether the connection was given up because the peer took nothing.
    pub(crate) fn was_too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Relaxed)
    }
}

/// The acceptor of one kind of listener.
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

    async fn let_in(self, socket: TcpStream) -> io::Result<(Opening, Peer)> {
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
        let peer = Peer {
            address,
            secure,
            over_capacity,
            too_slow,
        };
        Ok((Opening::new(stream, self.header_timeout), peer))
    }

    fn permit(&self, address: IpAddr) -> io::Result<(crate::limits::quota::Permit, bool)> {
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

impl<S: Send + 'static> Accept<TcpStream, S> for Door {
    type Stream = Opening;
    type Service = AddExtension<S, Peer>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, socket: TcpStream, service: S) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            let (stream, peer) = door.let_in(socket).await?;
            Ok((stream, Extension(peer).layer(service)))
        })
    }
}

/// A server on one socket, with every HTTP setting by name, not left to a default.
///
/// # Errors
/// The socket cannot be used by the runtime.
pub(crate) fn open(
    socket: std::net::TcpListener,
    door: Door,
    handle: Handle<SocketAddr>,
    limits: &LimitsConfig,
) -> io::Result<Server<SocketAddr, Door>> {
    socket.set_nonblocking(true)?;
    let mut server = axum_server::from_tcp(socket)?.handle(handle).acceptor(door);
    let http = server.http_builder();
    http.http1()
        // Without a timer the deadline for the header does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(HTTP2_HEADER_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS)
        .max_local_error_reset_streams(HTTP2_LOCAL_RESETS)
        .keep_alive_interval(limits.heartbeat)
        .keep_alive_timeout(limits.heartbeat);
    Ok(server)
}

/// Connections over the cap that are told so, for each address.
const EXCESS_PER_ADDRESS: usize = 16;
/// The same in all.
const EXCESS_TOTAL: usize = 512;
/// HTTP/1.1: the header and the read buffer. A longer header is 431. hyper refuses more than 100 fields by itself.
const HTTP1_BUFFER_BYTES: usize = 16 * 1024;
/// HTTP/2: all fields of one request, unpacked.
const HTTP2_HEADER_BYTES: u32 = 16 * 1024;
/// HTTP/2: what one publish may have on the way.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// HTTP/2: what all streams of a connection may have on the way.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// HTTP/2: the smallest that the protocol allows; a batch is written in several frames.
const HTTP2_FRAME_BYTES: u32 = 16 * 1024;
/// HTTP/2: what may wait in a stream for a reader, beside one batch.
const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// HTTP/2: resets by the client of streams that were not looked at yet (rapid reset). More: GOAWAY.
const HTTP2_PENDING_RESETS: usize = 20;
/// HTTP/2: resets that the client made us send. More: GOAWAY.
const HTTP2_LOCAL_RESETS: usize = 256;
