//! `/echo`: every message comes back as it was. For conformance suites only.
//!
//! Shape: the codec and nothing around it: no session, no frame of ours. Where compression was agreed an answer is
//! compressed whenever it becomes smaller by it.
//! Failure: a violation is answered with its close code.
//! Source: architecture: Autobahn is the codec's proof.

use axum::{extract::Request, response::Response};
use tidewire_protocol::CloseReason;

use super::{
    handshake::Upgrade,
    socket::{End, Socket},
};
use crate::gateway::Shared;

/// `GET /echo`, or `CONNECT /echo` over HTTP/2.
pub(crate) fn echo(gateway: &Shared, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    let upgrade = match Upgrade::of(gateway, &mut parts) {
        Ok(upgrade) => upgrade,
        Err(refused) => return *refused,
    };
    let gateway = gateway.clone();
    upgrade.accept(move |mut socket| async move {
        let end = tokio::select! {
            end = repeat(&mut socket) => end,
            () = gateway.drain.begun() => End::Say(CloseReason::Draining),
        };
        socket.close(end).await;
    })
}

async fn repeat(socket: &mut Socket) -> End {
    loop {
        match socket.receive().await {
            Ok(message) => socket.feed_back(&message),
            Err(end) => return end,
        }
        if let Err(end) = socket.flush().await {
            return end;
        }
    }
}
