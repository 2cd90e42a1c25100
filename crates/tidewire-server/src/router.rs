//! Every route and every layer, in one column.
//!
//! Shape: routes first, then the layers from the inside out, each with the reason why it sits there. The admin port shares
//! the outer ones.
//! Failure: whatever fails in here answers with a problem, also an unknown path, a wrong method and a panic.
//! Source: protocol sections 6 and 9; hazards part 1 rows 12, 21, 23.

use std::any::Any;

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::{
    HeaderValue, Method, Version,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use tidewire_protocol::Code;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    assets,
    error::Refusal,
    gateway::Shared,
    host::HostName,
    leftover,
    listener::Peer,
    origin, publish, read,
    transport::{poll, sse, websocket},
};

/// The routes of the public port.
pub(crate) fn routes(gateway: &Shared) -> Router {
    let routes = Router::new()
        .route("/publish", post(publish::many))
        .route("/topics/{topic}", post(publish::to_topic).get(read::topic))
        .route(
            "/topics/{topic}/events",
            get(read::history).delete(read::forget),
        )
        .route("/openapi.json", get(openapi))
        // One connection too many hears so. The transports below say it in their own way.
        .route_layer(middleware::from_fn(room))
        // GET over HTTP/1.1, CONNECT over HTTP/2 (RFC 8441): the handler tells them apart.
        .route("/ws", any(websocket::serve))
        .route("/sse", get(sse::serve))
        .route("/poll", get(poll::serve))
        .merge(conformance(gateway))
        .fallback(assets::serve)
        .method_not_allowed_fallback(wrong_method)
        // Before any handler: a foreign page gets no upgrade, no stream, no read and no publish.
        .layer(middleware::from_fn_with_state(
            gateway.clone(),
            origin::guard,
        ))
        .with_state(gateway.clone());
    with_common_layers(routes, gateway)
}

/// What conformance suites need, and nobody else.
fn conformance(gateway: &Shared) -> Router<Shared> {
    if !gateway.conformance_echo {
        return Router::new();
    }
    tracing::warn!("/echo is served: for conformance suites only");
    Router::new().route("/echo", any(websocket::echo))
}

/// The layers that both ports have. They are few because a held poll keeps every one of them in memory.
pub(crate) fn with_common_layers(routes: Router, gateway: &Shared) -> Router {
    let panics = gateway.clone();
    routes
        // Inside the headers, so that even the answer to a panic has them.
        .layer(CatchPanicLayer::custom(
            move |cause: Box<dyn Any + Send>| caught(&panics, cause.as_ref()),
        ))
        // Everybody inside may rely on one Host; every answer that leaves has the headers that protect it.
        .layer(middleware::from_fn_with_state(gateway.clone(), border))
}

/// The fallback of the admin port.
pub(crate) async fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "there is nothing at this path")
}

/// A path that exists, asked with another method; axum adds `Allow`.
pub(crate) async fn wrong_method() -> Refusal {
    Refusal::new(
        Code::MethodNotAllowed,
        "this path does not take this method; Allow lists those that it takes",
    )
}

async fn openapi() -> Response {
    let mut response = include_str!("../openapi.json").into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn room(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    if peer.over_capacity {
        return Refusal::over_capacity().into_response();
    }
    next.run(request).await
}

async fn border(
    State(gateway): State<Shared>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let host = HostName::of(&request);
    // Whatever else a sender without a Host has put on the line is not to be trusted either.
    // HTTP/2 has no such header.
    let close = (peer.over_capacity || host.is_err()) && request.version() <= Version::HTTP_11;
    let mut response = match host {
        Ok(host) => {
            request.extensions_mut().insert(host);
            match *request.method() {
                // Boxed: a request that is held must not pay for one that is not.
                Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                    Box::pin(leftover::read_away(request, next)).await
                }
                _ => next.run(request).await,
            }
        }
        Err(why) => Refusal::new(Code::BadRequest, why).into_response(),
    };
    let headers = response.headers_mut();
    // Whoever knows better has set its own.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A cursor in an address shall not travel on to another site.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(hsts) = gateway.hsts.as_ref().filter(|_| peer.secure) {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    if close {
        headers
            .entry(CONNECTION)
            .or_insert(HeaderValue::from_static("close"));
    }
    response
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
    use std::sync::Arc;

    use axum::body::Body;
    use http_body_util::BodyExt;
    use tidewire_bus::{Bus, BusConfig, MemoryConfig, MemoryEngine, Retention, RetentionTable};
    use tower::ServiceExt;

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
        let routes = Router::new().route("/", get(fails));
        let routes = with_common_layers(routes, &gateway);
        let mut request = Request::new(Body::empty());
        request
            .headers_mut()
            .insert(http::header::HOST, HeaderValue::from_static("a"));
        request.extensions_mut().insert(Peer {
            address: ([127, 0, 0, 1], 1).into(),
            secure: true,
            over_capacity: false,
            too_slow: Arc::default(),
        });
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key(STRICT_TRANSPORT_SECURITY));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("\"code\":\"internal\""));
        let text = gateway.metrics.encode(&gateway.bus.stats(), 0).unwrap();
        assert!(text.contains("tidewire_panics_total 1"), "{text}");
    }
}
