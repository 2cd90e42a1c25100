//! The request around a publish: whether its sender may at all, under which key, and its body within bounds.
//!
//! Bound: `batch_max_bytes`, also when the body comes in chunks and says no length; `body_timeout` for all of it.
//! Failure: 401 and 403 before a byte of the body is read; 413, 408, 415.
//! Source: protocol section 4; hazards part 1 rows 15 and 16.

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tidewire_protocol::{Code, idempotency_key};
use tokio::time::timeout;

use crate::{auth::Identity, error::Refusal, gateway::Gateway, limits::bytes};

/// Refuses somebody who may publish nowhere.
pub(super) fn require_any_right(identity: &Identity) -> Result<(), Refusal> {
    if identity.may_publish_anywhere() {
        return Ok(());
    }
    Err(identity.refusal())
}

/// The header `Idempotency-Key`.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::new(
            Code::BadRequest,
            "Idempotency-Key: give it once",
        ));
    }
    // What is no text is no key either; the protocol's own check says so.
    let text = value.to_str().unwrap_or_default();
    Ok(Some(idempotency_key(text)?.to_owned()))
}

/// The header `Content-Type`.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let text = |value: &'_ HeaderValue| value.to_str().is_ok();
    match headers.get(CONTENT_TYPE) {
        None => Ok(None),
        Some(value) if text(value) => Ok(value.to_str().ok()),
        Some(_) => Err(Refusal::new(
            Code::BadRequest,
            "Content-Type: printable ASCII is wanted",
        )),
    }
}

/// The whole body.
pub(super) async fn read(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Refusal> {
    if headers.contains_key(CONTENT_ENCODING) {
        // Unpacking would multiply what one byte of a stranger costs.
        let message = "a publish is not taken with a Content-Encoding";
        return Err(Refusal::new(Code::UnsupportedMediaType, message));
    }
    let bound = bytes(gateway.limits.batch_max_bytes);
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bound as u64) {
        return Err(too_large(bound));
    }
    let time = gateway.limits.body_timeout;
    match timeout(time, Limited::new(body, bound).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(bound)),
        Ok(Err(_)) => Err(Refusal::new(
            Code::BadRequest,
            "the body ended before it was complete",
        )),
        Err(_elapsed) => {
            let message = format!("the body did not come within {} s", time.as_secs_f32());
            Err(Refusal::new(Code::RequestTimeout, message))
        }
    }
}

fn too_large(bound: usize) -> Refusal {
    Refusal::new(
        Code::TooLarge,
        format!("the body is larger than {bound} bytes"),
    )
}
