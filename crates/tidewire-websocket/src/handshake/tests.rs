//! Both sides of the opening, against the RFCs' examples and against each other.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};

use super::*;
use crate::deflate::{self, Agreed};

#[test]
fn the_accept_value_of_rfc_6455_section_1_3() {
    assert_eq!(
        accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn a_server_accepts_what_a_client_asks_and_the_client_the_answer() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for deflate in [false, true] {
            let opening = Opening::new(version, &["other", "tidewire.v1"], deflate);
            let request = Request::of(&method(version), version, &opening.headers()).unwrap();
            assert_eq!(
                request.subprotocols().collect::<Vec<_>>(),
                ["other", "tidewire.v1"]
            );
            let agreed = deflate::choose(request.offers());
            assert_eq!(agreed.is_some(), deflate);
            let response = request.accept(Some("tidewire.v1"), agreed);
            let opened = opening
                .check(response.status(), response.headers())
                .unwrap();
            assert_eq!(opened.subprotocol.as_deref(), Some("tidewire.v1"));
            assert_eq!(opened.deflate.is_some(), deflate);
        }
    }
}

#[test]
fn an_answer_over_http_2_has_neither_key_nor_upgrade() {
    let headers = Opening::new(Version::HTTP_2, &[], false).headers();
    assert_eq!(headers.len(), 1);
    let request = Request::of(&Method::CONNECT, Version::HTTP_2, &headers).unwrap();
    let response = request.accept(None, None);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().is_empty());
}

#[test]
fn every_opening_has_a_key_of_its_own() {
    let key =
        || Opening::new(Version::HTTP_11, &[], false).headers()[header::SEC_WEBSOCKET_KEY].clone();
    assert_ne!(key(), key());
}

#[test]
fn another_method_is_405_with_the_one_that_is_allowed() {
    let headers = asked();
    let refused = Request::of(&Method::POST, Version::HTTP_11, &headers).unwrap_err();
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers[header::ALLOW], "GET");
    let refused = Request::of(&Method::POST, Version::HTTP_2, &headers).unwrap_err();
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers[header::ALLOW], "CONNECT");
    // A page that is looked at: it is the way to ask that is wrong, not the method.
    let refused = Request::of(&Method::GET, Version::HTTP_2, &headers).unwrap_err();
    assert_eq!(refused.status, StatusCode::UPGRADE_REQUIRED);
}

