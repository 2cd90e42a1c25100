//! Each content type's rule, and that JSON is never rewritten.

use proptest::prelude::*;

use super::*;

fn json(payload: &Payload) -> &str {
    match &payload.data {
        Data::Json(json) => json,
        Data::Base64(base64) => panic!("base64 {base64}"),
    }
}

fn content(content_type: &str, body: &[u8]) -> Result<Payload, PayloadError> {
    Payload::from_content(Some(content_type), body)
}

#[test]
fn json_stays_as_it_was_published() {
    for (sent, kept) in [
        ("1e400", "1e400"),
        (" 12345678901234567890 ", "12345678901234567890"),
        ("[1.10, -0, 1E+2]", "[1.10,-0,1E+2]"),
        (
            r#"{"b": "\u00e9 \"x\" \\", "a" : [ ] }"#,
            r#"{"b":"\u00e9 \"x\" \\","a":[]}"#,
        ),
        ("{\"a\":1,\n\t\"a\":2}\r\n", r#"{"a":1,"a":2}"#),
        (r#""\ud800 lone""#, r#""\ud800 lone""#),
        ("\"\u{2028}\u{e9}\"", "\"\u{2028}\u{e9}\""),
        ("null", "null"),
    ] {
        let payload = content("application/json", sent.as_bytes()).unwrap();
        assert_eq!(json(&payload), kept);
        assert_eq!(payload.content_type, None);
        assert_eq!(
            Payload::from_content(None, sent.as_bytes()).unwrap(),
            payload
        );
    }
}

#[test]
fn deep_nesting_is_only_a_long_payload() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let payload = content("application/json", deep.as_bytes()).unwrap();
    assert_eq!(json(&payload), deep);
}

#[test]
fn what_claims_to_be_json_must_be_json() {
    for body in [
        &b""[..],
        b"{",
        b"{} {}",
        b"NaN",
        b"'a'",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"01",
        b"\"\n\"",
    ] {
        for content_type in [
            "application/json",
            "application/vnd.a+json; v=1",
            "Application/JSON",
        ] {
            let error = content(content_type, body).unwrap_err();
            assert_eq!(error.code(), Code::BadJson, "{body:?}");
        }
    }
    let error = content("application/json", b"{\n  x").unwrap_err();
    assert!(error.to_string().contains("line 2 column 3"), "{error}");
}

#[test]
fn text_becomes_a_json_string() {
    let payload = content("text/plain", "a\n\"b\" \u{e9}\0".as_bytes()).unwrap();
    assert_eq!(json(&payload), "\"a\\n\\\"b\\\" \u{e9}\\u0000\"");
    assert_eq!(payload.content_type, None);
    assert_eq!(json(&content("text/plain", b"").unwrap()), "\"\"");
    assert_eq!(json(&content("text/plain", b"42").unwrap()), "\"42\"");

    let html = content("text/html; charset=\"UTF-8\"", b"<p>").unwrap();
    assert_eq!(
        html.content_type.as_deref(),
        Some("text/html; charset=\"UTF-8\"")
    );

    assert_eq!(
        content("text/plain", b"ab\xff"),
        Err(PayloadError::NotUtf8 { at: 2 })
    );
    let error = content("text/plain; charset=iso-8859-1", b"a").unwrap_err();
    assert!(error.to_string().contains("iso-8859-1"));
    assert_eq!(error.code(), Code::BadRequest);
}

#[test]
fn the_usual_types_need_no_mention() {
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain;charset=UTF-8",
    ] {
        assert_eq!(content(content_type, b"1").unwrap().content_type, None);
    }
    for content_type in [
        "application/ld+json",
        "text/csv",
        "application/json; profile=x",
        "image/png",
    ] {
        let payload = content(content_type, b"1").unwrap();
        assert_eq!(payload.content_type.as_deref(), Some(content_type));
    }
}

#[test]
fn without_a_type_it_is_json_or_text_or_bytes() {
    for content_type in [
        None,
        Some(""),
        Some("application/x-www-form-urlencoded"),
        Some("application/x-www-form-urlencoded; charset=UTF-8"),
    ] {
        let read = |body| Payload::from_content(content_type, body).unwrap();
        assert_eq!(json(&read(b"{ }")), "{}");
        assert_eq!(json(&read(b"hello")), "\"hello\"");
        assert_eq!(json(&read(b"")), "\"\"");
        assert_eq!(read(b"\xff\x00").data, Data::Base64("/wA=".into()));
        assert_eq!(read(b"\xff\x00").content_type, None);
    }
}

#[test]
fn everything_else_is_base64() {
    let payload = content("image/png", b"\x89PNG").unwrap();
    assert_eq!(payload.data, Data::Base64("iVBORw==".into()));
    assert_eq!(
        content("nonsense", b"").unwrap().data,
        Data::Base64(String::new())
    );
}

#[test]
fn a_content_type_is_short_and_printable() {
    let longest = format!("a/{}", "b".repeat(198));
    assert!(content(&longest, b"").is_ok());
    for bad in [
        format!("{longest}b"),
        "a/b\0".into(),
        "a/b\u{e9}".into(),
        "a/\u{7f}".into(),
    ] {
        assert_eq!(
            content(&bad, b""),
            Err(PayloadError::ContentType),
            "{bad:?}"
        );
    }
}

#[test]
fn base64_is_the_standard_form_only() {
    assert_eq!(
        Payload::from_base64("/wA=").unwrap().data,
        Data::Base64("/wA=".into())
    );
    assert!(Payload::from_base64("").is_ok());
    for bad in ["/wA", "_wA=", "/wB=", "/w A=", "/wA=\n", "*"] {
        assert_eq!(
            Payload::from_base64(bad).unwrap_err().code(),
            Code::BadRequest,
            "{bad:?}"
        );
    }
    let typed = Payload::from_base64_content("text/plain", "aGk=").unwrap();
    assert_eq!(json(&typed), "\"hi\"");
    let typed = Payload::from_base64_content("image/png", "aGk=").unwrap();
    assert_eq!(typed.data, Data::Base64("aGk=".into()));
    assert_eq!(typed.content_type.as_deref(), Some("image/png"));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,8}|[ \"\\\\\n]{0,5}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("[a \"\\\\]{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn white_space_is_dropped_and_the_value_stays(value in any_json()) {
        let wide = serde_json::to_string_pretty(&value).unwrap();
        let payload = Payload::from_content(None, wide.as_bytes()).unwrap();
        prop_assert_eq!(json(&payload), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn any_bytes_without_a_type_become_valid_json_or_base64(body in prop::collection::vec(any::<u8>(), 0..64)) {
        match Payload::from_content(None, &body).unwrap().data {
            Data::Json(json) => { serde_json::from_str::<&RawValue>(&json).unwrap(); }
            Data::Base64(base64) => prop_assert_eq!(BASE64_STANDARD.decode(base64).unwrap(), body),
        }
    }
}
