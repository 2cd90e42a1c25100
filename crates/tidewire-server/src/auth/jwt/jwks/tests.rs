//! The fetches, against a server that does what the test says.
//!
//! Method: the server counts what it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::{super::TokenError, *};

/// An answer that stays the same until the test changes it.
#[derive(Clone)]
struct Stub {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<String>>,
}

impl Stub {
    async fn serve(answer: String) -> (Self, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            url: format!("http://{}/keys", listener.local_addr().unwrap()),
            asked: Arc::default(),
            answer: Arc::new(Mutex::new(answer)),
        };
        let serving = stub.clone();
        let task = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                serving.asked.fetch_add(1, Ordering::SeqCst);
                let answer = serving.answer.lock().unwrap().clone();
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        (stub, task)
    }

    fn answers(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A set of keys of Ed25519 with these names, and one of a kind that is not known.
fn set(kids: &[&str]) -> String {
    let keys: Vec<_> = kids
        .iter()
        .map(|kid| serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": X}))
        .chain([serde_json::json!({"kty": "new", "kid": "other"})])
        .collect();
    serde_json::json!({ "keys": keys }).to_string()
}

fn jwks(url: &str) -> Jwks {
    let config = JwtConfig {
        jwks_url: Some(url.into()),
        jwks_timeout: Duration::from_millis(500),
        jwks_pause: Duration::from_millis(100),
        jwks_max_bytes: bytesize::ByteSize::kib(4),
        ..JwtConfig::default()
    };
    let checks = Checks::new(&config);
    Jwks::new(&config, checks).unwrap()
}

fn has(jwks: &Jwks, kid: &str) -> bool {
    jwks.keys().is_some_and(|keys| keys.has(kid))
}

#[tokio::test]
async fn the_keys_of_a_set_are_known_by_their_names() {
    let (stub, _server) = Stub::serve(ok(&set(&["a", "b"]))).await;
    let jwks = jwks(&stub.url);
    assert!(jwks.fetch().await);
    assert!(has(&jwks, "a") && has(&jwks, "b") && !has(&jwks, "other"));
    let keys = jwks.keys().unwrap();
    assert!(keys.find(Some("a"), jsonwebtoken::Algorithm::EdDSA).is_ok());
    for (kid, algorithm, why) in [
        (
            Some("a"),
            jsonwebtoken::Algorithm::HS256,
            TokenError::WrongAlgorithm,
        ),
        (
            Some("c"),
            jsonwebtoken::Algorithm::EdDSA,
            TokenError::UnknownKey,
        ),
        // Two keys could be meant: nothing is tried out.
        (None, jsonwebtoken::Algorithm::EdDSA, TokenError::UnknownKey),
    ] {
        assert_eq!(keys.find(kid, algorithm).unwrap_err(), why);
    }
}

#[tokio::test]
async fn a_key_that_is_for_something_else_is_not_used() {
    let key = |kid: &str, more: serde_json::Value| {
        let mut key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": X});
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        key
    };
    let keys = [
        key(
            "fits",
            serde_json::json!({"use": "sig", "key_ops": ["verify"], "alg": "EdDSA"}),
        ),
        key("use", serde_json::json!({"use": "enc"})),
        key("ops", serde_json::json!({"key_ops": ["sign"]})),
        key("alg", serde_json::json!({"alg": "ES256"})),
    ];
    let set = serde_json::json!({ "keys": keys }).to_string();
    let (stub, _server) = Stub::serve(ok(&set)).await;
    let jwks = jwks(&stub.url);
    assert!(jwks.fetch().await);
    for (kid, is_used) in [
        ("fits", true),
        ("use", false),
        ("ops", false),
        ("alg", false),
    ] {
        assert_eq!(has(&jwks, kid), is_used, "{kid}");
    }
}

#[tokio::test]
async fn what_is_no_set_leaves_the_old_keys_as_they_are() {
    let (stub, _server) = Stub::serve(ok(&set(&["a"]))).await;
    let jwks = jwks(&stub.url);
    assert!(jwks.fetch().await);
    // Good ones, but for what is around them.
    let huge = format!("{}{}", set(&["b"]), " ".repeat(8192));
    let failed = ok(&set(&["b"])).replace("200 OK", "500 Oh");
    for bad in [
        ok(&huge),
        ok("{\"keys\":[]}"),
        ok("nonsense"),
        ok(r#"{"keys":[{"kty":"oct","kid":"s","k":"c2VjcmV0"}]}"#),
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".into(),
        failed,
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n{".into(),
        String::new(),
    ] {
        let asked = stub.asked();
        stub.answers(bad.clone());
        assert!(!jwks.fetch().await, "{bad:.80}");
        assert!(has(&jwks, "a"));
        assert_eq!(stub.asked(), asked + 1, "no redirect was followed");
    }
}

#[tokio::test]
async fn an_unknown_name_brings_one_fetch_for_all_who_wait() {
    let (stub, _server) = Stub::serve(ok(&set(&["a"]))).await;
    let jwks = Arc::new(jwks(&stub.url));
    let _task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn({
        let jwks = jwks.clone();
        async move { jwks.keep_fresh().await }
    }));
    jwks.wait_for(&wanted("a")).await;
    assert!(has(&jwks, "a"));
    while jwks.lock().phase != Phase::Ready {
        tokio::task::yield_now().await;
    }
    stub.answers(ok(&set(&["a", "b"])));
    let asked = stub.asked();
    let wanted = [wanted("b"), wanted("b"), wanted("c")];
    futures_util::future::join_all(wanted.iter().map(|one| jwks.wait_for(one))).await;
    assert!(has(&jwks, "b"));
    assert_eq!(stub.asked(), asked + 1);
    // Nobody has asked for more than that one.
    while jwks.lock().phase != Phase::Ready {
        tokio::task::yield_now().await;
    }
    assert_eq!(stub.asked(), asked + 1);
}

#[tokio::test]
async fn a_fetch_without_an_answer_ends_and_nobody_waits_longer_for_it() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let jwks = jwks(&format!("http://{}/keys", silent.local_addr().unwrap()));
    let fetched = timeout(DEADLINE, jwks.fetch()).await;
    assert!(!fetched.expect("it ended"));
    jwks.lock().phase = Phase::Fetching;
    let waited = timeout(DEADLINE, jwks.wait_for(&wanted("a"))).await;
    waited.expect("nobody waits for ever");
}

#[tokio::test]
async fn within_the_pause_nobody_waits_for_an_unknown_name() {
    let (stub, _server) = Stub::serve(ok(&set(&["a"]))).await;
    let jwks = jwks(&stub.url);
    assert!(jwks.lacks(None) && jwks.lacks(Some("b")));
    jwks.fetch().await;
    assert!(!jwks.lacks(None) && !jwks.lacks(Some("b")));
    jwks.lock().phase = Phase::Ready;
    assert!(jwks.lacks(Some("b")) && !jwks.lacks(Some("a")));
}

fn wanted(kid: &str) -> WantedKey {
    WantedKey {
        kid: Some(kid.to_owned()),
    }
}

/// Only catches a hang.
const DEADLINE: Duration = Duration::from_secs(20);
/// A public key.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
