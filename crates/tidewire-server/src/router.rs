//! The routes of the public port that are no sessions, in one column; those of sessions stand in [`crate::front`].
//!
//! Failure: an unknown path and a wrong method are problems like everything else.
//! Source: protocol sections 6 and 9.

use axum::{
    Extension, Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, header::CONTENT_TYPE};
use tidewire_protocol::Code;

use crate::{assets, error::Refusal, gateway::Shared, listener::Peer, publish, read, ticket};

/// The routes of the public port.
pub(crate) fn routes(gateway: &Shared) -> Router {
    Router::new()
        .route("/publish", post(publish::many))
        .route("/topics/{topic}", post(publish::to_topic).get(read::topic))
        .route(
            "/topics/{topic}/events",
            get(read::history).delete(read::forget),
        )
        .route("/ticket", post(ticket::give))
        .route("/openapi.json", get(openapi))
        // One connection too many hears so. The transports say it in their own way.
        .route_layer(middleware::from_fn(room))
        .fallback(assets::serve)
        .method_not_allowed_fallback(wrong_method)
        .with_state(gateway.clone())
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
