//! The way of every request, before any route: one Host, an Origin that may ask, a panic that is caught, headers that
//! protect the answer.
//!
//! Shape: [`Front`] is what a listener calls for each request of a connection. The session routes are dispatched here, as
//! plain calls: they are asked for all the time, and a held poll keeps in memory whatever stands around it. Everything else
//! goes on to the port's [`Router`].
//! Failure: whatever fails in here answers with a problem, also a panic.
//! Source: protocol sections 3 and 9; hazards part 1 rows 12, 21, 23.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use tidewire_protocol::Code;
use tower::ServiceExt;

use crate::{
    error::Refusal,
    gateway::Shared,
    host::HostName,
    leftover,
    listener::Peer,
    origin,
    router,
    transport::{poll, sse, websocket},
};

/// What answers the requests of a port. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front(Arc<Port>);

struct Port {
    gateway: Shared,
    routes: Router,
    /// Sessions, and pages from elsewhere that may ask.
    is_public: bool,
}

impl Front {
    /// For clients.
    pub(crate) fn public(gateway: &Shared, routes: Router) -> Self {
        if gateway.conformance_echo {
            tracing::warn!("/echo is served: for conformance suites only");
        }
        Self::new(gateway, routes, true)
    }

    /// For the operator.
    pub(crate) fn admin(gateway: &Shared, routes: Router) -> Self {
        Self::new(gateway, routes, false)
    }

    fn new(gateway: &Shared, routes: Router, is_public: bool) -> Self {
        Self(Arc::new(Port {
            gateway: gateway.clone(),
            routes,
            is_public,
        }))
    }

    /// Answers one request. This future is what a held poll costs, so whatever is not held is boxed inside.
    pub(crate) async fn answer(self, request: Request, peer: Peer) -> Response {
        let gateway = &self.0.gateway;
        let host = HostName::of(&request);
        // Whatever else a sender without a Host has put on the line is not to be trusted either.
        // HTTP/2 has no such header.
        let close = (peer.over_capacity || host.is_err()) && request.version() <= Version::HTTP_11;
        let secure = peer.secure;
        let mut response = match host {
            Ok(host) => AssertUnwindSafe(self.0.inside(request, host, peer))
                .catch_unwind()
                .await
                .unwrap_or_else(|cause| caught(gateway, cause.as_ref())),
            Err(why) => Refusal::new(Code::BadRequest, why).into_response(),
        };
        let hsts = gateway.hsts.as_ref().filter(|_| secure);
        protect(response.headers_mut(), hsts, close);
        response
    }
}

impl Port {
    /// With one Host.
    async fn inside(&self, request: Request, host: HostName, peer: Peer) -> Response {
        if !self.is_public {
            return Box::pin(self.routed(request, host, peer)).await;
        }
        // Before any handler: a foreign page gets no upgrade, no stream, no read and no publish.
        let admitted = match origin::admit(&self.gateway.origins, &request, &host, peer.secure) {
            Ok(admitted) => admitted,
            Err(answer) => return *answer,
        };
        let mut response = self.dispatch(request, host, peer).await;
        admitted.allow(response.headers_mut());
        response
    }

    /// Every route of a session, in one column.
    async fn dispatch(&self, request: Request, host: HostName, peer: Peer) -> Response {
        let gateway = &self.gateway;
        let may_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/poll" if may_read => answered(poll::serve(gateway, &peer, &request).await),
            "/sse" if may_read => answered(Box::pin(sse::serve(gateway, &peer, &request)).await),
            "/poll" | "/sse" => ([(ALLOW, "GET,HEAD")], router::wrong_method().await).into_response(),
            // GET over HTTP/1.1, CONNECT over HTTP/2 (RFC 8441): the handler tells them apart.
            "/ws" => answered(Box::pin(websocket::serve(gateway, &peer, request)).await),
            // What conformance suites need, and nobody else.
            "/echo" if gateway.conformance_echo => answered(websocket::echo(gateway, request)),
            _ => Box::pin(self.routed(request, host, peer)).await,
        }
    }

    async fn routed(&self, mut request: Request, host: HostName, peer: Peer) -> Response {
        request.extensions_mut().insert(host);
        request.extensions_mut().insert(peer);
        let routes = self.routes.clone();
        let run = |request| async move {
            match routes.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        match *request.method() {
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                leftover::read_away(request, run).await
            }
            _ => run(request).await,
        }
    }
}

fn answered<E: IntoResponse>(answer: Result<Response, E>) -> Response {
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// What stands on every answer.
fn protect(headers: &mut HeaderMap, hsts: Option<&HeaderValue>, close: bool) {
    // Whoever knows better has set its own.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A cursor in an address shall not travel on to another site.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(hsts) = hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    if close {
        headers
            .entry(CONNECTION)
            .or_insert(HeaderValue::from_static("close"));
    }
}

fn caught(gateway: &Shared, cause: &(dyn Any + Send)) -> Response {
    gateway.metrics.panicked();
    let what = cause
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    tracing::error!(what, "a request panicked");
    Refusal::new(
        Code::Internal,
        "the gateway failed; the operator can see why in its log",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use http_body_util::BodyExt;
    use tidewire_bus::{Bus, BusConfig, MemoryConfig, MemoryEngine, Retention, RetentionTable};

    use super::*;
    use crate::{config::ServerConfig, gateway::Gateway, tls::Tls};

    async fn fails() -> &'static str {
        panic!("a test fails on purpose")
    }

    #[tokio::test]
    async fn a_panic_is_caught_counted_and_answered_with_a_problem() {
        let engine = MemoryEngine::new(
            MemoryConfig::default(),
            RetentionTable::new(Vec::new(), Retention::default()),
        );
        let bus = Bus::start(Arc::new(engine), BusConfig::default());
        let gateway = Gateway::new(&ServerConfig::new(Tls::None), bus, true).unwrap();
        let front = Front::public(&gateway, Router::new().route("/", get(fails)));
        let mut request = Request::new(Body::empty());
        request
            .headers_mut()
            .insert(http::header::HOST, HeaderValue::from_static("a"));
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            secure: true,
            over_capacity: false,
            too_slow: Arc::default(),
        };
        let response = front.answer(request, peer).await;
        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key(STRICT_TRANSPORT_SECURITY));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("\"code\":\"internal\""));
        let text = gateway.metrics.encode(&gateway.bus.stats(), 0).unwrap();
        assert!(text.contains("tidewire_panics_total 1"), "{text}");
    }
}
