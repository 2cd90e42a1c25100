//! Revocations in force: `GET /admin/revocations`, `DELETE /admin/revocations/{id}`.
//!
//! Shape: a list, the newest first; one is taken back by its id. They are made by [`super::kick`].
//! Bound: `revocations.max`.
//! Failure: an id that is not there is 404; what could not be saved is 503 and still in force.
//! Source: protocol document, "The admin port".

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use serde::Serialize;
use tidewire_protocol::Code;

use crate::{error::Refusal, gateway::Shared, revocation::Revocation};

/// All of them.
#[derive(Debug, Serialize)]
pub(crate) struct All {
    revocations: Vec<Revocation>,
}

/// `GET /admin/revocations`
pub(crate) async fn list(State(gateway): State<Shared>) -> Json<All> {
    Json(All {
        revocations: gateway.auth.revocations().all(),
    })
}

/// `DELETE /admin/revocations/{id}`
pub(crate) async fn take_back(
    State(gateway): State<Shared>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let taken = tokio::spawn(async move { gateway.auth.revocations().take_back(&id).await });
    match taken.await {
        Ok(Ok(true)) => Ok(StatusCode::NO_CONTENT),
        Ok(Ok(false)) => Err(Refusal::new(
            Code::NotFound,
            "there is no revocation with this id",
        )),
        Ok(Err(error)) => {
            tracing::error!(%error, "a revocation was not taken back");
            Err(Refusal::new(
                Code::Unavailable,
                "it could not be saved, so the revocation is still in force",
            ))
        }
        Err(error) => {
            tracing::error!(%error, "taking a revocation back failed");
            Err(Refusal::new(
                Code::Internal,
                "the gateway failed; the operator can see why in its log",
            ))
        }
    }
}
