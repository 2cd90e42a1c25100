//! The way of every request, before any route: one Host, an Origin that may ask, a panic that is caught, headers that
//! protect the answer.
//!
//! Shape: [`Front`] is what a listener calls for each request of a connection. The session routes are dispatched here, as
//! plain calls: they are asked for all the time, and a held poll keeps in memory whatever stands around it. Everything else
//! goes on to the port's [`Router`].
//! Failure: whatever fails in here answers with a problem, also a panic.
//! Source: protocol sections 3 and 9; hazards part 1 rows 12, 21, 23.

use std::{
    any::Any,
    future::{Future, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    HeaderValue, Method, Version,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use tidewire_protocol::Code;
use tower::ServiceExt;

use crate::{
    auth::{cookie, jwt::WantedKey},
    error::Refusal,
    gateway::Shared,
    host::HostName,
    leftover,
    listener::Peer,
    origin::{self, Admitted},
    router,
    transport::{poll, sse, websocket},
};

/// An answer under way.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

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

    /// Answers one request. What can be done at once is done at once: the request lies in the buffer of its connection and
    /// is not to be held, and the future is what a held poll costs.
    pub(crate) fn answer(&self, request: Request, peer: Peer) -> Answer {
        let gateway = self.0.gateway.clone();
        let begun = catch_unwind(AssertUnwindSafe(|| self.begin(request, peer)));
        begun.unwrap_or_else(|cause| Box::pin(ready(caught_in(&gateway, cause.as_ref()))))
    }

    fn begin(&self, mut request: Request, peer: Peer) -> Answer {
        let host = HostName::of(&request);
        // Whatever else a sender without a Host has put on the line is not to be trusted either.
        // HTTP/2 has no such header.
        let close = (peer.over_capacity || host.is_err()) && request.version() <= Version::HTTP_11;
        let mut border = Border {
            gateway: self.0.gateway.clone(),
            admitted: None,
            secure: peer.secure,
            close,
        };
        let host = match host {
            Ok(host) => host,
            Err(why) => {
                return border.at_once(Refusal::new(Code::BadRequest, why).into_response());
            }
        };
        if !self.0.is_public {
            return border.run(routed(self.clone(), request, host, peer));
        }
        // Before any handler: a foreign page gets no upgrade, no stream, no read and no publish.
        match origin::admit(&border.gateway.origins, &request, &host, peer.secure) {
            Ok(admitted) => border.admitted = Some(admitted),
            Err(answer) => return border.at_once(*answer),
        }
        let auth = &border.gateway.auth;
        if auth.reads_cookie(request.headers()) && !border.proves_cookie(&request) {
            request.extensions_mut().insert(cookie::Unproven);
        }
        match auth.lacks(request.headers()) {
            None => self.dispatch(request, host, peer, border),
            Some(wanted) => self.after_key(wanted, request, host, peer, border),
        }
    }

    /// The same once the key of its token was fetched, or could not be.
    fn after_key(
        &self,
        wanted: WantedKey,
        request: Request,
        host: HostName,
        peer: Peer,
        border: Border,
    ) -> Answer {
        let (front, gateway) = (self.clone(), border.gateway.clone());
        let answer = async move {
            border.gateway.auth.wait_for(&wanted).await;
            front.dispatch(request, host, peer, border).await
        };
        let caught = AssertUnwindSafe(answer).catch_unwind();
        Box::pin(caught.map(move |outcome| {
            outcome.unwrap_or_else(|cause| caught_in(&gateway, cause.as_ref()))
        }))
    }

    /// Every route of a session, in one column.
    fn dispatch(&self, request: Request, host: HostName, peer: Peer, border: Border) -> Answer {
        let gateway = self.0.gateway.clone();
        let may_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            // Somebody else is asked first, so this takes its time in any case.
            "/poll" if may_read && gateway.asks_about_sessions() => {
                border.run(poll::serve_asked(gateway, peer, request.into_parts().0))
            }
            "/poll" if may_read => match poll::open(&gateway, &peer, &request) {
                Ok(held) => {
                    drop(request);
                    border.run(held.answer())
                }
                Err(answer) => border.at_once(*answer),
            },
            "/sse" if may_read => border.run(sse::serve(gateway, peer, request.into_parts().0)),
            "/poll" | "/sse" => {
                let run = router::wrong_method();
                border.run(run.map(|refusal| ([(ALLOW, "GET,HEAD")], refusal).into_response()))
            }
            // GET over HTTP/1.1, CONNECT over HTTP/2 (RFC 8441): the handler tells them apart.
            "/ws" => border.run(websocket::serve(gateway, peer, request)),
            // What conformance suites need, and nobody else.
            "/echo" if gateway.conformance_echo => {
                border.at_once(websocket::echo(&gateway, request))
            }
            _ => border.run(routed(self.clone(), request, host, peer)),
        }
    }
}

/// What is answered by the routes of the port.
async fn routed(front: Front, mut request: Request, host: HostName, peer: Peer) -> Response {
    request.extensions_mut().insert(host);
    request.extensions_mut().insert(peer);
    let routes = front.0.routes.clone();
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

/// What stands on every answer that leaves.
struct Border {
    gateway: Shared,
    /// `None`: no page was admitted.
    admitted: Option<Admitted>,
    secure: bool,
    close: bool,
}

impl Border {
    /// Whether the cookie of a request may be used.
    fn proves_cookie(&self, request: &Request) -> bool {
        let is_admitted = self.admitted.as_ref().is_some_and(Admitted::has_origin);
        let path = request.uri().path();
        cookie::is_proven(request.method(), path, request.headers(), is_admitted)
    }

    fn at_once(self, response: Response) -> Answer {
        Box::pin(ready(self.cross(response)))
    }

    /// One allocation for a request. Combinators, because an `async` block would keep its future twice.
    fn run(self, run: impl Future<Output = Response> + Send + 'static) -> Answer {
        let caught = AssertUnwindSafe(run).catch_unwind();
        Box::pin(caught.map(move |outcome| {
            let response = outcome.unwrap_or_else(|cause| caught_in(&self.gateway, cause.as_ref()));
            self.cross(response)
        }))
    }

    fn cross(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        // Whoever knows better has set its own.
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // A cursor in an address shall not travel on to another site.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Some(hsts) = self.gateway.hsts.as_ref().filter(|_| self.secure) {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if self.close {
            headers
                .entry(CONNECTION)
                .or_insert(HeaderValue::from_static("close"));
        }
        if let Some(admitted) = self.admitted {
            admitted.allow(headers);
        }
        response
    }
}

fn caught_in(gateway: &Shared, cause: &(dyn Any + Send)) -> Response {
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
