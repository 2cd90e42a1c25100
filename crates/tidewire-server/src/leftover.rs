//! The rest of a body whose request was answered without it.
//!
//! A refusal that goes out while the body is still coming resets the stream under HTTP/2, and some clients (curl 7.88 for
//! one) then drop the answer that they have already got. So a bounded rest is read away before the answer goes out.
//! Bound: [`REST_BYTES`] and [`REST_TIME`]; who sends more may miss why it was refused.
//! Source: RFC 9113 section 8.1.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    response::Response,
};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

/// Runs the request; where the answer is a refusal, reads what is left of the body first.
pub(crate) async fn read_away<F: Future<Output = Response>>(
    request: Request,
    run: impl FnOnce(Request) -> F,
) -> Response {
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(body.into_data_stream()));
    let request = Request::from_parts(parts, Body::from_stream(reader(&shared)));
    let response = run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        let mut rest = Box::pin(reader(&shared));
        let read = async {
            let mut bytes = 0;
            while let Some(Ok(chunk)) = rest.next().await {
                bytes += chunk.len();
                if bytes > REST_BYTES {
                    break;
                }
            }
        };
        // Whether it came to its end or to a bound: the answer is the same.
        let _ = timeout(REST_TIME, read).await;
    }
    response
}

/// The body, for whoever asks next. The handler and the rest never ask at the same time.
fn reader(
    shared: &Arc<Mutex<BodyDataStream>>,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, axum::Error>> + use<> {
    let shared = Arc::clone(shared);
    stream::poll_fn(move |context| {
        let mut body = shared.lock().unwrap_or_else(PoisonError::into_inner);
        body.poll_next_unpin(context)
    })
}

/// Twice what a body may have by default: who sends somewhat too much has sent all of it before the answer.
const REST_BYTES: usize = 2 << 20;
const REST_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::response::IntoResponse;
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    /// How much is read of a body that nobody wanted, of many times the bound.
    async fn read_of(status: StatusCode) -> usize {
        const CHUNK: Bytes = Bytes::from_static(&[0; 65536]);
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let body = stream::repeat_with(move || {
            counted.fetch_add(CHUNK.len(), Ordering::Relaxed);
            Ok::<_, std::io::Error>(CHUNK)
        });
        let request = Request::new(Body::from_stream(body.take(10 * REST_BYTES / CHUNK.len())));
        let response = read_away(request, |_| async move { status.into_response() }).await;
        assert_eq!(response.status(), status);
        read.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn behind_a_refusal_a_bounded_rest_is_read_and_behind_an_answer_nothing() {
        let read = read_of(StatusCode::FORBIDDEN).await;
        assert!((REST_BYTES..2 * REST_BYTES).contains(&read), "{read}");
        assert_eq!(read_of(StatusCode::OK).await, 0);
    }

    /// Goal: who sends nothing more gets the answer. Method: the clock is moved.
    #[tokio::test(start_paused = true)]
    async fn a_rest_that_does_not_come_is_waited_for_up_to_a_bound() {
        let body = stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::new(Body::from_stream(body));
        let refuse = |_| async { StatusCode::FORBIDDEN.into_response() };
        let answer = timeout(2 * REST_TIME, read_away(request, refuse)).await;
        assert_eq!(answer.unwrap().status(), StatusCode::FORBIDDEN);
    }
}
