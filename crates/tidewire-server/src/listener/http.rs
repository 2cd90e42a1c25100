//! What HTTP may do on a connection: every setting by name, not left to a default.
//!
//! Shape: [`Http`] has the settings of one listener and serves a connection; [`Requests`] is what hyper calls for each
//! request of it.
//! Unit: bytes and streams.
//! Bound: `header_timeout`, `http2_streams`, `http2_control_frames_per_second`, `write_timeout` for each stream, `heartbeat`
//! as HTTP/2 keep-alive; the constants below. From them `h2` derives its own: how many CONTINUATION frames a header may
//! take, and how many small or empty DATA frames may wait.
//! Failure: a header that is too long is 431; a flood of resets, CONTINUATION or small DATA frames, or a header that
//! unpacks to far too much, ends in GOAWAY ENHANCE_YOUR_CALM; a flood of control frames closes the connection.
//! Source: hazards part 1 rows 13, 15, 18 and part 3.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
};

use axum::{body::Body, response::Response};
use futures_util::{FutureExt as _, future::Map};
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use super::{
    Peer,
    control::ControlLimit,
    opening::{Opened, Version},
    outflow::{Outflow, Streams},
};
use crate::{
    front::{Answer, Front},
    limits::{LimitsConfig, limit::Limit},
};

/// Both versions of HTTP, as they are served here.
pub(crate) struct Http {
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
    control_frames_per_second: u32,
}

impl Http {
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // Without a timer the deadline for the header does nothing.
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HTTP1_BUFFER_BYTES);
        let mut http2 = http2::Builder::new(Streams {
            write_timeout: limits.write_timeout,
        });
        http2
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .max_concurrent_streams(limits.http2_streams)
            .max_header_list_size(HTTP2_HEADER_BYTES)
            .header_table_size(HTTP2_TABLE_BYTES)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES)
            .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS)
            .max_local_error_reset_streams(HTTP2_LOCAL_RESETS)
            .keep_alive_interval(limits.heartbeat)
            .keep_alive_timeout(limits.heartbeat);
        Self {
            http1,
            http2,
            control_frames_per_second: limits.http2_control_frames_per_second,
        }
    }

    /// Serves a connection to its end, or until it was upgraded. Once `closing` is cancelled, it ends after the answers that
    /// it owes.
    pub(super) async fn serve(
        &self,
        stream: Opened,
        requests: Requests,
        closing: &CancellationToken,
    ) {
        let gateway = requests.front.gateway().clone();
        match stream.version() {
            Version::Http1 => {
                let stream = TokioIo::new(stream);
                let connection = self.http1.serve_connection(stream, requests);
                let end = http1::UpgradeableConnection::graceful_shutdown;
                let ended = to_its_end(connection.with_upgrades(), closing, end).await;
                // The only time that hyper measures itself.
                if ended.is_err_and(|error| error.is_timeout()) {
                    gateway.metrics.refused(Limit::HeaderTimeout);
                }
            }
            Version::Http2 => {
                let floods = requests.front.floods();
                let stream = ControlLimit::new(stream, self.control_frames_per_second, floods);
                let stream = TokioIo::new(stream);
                let connection = self.http2.serve_connection(stream, Http2Requests(requests));
                let end = http2::Connection::graceful_shutdown;
                // Boxed: HTTP/1.1, of which there are more connections, does not need its room.
                let _ = Box::pin(to_its_end(connection, closing, end)).await;
            }
        }
    }
}

async fn to_its_end<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    closing: &CancellationToken,
    end: fn(Pin<&mut C>),
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        () = closing.cancelled() => {
            end(connection.as_mut());
            connection.await
        }
        ended = connection.as_mut() => ended,
    };
    ended.inspect_err(|error| tracing::debug!(%error, "connection ended"))
}

/// Every request of one connection.
pub(super) struct Requests {
    front: Front,
    peer: Peer,
}

impl Requests {
    pub(super) fn new(front: Front, peer: Peer) -> Self {
        Self { front, peer }
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = Map<Answer, fn(Response) -> Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.front.answer(request.map(Body::new), self.peer.clone());
        answer.map(Ok)
    }
}

/// The same, over HTTP/2: each answer goes out in pieces, and may stall by itself.
struct Http2Requests(Requests);

impl Service<Request<Incoming>> for Http2Requests {
    type Response = Response<Outflow>;
    type Error = Infallible;
    type Future = Map<Answer, fn(Response) -> Result<Response<Outflow>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Requests { front, peer } = &self.0;
        let answer = front.answer(request.map(Body::new), peer.clone());
        answer.map(|response| Ok(response.map(Outflow::new)))
    }
}

/// HTTP/1.1: the header and the read buffer. A longer header is 431. hyper refuses more than 100 fields by itself.
const HTTP1_BUFFER_BYTES: usize = 16 * 1024;
/// HTTP/2: all fields of one request, unpacked.
const HTTP2_HEADER_BYTES: u32 = 16 * 1024;
/// HTTP/2: names and values that a client may make the connection remember (HPACK). The protocol's own default.
const HTTP2_TABLE_BYTES: u32 = 4 * 1024;
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
/// HTTP/2: resets that the client made us send, in the life of the connection. More: GOAWAY. So who opens a thousand
/// streams at once hears REFUSED_STREAM for each that is too many, and may ask again.
const HTTP2_LOCAL_RESETS: usize = 1024;