#[test]
fn no_upgrade_or_another_version_is_426_and_says_which_is_spoken() {
    let changes: [(HeaderName, Option<&'static str>); 8] = [
        (header::UPGRADE, None),
        (header::UPGRADE, Some("h2c")),
        (header::CONNECTION, None),
        (header::CONNECTION, Some("keep-alive")),
        (header::SEC_WEBSOCKET_VERSION, None),
        (header::SEC_WEBSOCKET_VERSION, Some("8")),
        (header::SEC_WEBSOCKET_VERSION, Some("013")),
        (header::SEC_WEBSOCKET_VERSION, Some("13, 8")),
    ];
    for (name, value) in changes {
        let refused = refusal(&changed(&name, value));
        assert_eq!(
            refused.status,
            StatusCode::UPGRADE_REQUIRED,
            "{name} {value:?}"
        );
        assert_eq!(refused.headers[header::UPGRADE], "websocket");
        assert_eq!(refused.headers[header::SEC_WEBSOCKET_VERSION], "13");
    }
    let old = Request::of(&Method::GET, Version::HTTP_10, &asked()).unwrap_err();
    assert_eq!(old.status, StatusCode::UPGRADE_REQUIRED);
}

#[test]
fn a_key_that_is_not_sixteen_bytes_once_is_400() {
    let keys = [
        None,
        Some(""),
        Some("c2hvcnQ="),
        Some("dGhlIHNhbXBsZSBub25jZQ"),
        Some("dGhlIHNhbXBsZSBub25jZQ=!"),
        Some("dGhlIHNhbXBsZSBub25jZTEyMw=="),
    ];
    for key in keys {
        let refused = refusal(&changed(&header::SEC_WEBSOCKET_KEY, key));
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{key:?}");
    }
    let mut twice = asked();
    let key = twice[header::SEC_WEBSOCKET_KEY].clone();
    twice.append(header::SEC_WEBSOCKET_KEY, key);
    assert_eq!(refusal(&twice).status, StatusCode::BAD_REQUEST);
}

#[test]
fn tokens_stand_in_lists_in_any_case_and_on_several_lines() {
    let mut headers = changed(&header::CONNECTION, Some("keep-alive,\tUPGRADE"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("h2c, WebSocket"));
    headers.append(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(", a ,b"),
    );
    headers.append(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static("c,"),
    );
    let request = Request::of(&Method::GET, Version::HTTP_11, &headers).unwrap();
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn a_list_that_does_not_fit_its_grammar_is_400() {
    for value in ["a b", "a, a", "a;b", "\"a\"", "a@b"] {
        let headers = changed(&header::SEC_WEBSOCKET_PROTOCOL, None);
        let refused = refusal(&with(
            headers,
            &header::SEC_WEBSOCKET_PROTOCOL,
            value.as_bytes(),
        ));
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{value}");
    }
    let extensions: [&[u8]; 9] = [
        b"permessage-deflate;",
        b"permessage-deflate; =1",
        b"permessage-deflate; a=",
        b"permessage-deflate; a=\"\"",
        b"permessage-deflate; a=\"b c\"",
        b"permessage-deflate; a=\"b",
        b"permessage-deflate foo",
        b"; a",
        b"permessage\xe9",
    ];
    for value in extensions {
        let refused = refusal(&with(asked(), &header::SEC_WEBSOCKET_EXTENSIONS, value));
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{}",
            value.escape_ascii()
        );
    }
}

#[test]
fn offers_are_chosen_or_declined_as_rfc_7692_says() {
    let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let bounded = |bits| Some(format!("{plain}; server_max_window_bits={bits}"));
    let plain = Some(plain.to_owned());
    let cases = [
        ("permessage-deflate", plain.clone()),
        ("PerMessage-Deflate", plain.clone()),
        ("permessage-deflate; client_max_window_bits", plain.clone()),
        (
            "permessage-deflate; client_max_window_bits=10",
            plain.clone(),
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            plain.clone(),
        ),
        ("permessage-deflate; server_max_window_bits=8", bounded(8)),
        (
            "permessage-deflate; server_max_window_bits=\"1\\0\"",
            bounded(10),
        ),
        ("permessage-deflate; server_max_window_bits=15", bounded(15)),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=08", None),
        ("permessage-deflate; server_max_window_bits=+9", None),
        ("permessage-deflate; client_max_window_bits=0", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        (
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            None,
        ),
        (
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            None,
        ),
        ("permessage-deflate; unheard_of", None),
        ("x-webkit-deflate-frame", None),
        (
            "permessage-deflate; unheard_of, permessage-deflate; server_max_window_bits=9, permessage-deflate",
            bounded(9),
        ),
    ];
    for (offer, expected) in cases {
        let headers = with(asked(), &header::SEC_WEBSOCKET_EXTENSIONS, offer.as_bytes());
        let request = Request::of(&Method::GET, Version::HTTP_11, &headers).unwrap();
        let answer = deflate::choose(request.offers()).map(Agreed::answer);
        assert_eq!(answer, expected, "{offer}");
    }
}

#[test]
fn a_bounded_window_takes_what_is_no_longer_than_itself() {
    let headers = with(
        asked(),
        &header::SEC_WEBSOCKET_EXTENSIONS,
        b"permessage-deflate; server_max_window_bits=8",
    );
    let request = Request::of(&Method::GET, Version::HTTP_11, &headers).unwrap();
    let agreed = deflate::choose(request.offers()).unwrap();
    assert!(agreed.fits(256));
    assert!(!agreed.fits(257));
}

#[test]
fn a_client_takes_no_answer_to_what_it_did_not_ask() {
    let opening = Opening::with_key(Version::HTTP_11, &["a"], true, *b"the sample nonce");
    let check = |change: &dyn Fn(&mut HeaderMap)| {
        let mut headers = answered();
        change(&mut headers);
        opening.check(StatusCode::SWITCHING_PROTOCOLS, &headers)
    };
    assert!(check(&|_| {}).is_ok());
    assert_eq!(
        opening.check(StatusCode::OK, &answered()),
        Err(Unacceptable::Status(StatusCode::OK))
    );
    let cases: [(HeaderName, &'static str, Unacceptable); 9] = [
        (header::UPGRADE, "h2c", Unacceptable::Upgrade),
        (header::CONNECTION, "close", Unacceptable::Upgrade),
        (
            header::SEC_WEBSOCKET_ACCEPT,
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=",
            Unacceptable::Accept,
        ),
        (
            header::SEC_WEBSOCKET_PROTOCOL,
            "b",
            Unacceptable::Subprotocol,
        ),
        (
            header::SEC_WEBSOCKET_PROTOCOL,
            "a, a",
            Unacceptable::Subprotocol,
        ),
        // The server did not promise to drop its context.
        (
            header::SEC_WEBSOCKET_EXTENSIONS,
            "permessage-deflate",
            Unacceptable::Extension,
        ),
        (
            header::SEC_WEBSOCKET_EXTENSIONS,
            "mux",
            Unacceptable::Extension,
        ),
        (
            header::SEC_WEBSOCKET_EXTENSIONS,
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
            Unacceptable::Extension,
        ),
        (
            header::SEC_WEBSOCKET_EXTENSIONS,
            "permessage-deflate; server_no_context_takeover, permessage-deflate",
            Unacceptable::Extension,
        ),
    ];
    for (name, value, expected) in cases {
        let outcome = check(&|headers| {
            headers.insert(&name, HeaderValue::from_static(value));
        });
        assert_eq!(outcome, Err(expected), "{name}: {value}");
    }
    let unasked = Opening::with_key(Version::HTTP_11, &[], false, *b"the sample nonce");
    let mut headers = answered();
    headers.insert(
        header::SEC_WEBSOCKET_EXTENSIONS,
        HeaderValue::from_static("permessage-deflate; server_no_context_takeover"),
    );
    assert_eq!(
        unasked.check(StatusCode::SWITCHING_PROTOCOLS, &headers),
        Err(Unacceptable::Extension)
    );
}

#[test]
fn a_bounded_answer_is_taken_and_bounds_the_server_only() {
    let opening = Opening::with_key(Version::HTTP_11, &[], true, *b"the sample nonce");
    let mut headers = answered();
    headers.insert(
        header::SEC_WEBSOCKET_EXTENSIONS,
        HeaderValue::from_static(
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        ),
    );
    let opened = opening
        .check(StatusCode::SWITCHING_PROTOCOLS, &headers)
        .unwrap();
    assert!(opened.deflate.unwrap().fits(100_000));
}

fn method(version: Version) -> Method {
    if version == Version::HTTP_2 {
        Method::CONNECT
    } else {
        Method::GET
    }
}

/// The request of RFC 6455 section 1.3.
fn asked() -> HeaderMap {
    Opening::with_key(Version::HTTP_11, &[], false, *b"the sample nonce").headers()
}

/// The answer of RFC 6455 section 1.3.
fn answered() -> HeaderMap {
    let request = Request::of(&Method::GET, Version::HTTP_11, &asked()).unwrap();
    request.accept(None, None).headers().clone()
}

fn changed(name: &HeaderName, value: Option<&'static str>) -> HeaderMap {
    let mut headers = asked();
    headers.remove(name);
    if let Some(value) = value {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn with(mut headers: HeaderMap, name: &HeaderName, value: &[u8]) -> HeaderMap {
    headers.insert(name, HeaderValue::from_bytes(value).unwrap());
    headers
}

fn refusal(headers: &HeaderMap) -> Refused {
    Request::of(&Method::GET, Version::HTTP_11, headers).unwrap_err()
}
