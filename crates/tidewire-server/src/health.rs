//! Whether the process lives, and whether it should get traffic.
//!
//! Shape: `/healthz` is 200 as long as anything answers; `/readyz` asks the engine through the bus, and is 503 from the
//! moment a drain begins.
//! Bound: `readiness_timeout`.
//! Failure: 503 with one word; the reason goes to the log.
//! Source: protocol section 9; hazards, faults 5 and 6.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use tokio::time::timeout;

use crate::gateway::Shared;

/// `GET /healthz`.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`.
pub(crate) async fn ready(State(gateway): State<Shared>) -> Response {
    if gateway.drain.has_begun() {
        return not_ready("draining\n");
    }
    match timeout(gateway.limits.readiness_timeout, gateway.bus.probe()).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            not_ready("the engine does not answer\n")
        }
        Err(_elapsed) => {
            tracing::warn!(waited = ?gateway.limits.readiness_timeout, "not ready");
            not_ready("the engine is slow\n")
        }
    }
}

fn not_ready(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}
