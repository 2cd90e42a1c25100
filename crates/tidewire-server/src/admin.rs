//! The admin port: health, readiness, metrics, sessions, kick, revocations. Plain HTTP, for this machine only.
//!
//! Shape: a router of its own on a listener of its own; nothing of it exists on the public port. Below it a file for each
//! kind of call.
//! Failure: a Host that is no loopback name and not configured is 403, because it would be a page elsewhere whose name was
//! made to point here (DNS rebinding); a foreign Origin likewise. A call that changes something and does not say that it
//! is JSON is 415: a page elsewhere can send other types without being asked for leave.
//! Source: protocol section 9; hazards part 1 row 25.

mod kick;
mod revocations;
mod sessions;

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use tidewire_protocol::Code;

use crate::{
    error::Refusal,
    gateway::{Gateway, Shared},
    health,
    host::HostName,
    origin::{Origins, Verdict},
    router,
};

/// The routes of the admin port.
pub(crate) fn routes(gateway: &Shared) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics))
        .route("/admin/sessions", get(sessions::list))
        .route("/admin/kick", post(kick::kick))
        .route("/admin/revocations", get(revocations::list))
        .route("/admin/revocations/{id}", delete(revocations::take_back))
        .fallback(router::not_found)
        .method_not_allowed_fallback(router::wrong_method)
        // Only this machine may ask, and no page from elsewhere.
        .layer(middleware::from_fn_with_state(gateway.clone(), guard))
        .with_state(gateway.clone())
}

async fn guard(
    State(gateway): State<Shared>,
    Extension(host): Extension<HostName>,
    request: Request,
    next: Next,
) -> Response {
    if !is_ours(&gateway, &host) {
        return Refusal::new(Code::Forbidden, HOST).into_response();
    }
    // The admin port is plain HTTP, so its own pages have an http origin.
    if Origins::default().judge(request.headers(), &host, false) == Verdict::Foreign {
        return Refusal::new(
            Code::Forbidden,
            "pages of this Origin may not use the admin port",
        )
        .into_response();
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_json(request.headers()) {
        return Refusal::new(Code::UnsupportedMediaType, JSON_ONLY).into_response();
    }
    next.run(request).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = values.next().and_then(|value| value.to_str().ok());
    let essence = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    values.next().is_none() && essence.trim().eq_ignore_ascii_case("application/json")
}

fn is_ours(gateway: &Gateway, host: &HostName) -> bool {
    let configured = |known: &HostName| {
        known.name == host.name && (known.port.is_none() || known.port == host.port)
    };
    host.is_loopback() || gateway.admin_hosts.iter().any(configured)
}

async fn page() -> &'static str {
    PAGE
}

async fn metrics(State(gateway): State<Shared>) -> Result<Response, Refusal> {
    let text = gateway
        .metrics
        .encode(&gateway.bus.stats(), gateway.connections.held())
        .map_err(|_| Refusal::new(Code::Internal, "the metrics could not be written"))?;
    let mut response = text.into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    Ok(response)
}

const HOST: &str = "the admin port answers to loopback names only; [http] admin_hosts lists others";
const JSON_ONLY: &str = "a call that changes something needs Content-Type: application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PAGE: &str = "\
Tidewire, admin port

/healthz   200 while the process lives
/readyz    200 while it should get traffic
/metrics   counters and gauges in the text form of OpenMetrics

GET    /admin/sessions           who is connected: ?subject= ?transport= ?limit= ?after=
POST   /admin/kick               {\"subject\": ...} or {\"session\": ...} or {\"token\": ...}, and \"revoke\": true, \"for\": \"1h\"
GET    /admin/revocations        what is revoked
DELETE /admin/revocations/ID     takes one back

What changes something needs Content-Type: application/json.
";
