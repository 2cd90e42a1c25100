//! The plain port that only says where HTTPS is.
//!
//! Shape: a router of its own on a listener of its own, `http.redirect_listen`; nothing else of the gateway exists there.
//! Bound: its connections count with those of the public listeners, under the same caps and deadlines.
//! Failure: GET and HEAD get 308. Anything else is 403: whoever sends events or keys in the clear is to notice.
//! Source: hazards part 1 row 23.

use axum::{
    Extension, Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header::LOCATION};
use tidewire_protocol::Code;

use crate::{error::Refusal, host::HostName};

/// The routes of that port; `port` is where HTTPS is.
pub(crate) fn routes(port: u16) -> Router {
    Router::new().fallback(
        move |Extension(host): Extension<HostName>, request: Request| async move {
            redirect(&host, &request, port)
        },
    )
}

fn redirect(host: &HostName, request: &Request, port: u16) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Refusal::new(Code::Forbidden, "this port only redirects; use https")
            .into_response();
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let name = &host.name;
    let place = match port {
        HTTPS_PORT => format!("https://{name}{path}"),
        port => format!("https://{name}:{port}{path}"),
    };
    match HeaderValue::try_from(place) {
        Ok(place) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, place)]).into_response(),
        Err(_) => Refusal::new(Code::BadRequest, "no address can be made of this").into_response(),
    }
}

const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn answer(method: Method, target: &str, port: u16) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(target);
        let request = request.body(Body::empty()).unwrap();
        let host = HostName::parse("Gate.example.com:80").unwrap();
        let answer = redirect(&host, &request, port);
        let place = answer.headers().get(LOCATION);
        let place = place.map_or("", |place| place.to_str().unwrap());
        (answer.status(), place.to_owned())
    }

    #[test]
    fn reading_is_sent_to_the_same_place_over_https() {
        let moved = StatusCode::PERMANENT_REDIRECT;
        for (target, port, place) in [
            ("/", 443, "https://gate.example.com/"),
            (
                "/sse?topic=a.%3E",
                8443,
                "https://gate.example.com:8443/sse?topic=a.%3E",
            ),
            ("http://other.example/x", 443, "https://gate.example.com/x"),
            (
                "//evil.example/x",
                443,
                "https://gate.example.com//evil.example/x",
            ),
        ] {
            assert_eq!(answer(Method::GET, target, port), (moved, place.to_owned()));
        }
    }

    #[test]
    fn publishing_in_the_clear_is_refused() {
        let (status, place) = answer(Method::POST, "/publish", 443);
        assert_eq!((status, place.as_str()), (StatusCode::FORBIDDEN, ""));
    }
}
