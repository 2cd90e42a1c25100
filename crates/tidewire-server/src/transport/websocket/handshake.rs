//! The handshake of every WebSocket: the request is judged, the answer is made, the connection is taken over from HTTP.
//!
//! Shape: [`Upgrade`] is a request that may be upgraded; [`Upgrade::accept`] answers it and hands the open [`Socket`] on.
//! Bound: the sizes of a header; one task for each open socket.
//! Failure: 400, 405 or 426, before the 101. A client that goes away before it has begun leaves nothing behind.
//! Source: RFC 6455 section 4.2; RFC 8441 section 5; protocol section 3.3.

use std::{future::Future, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{StatusCode, Version, request::Parts};
use hyper::{
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tidewire_protocol::Code;
use tidewire_websocket::{Connection, Role, Settings, deflate, handshake};

use super::socket::{Socket, Stream};
use crate::{error::Refusal, gateway::Shared, listener::Opened};

/// A request that may be upgraded.
pub(super) struct Upgrade {
    request: handshake::Request,
    io: OnUpgrade,
    message_max_bytes: usize,
    write_timeout: Duration,
    deflate: Option<deflate::Agreed>,
}

impl Upgrade {
    /// Judges a request.
    ///
    /// # Errors
    /// What to answer to it.
    pub(super) fn of(gateway: &Shared, parts: &mut Parts) -> Result<Self, Box<Response>> {
        let request = handshake::Request::of(&parts.method, parts.version, &parts.headers)
            .map_err(|refused| Box::new(answer(&refused)))?;
        let io = parts.extensions.remove::<OnUpgrade>();
        let protocol = parts.extensions.get::<Protocol>();
        // RFC 8441 section 4: without `:protocol` this is a CONNECT to another host, and we are no proxy.
        let is_websocket = parts.version < Version::HTTP_2
            || protocol.is_some_and(|name| name.as_str() == WEBSOCKET);
        let (Some(io), true) = (io, is_websocket) else {
            let why = "this connection cannot become a WebSocket";
            return Err(Box::new(
                Refusal::new(Code::BadRequest, why).into_response(),
            ));
        };
        let deflate = match gateway.websocket_deflate {
            true => deflate::choose(request.offers()),
            false => None,
        };
        Ok(Self {
            request,
            io,
            message_max_bytes: gateway.limits.frame_max_bytes(),
            write_timeout: gateway.limits.write_timeout,
            deflate,
        })
    }

    /// Answers, and runs what is to happen on the open socket in a task of its own.
    pub(super) fn accept<F>(self, run: impl FnOnce(Socket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        // A client that offers only other subprotocols gets no header, and is the one to say what it makes of that.
        let known = self.request.subprotocols().find(|one| *one == SUBPROTOCOL);
        let response = self
            .request
            .accept(known, self.deflate)
            .map(|()| Body::empty());
        let settings = Settings {
            role: Role::Server,
            message_max_bytes: self.message_max_bytes,
            deflate: self.deflate,
        };
        let (io, write_timeout) = (self.io, self.write_timeout);
        tokio::spawn(async move {
            if let Ok(upgraded) = io.await {
                let (stream, leftover) = taken_over(upgraded);
                let connection = Connection::new(stream, leftover, settings);
                run(Socket::new(connection, write_timeout)).await;
            }
        });
        response
    }
}

/// What is left when HTTP has gone: over HTTP/1.1 the connection itself, with what was read behind the request.
fn taken_over(upgraded: Upgraded) -> (Stream, Bytes) {
    match upgraded.downcast::<TokioIo<Opened>>() {
        Ok(parts) => {
            // A copy: even empty it would keep hyper's read buffer for as long as the connection lives.
            let leftover = Bytes::copy_from_slice(&parts.read_buf);
            (Stream::Connection(parts.io.into_inner()), leftover)
        }
        Err(upgraded) => (Stream::Part(TokioIo::new(upgraded)), Bytes::new()),
    }
}

fn answer(refused: &handshake::Refused) -> Response {
    let code = match refused.status {
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::UPGRADE_REQUIRED => Code::UpgradeRequired,
        _ => Code::BadRequest,
    };
    let why = format!("not a WebSocket handshake: {}", refused.what);
    (refused.headers.clone(), Refusal::new(code, why)).into_response()
}

/// The one subprotocol.
const SUBPROTOCOL: &str = "tidewire.v1";
/// The `:protocol` of an extended CONNECT.
const WEBSOCKET: &str = "websocket";
