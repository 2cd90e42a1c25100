//! Accepting connections: caps, deadlines, TLS, and what HTTP may do on them.
//!
//! Shape: [`serve`] is the accept loop of one socket. [`Door`] learns whose a connection is, counts it, shakes hands and waits
//! for the first bytes; [`Http`] then serves the protocol that they begin, and hands every request of it its [`Peer`].
//! Unit: connections, a task for each.
//! Bound: `connections_per_address`, `connections_total`, `handshake_timeout`, `header_timeout`, `write_timeout`,
//! `http2_streams`; the sizes of headers and HTTP/2 windows are constants of [`http`].
//! Failure: over a cap a connection is still served, but hears only that it is one too many; far over it is closed before
//! any work is done. When the system gives no more sockets the loop waits a moment; those that are open go on.
//! Source: hazards part 1 rows 13, 15, 18, 19, 21 and part 3.

mod control;
mod door;
mod framing;
mod http;
mod opening;
mod outflow;
mod proxy_protocol;
mod stream;
mod tls_stream;

use std::{io, mem, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use self::http::Requests;
pub(crate) use self::{
    door::{Door, Peer},
    http::Http,
    opening::Opened,
};
use crate::front::Front;

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
    let mut is_starved = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                if mem::take(&mut is_starved) {
                    tracing::info!("connections are accepted again");
                }
                let admitted = match door.admit(&socket) {
                    Ok(admitted) => admitted,
                    Err(error) => {
                        tracing::debug!(%error, "no connection");
                        continue;
                    }
                };
                let (door, http, front) = (door.clone(), Arc::clone(&http), front.clone());
                let closing = closing.clone();
                connections.spawn(async move {
                    // Boxed: it is large, and over soon. Whoever has asked nothing yet is owed nothing.
                    let let_in = Box::pin(door.let_in(socket, admitted));
                    match closing.run_until_cancelled(let_in).await {
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
                // Once for each time that this begins, not for every try.
                if !mem::replace(&mut is_starved, true) {
                    tracing::warn!(%error, "no connections can be accepted for now");
                }
                front.gateway().metrics.accept_failed();
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

/// How long the loop waits for the system to have sockets again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
