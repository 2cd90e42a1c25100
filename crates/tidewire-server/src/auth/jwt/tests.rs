//! Good and bad tokens against each source of keys.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{EncodingKey, Header, encode};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde_json::{Value, json};
use tidewire_protocol::Pattern;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn config() -> JwtConfig {
    JwtConfig {
        hs256_secret: Some(SECRET.into()),
        ..JwtConfig::default()
    }
}

fn claims() -> Value {
    json!({"sub": "u1", "exp": now() + 60, "jti": "t1", "iat": now(), "tidewire": {"subscribe": ["a.>"]}})
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

fn signed(claims: &Value) -> String {
    signed_under(&Header::default(), claims)
}

fn signed_under(header: &Header, claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(header, claims, &key).unwrap()
}

fn judged(config: &JwtConfig, token: &str) -> Result<Identity, TokenError> {
    let tokens = Tokens::new(config).unwrap();
    tokens.identify(token, &Grants::default())
}

#[test]
fn a_good_token_says_who_and_what() {
    let identity = judged(&config(), &signed(&claims())).unwrap();
    assert_eq!(identity.subject(), Some("u1"));
    assert_eq!(identity.token_id(), Some("t1"));
    assert!(identity.issued().is_some() && identity.expires().unwrap() > now());
    assert!(identity.may_subscribe(&Pattern::parse("a.*").unwrap()));
    assert!(!identity.may_subscribe(&Pattern::parse("b").unwrap()));
    assert!(!identity.may_publish_anywhere());
    for good in [
        without("tidewire"),
        with("tidewire", Value::Null),
        with("exp", json!(now() as f64 + 60.25)),
        with("exp", json!(u64::MAX)),
        with("exp", json!(now() - 3)),
        with("nbf", json!(now() + 3)),
        with("aud", json!("anybody")),
    ] {
        judged(&config(), &signed(&good)).unwrap();
    }
}

#[test]
fn claims_that_are_missing_or_wrong_refuse_the_token() {
    for (bad, why) in [
        (without("sub"), TokenError::Claims),
        (without("exp"), TokenError::Claims),
        (with("sub", json!(7)), TokenError::Claims),
        (with("sub", json!("")), TokenError::Subject),
        (with("sub", json!("a\nb")), TokenError::Subject),
        (with("sub", json!("key:shop")), TokenError::Subject),
        (with("sub", json!("a".repeat(257))), TokenError::Subject),
        (with("exp", json!("tomorrow")), TokenError::Claims),
        (with("exp", json!(now() - 10)), TokenError::Expired),
        (with("exp", json!(-1)), TokenError::Claims),
        (with("nbf", json!(now() + 60)), TokenError::NotYet),
        (with("nbf", json!("now")), TokenError::Claims),
        (with("tidewire", json!([])), TokenError::Claims),
        (
            with("tidewire", json!({"subscribe": "a"})),
            TokenError::Claims,
        ),
        (
            with("tidewire", json!({"subscribe": ["a..b"]})),
            TokenError::Claims,
        ),
        (
            with("tidewire", json!({"subscribe": ["inbox.{sub}"]})),
            TokenError::Claims,
        ),
    ] {
        let judged = judged(&config(), &signed(&bad));
        assert_eq!(judged.unwrap_err(), why, "{bad}");
    }
}

#[test]
fn issuer_and_audience_count_where_they_are_configured() {
    let config = JwtConfig {
        issuer: Some("https://id.example.com".into()),
        audience: Some("tidewire".into()),
        ..config()
    };
    let mut good = with("iss", json!("https://id.example.com"));
    good["aud"] = json!(["other", "tidewire"]);
    judged(&config, &signed(&good)).unwrap();
    for (member, value, why) in [
        ("iss", json!("https://id.example.com/"), TokenError::Issuer),
        ("iss", Value::Null, TokenError::Issuer),
        ("aud", json!("other"), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("aud", Value::Null, TokenError::Audience),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        assert_eq!(judged(&config, &signed(&bad)).unwrap_err(), why, "{bad}");
    }
}

#[test]
fn the_key_fixes_the_algorithm() {
    let other = Header::new(Algorithm::HS512);
    let token = signed_under(&other, &claims());
    assert_eq!(
        judged(&config(), &token).unwrap_err(),
        TokenError::WrongAlgorithm
    );
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    for token in [format!("{none}.{payload}."), format!("{none}.{payload}")] {
        assert_eq!(
            judged(&config(), &token).unwrap_err(),
            TokenError::NotAToken
        );
    }
}

#[test]
fn what_the_header_asks_for_is_not_done() {
    let mut header = Header {
        kid: Some("any".into()),
        jku: Some("http://127.0.0.1:1/".into()),
        x5u: Some("http://127.0.0.1:1/".into()),
        ..Header::default()
    };
    judged(&config(), &signed_under(&header, &claims())).unwrap();
    header.crit = Some(vec!["exp".into()]);
    let judged = judged(&config(), &signed_under(&header, &claims()));
    assert_eq!(judged.unwrap_err(), TokenError::Critical);
}

#[test]
fn a_changed_token_is_refused() {
    let token = signed(&claims());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let other = signed(&with("sub", json!("u2")));
    let (other_head, _) = other.rsplit_once('.').unwrap();
    for bad in [
        format!("{other_head}.{signature}"),
        format!("{head}."),
        format!("{head}.{signature}A"),
        format!("{head}.{signature}="),
        format!(" {token}"),
        format!("{token}.{signature}"),
        "a.b.c".into(),
        "..".into(),
        String::new(),
        "a".repeat(20_000),
    ] {
        assert!(judged(&config(), &bad).is_err(), "{bad}");
    }
}

#[test]
fn a_token_that_is_too_long_is_refused_however_good_it_is() {
    let long = signed(&with("more", json!("a".repeat(TOKEN_MAX_BYTES))));
    assert_eq!(judged(&config(), &long).unwrap_err(), TokenError::TooLong);
}

#[test]
fn a_public_key_that_is_damaged_is_refused_at_the_start() {
    let pem = include_bytes!("tests/rsa.pem");
    let mut der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
        .unwrap()
        .to_vec();
    // Where the key itself begins: no sequence any more.
    assert_eq!(der[24], 0x30);
    der[24] = 0x31;
    let text = STANDARD.encode(der);
    let bad = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    assert!(key::from_pem(bad.as_bytes()).is_none());
}

#[test]
fn the_kind_of_a_public_key_decides_its_algorithm() {
    for (pem, algorithm) in [
        (include_bytes!("tests/rsa.pem").as_slice(), Algorithm::RS256),
        (include_bytes!("tests/p256.pem"), Algorithm::ES256),
        (include_bytes!("tests/ed25519.pem"), Algorithm::EdDSA),
    ] {
        assert_eq!(key::from_pem(pem).unwrap().0, algorithm);
    }
    for bad in [
        include_bytes!("tests/rsa1024.pem").as_slice(),
        include_bytes!("tests/p384.pem"),
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        b"secret",
        b"",
    ] {
        assert!(key::from_pem(bad).is_none());
    }
}
