//! What is fuzzed. The same functions run over the kept corpus in `tests/corpus.rs`.
//!
//! `cargo +nightly fuzz run codec` (or `handshake`), in the crate's folder.
//! `cargo +nightly fuzz cmin codec` keeps the corpus small.

#![allow(dead_code, reason = "each target uses one of the functions")]

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tidewire_websocket::{
    Close, Codec, End, Message, Role, Settings,
    deflate::{self, Offer},
    frame::CONTROL_MAX_BYTES,
    handshake::{Opening, Request},
};

/// The first byte chooses role, deflate and where the bytes are cut; the rest is what the peer sends.
///
/// In pieces it says the same as in one, nothing passes its bound, and between messages nothing is held.
pub(crate) fn codec(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else {
        return;
    };
    let settings = Settings {
        role: if choice & 1 == 0 {
            Role::Server
        } else {
            Role::Client
        },
        message_max_bytes: MESSAGE_MAX_BYTES,
        deflate: (choice & 2 != 0)
            .then(|| deflate::choose(&[Offer::default()]))
            .flatten(),
    };
    let whole = heard(settings, bytes, usize::MAX);
    let piece = usize::from(choice >> 2) + 1;
    assert_eq!(heard(settings, bytes, piece), whole, "in pieces of {piece}");
}

/// All messages, and the end if there was one.
fn heard(settings: Settings, bytes: &[u8], piece: usize) -> (Vec<Message>, Option<End>) {
    let mut codec = Codec::new(settings);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        let mut used = 0;
        while used < piece.len() {
            let decoded = match codec.decode(&mut piece[used..]) {
                Ok(decoded) => decoded,
                Err(end) => {
                    check_end(&end);
                    assert_eq!(codec.held_bytes(), 0);
                    return (messages, Some(end));
                }
            };
            used += decoded.used;
            assert!(decoded.message.is_some() || used == piece.len());
            if let Some(message) = decoded.message {
                check_message(&message);
                messages.push(message);
            }
            let bound = 3 * MESSAGE_MAX_BYTES + 1024;
            assert!(codec.held_bytes() <= bound, "{}", codec.held_bytes());
        }
    }
    (messages, None)
}

fn check_message(message: &Message) {
    match message {
        Message::Text(text) => assert!(text.len() <= MESSAGE_MAX_BYTES),
        Message::Binary(bytes) => assert!(bytes.len() <= MESSAGE_MAX_BYTES),
        Message::Ping(bytes) | Message::Pong(bytes) => assert!(bytes.len() <= CONTROL_MAX_BYTES),
    }
}

fn check_end(end: &End) {
    match end {
        End::Closed(Close { code, reason }) => {
            assert!((1000..5000).contains(code));
            assert!(reason.len() <= CONTROL_MAX_BYTES - 2);
        }
        End::Violation(violation) => assert!([1002, 1007, 1009].contains(&violation.code)),
    }
}

/// Each line is a header, `name: value`, of a request and of an answer. The first byte chooses the version and the method.
///
/// What is refused has its status; what a server accepts, the client that asked accepts too.
pub(crate) fn handshake(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else {
        return;
    };
    let version = if choice & 1 == 0 {
        Version::HTTP_11
    } else {
        Version::HTTP_2
    };
    let method = match choice >> 1 & 3 {
        0 => Method::POST,
        1 | 2 if version == Version::HTTP_2 => Method::CONNECT,
        _ => Method::GET,
    };
    let given = headers(bytes);
    let mut asked = Opening::with_key(version, &[], false, [7; 16]).headers();
    // The headers that a good request has, where the input has none of that name.
    if choice & 8 != 0 {
        asked.clear();
    }
    for name in given.keys() {
        asked.remove(name);
    }
    asked.extend(given.clone());
    match Request::of(&method, version, &asked) {
        Ok(request) => {
            let subprotocol = request.subprotocols().last().map(str::to_owned);
            let agreed = deflate::choose(request.offers());
            let response = request.accept(subprotocol.as_deref(), agreed);
            let names: Vec<&str> = request.subprotocols().collect();
            let opening = Opening::with_key(version, &names, agreed.is_some(), [7; 16]);
            // With another key than ours the proof is another.
            let is_ours = !given.contains_key(header::SEC_WEBSOCKET_KEY) && choice & 8 == 0;
            if is_ours || version == Version::HTTP_2 {
                let opened = opening
                    .check(response.status(), response.headers())
                    .expect("what was accepted is what was asked for");
                assert_eq!(opened.subprotocol, subprotocol);
                assert_eq!(opened.deflate.is_some(), agreed.is_some());
            }
        }
        Err(refused) => assert!([400, 405, 426].contains(&refused.status.as_u16())),
    }
    let opening = Opening::with_key(version, &["a", "b"], choice & 16 != 0, [7; 16]);
    // Any answer at all: it must only not panic.
    let _unused = opening.check(StatusCode::SWITCHING_PROTOCOLS, &given);
    let _unused = opening.check(StatusCode::OK, &given);
}

fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n').take(LINES_MAX) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

const MESSAGE_MAX_BYTES: usize = 4096;
const LINES_MAX: usize = 64;
