//! One bad element loses none of the others, and every refusal has its code.

use super::*;

fn one(body: &str) -> Result<Publish, Problem> {
    match PublishRequest::parse(Some("application/json"), body.as_bytes())? {
        PublishRequest::One(publish) => Ok(publish),
        PublishRequest::Many(many) => panic!("{many:?}"),
    }
}

fn many(content_type: Option<&str>, body: &[u8]) -> Vec<Result<Publish, Code>> {
    match PublishRequest::parse(content_type, body).unwrap() {
        PublishRequest::One(publish) => panic!("{publish:?}"),
        PublishRequest::Many(many) => {
            let code = |element: Result<Publish, Problem>| element.map_err(|problem| problem.code);
            many.into_iter().map(code).collect()
        }
    }
}

fn refusal(content_type: Option<&str>, body: &[u8]) -> Code {
    PublishRequest::parse(content_type, body).unwrap_err().code
}

#[test]
fn an_object_is_read_whole() {
    let publish =
        one(r#" {"topic":"a.b","type":"t","data": [1.10, null],"key":"k 1","new":{}} "#).unwrap();
    assert_eq!(publish.topics, OneOrMany::One(Topic::parse("a.b").unwrap()));
    assert_eq!(publish.event_type, Some(EventType::parse("t").unwrap()));
    assert_eq!(
        publish.payload,
        Payload::from_content(None, b"[1.10,null]").unwrap()
    );
    assert_eq!(publish.key.as_deref(), Some("k 1"));
}

#[test]
fn null_is_a_payload_but_no_type_and_no_key() {
    let publish = one(r#"{"topic":"a","type":null,"key":null,"topics":null,"data":null}"#).unwrap();
    assert_eq!(
        publish.payload,
        Payload::from_content(None, b"null").unwrap()
    );
    assert_eq!((publish.event_type, publish.key), (None, None));
}

#[test]
fn bytes_come_in_base64_with_a_content_type() {
    let publish = one(r#"{"topic":"a","data_base64":"/wA="}"#).unwrap();
    assert_eq!(publish.payload, Payload::from_base64("/wA=").unwrap());
    let publish = one(r#"{"topic":"a","data_base64":"/wA=","content_type":"image/png"}"#).unwrap();
    assert_eq!(
        publish.payload,
        Payload::from_content(Some("image/png"), b"\xff\0").unwrap()
    );
}

#[test]
fn what_does_not_fit_names_its_code() {
    for (body, code) in [
        ("", Code::BadJson),
        ("{", Code::BadJson),
        ("{} {}", Code::BadJson),
        (r#"{"topic":"a","data":NaN}"#, Code::BadJson),
        ("42", Code::BadRequest),
        ("null", Code::BadRequest),
        ("{}", Code::BadRequest),
        ("[]", Code::BadRequest),
        (r#"{"topic":"a"}"#, Code::BadRequest),
        (r#"{"data":1}"#, Code::BadRequest),
        (r#"{"topic":"a","topics":["a"],"data":1}"#, Code::BadRequest),
        (r#"{"topics":[],"data":1}"#, Code::BadRequest),
        (r#"{"topics":"a","data":1}"#, Code::BadRequest),
        (r#"{"topic":"a..b","data":1}"#, Code::BadTopic),
        (r#"{"topic":"a.*","data":1}"#, Code::BadTopic),
        (r#"{"topic":7,"data":1}"#, Code::BadTopic),
        (r#"{"topic":"a","topic":"b","data":1}"#, Code::BadRequest),
        (r#"{"topic":"a","data":1,"data":2}"#, Code::BadRequest),
        (
            r#"{"topic":"a","data":1,"data_base64":""}"#,
            Code::BadRequest,
        ),
        (r#"{"topic":"a","data_base64":"?"}"#, Code::BadRequest),
        (r#"{"topic":"a","data_base64":7}"#, Code::BadRequest),
        (
            r#"{"topic":"a","data":1,"content_type":"a/b"}"#,
            Code::BadRequest,
        ),
        (
            r#"{"topic":"a","data_base64":"e30","content_type":"application/json"}"#,
            Code::BadRequest,
        ),
        (
            r#"{"topic":"a","data_base64":"e3s=","content_type":"application/json"}"#,
            Code::BadJson,
        ),
        (r#"{"topic":"a","data":1,"type":""}"#, Code::BadRequest),
        (r#"{"topic":"a","data":1,"type":"a\nb"}"#, Code::BadRequest),
        (
            r#"{"topic":"a","data":1,"type":"\ud800"}"#,
            Code::BadRequest,
        ),
        (r#"{"topic":"a","data":1,"type":7}"#, Code::BadRequest),
        (r#"{"topic":"a","data":1,"key":""}"#, Code::BadRequest),
        (r#"{"topic":"a","data":1,"key":"\u00e9"}"#, Code::BadRequest),
    ] {
        assert_eq!(one(body).unwrap_err().code, code, "{body}");
    }
    let message = one(r#"{"topic":"a..b","data":1}"#).unwrap_err().message;
    assert!(message.contains("level 2"), "{message}");
}

#[test]
fn several_topics_are_judged_one_by_one() {
    let publish = one(r#"{"topics":["a","b..c",7,"d"],"data":1}"#).unwrap();
    let OneOrMany::Many(topics) = publish.topics else {
        panic!("{publish:?}");
    };
    let topics: Vec<_> = topics
        .iter()
        .map(|topic| {
            topic
                .as_ref()
                .map(Topic::as_str)
                .map_err(|problem| problem.code)
        })
        .collect();
    assert_eq!(
        topics,
        [Ok("a"), Err(Code::BadTopic), Err(Code::BadTopic), Ok("d")]
    );
}

#[test]
fn a_bad_element_loses_none_of_the_others() {
    let body = br#"[{"topic":"a","data":1},{"topic":"a..b","data":1},7,["a"],
        {"topics":["a"],"data":1},{"topic":"b","data":2}]"#;
    let elements = many(Some("application/json; charset=utf-8"), body);
    let codes: Vec<_> = elements.into_iter().map(Result::err).collect();
    let bad = Some(Code::BadRequest);
    assert_eq!(codes, [None, Some(Code::BadTopic), bad, bad, bad, None]);
}

#[test]
fn an_array_that_is_not_json_is_refused_whole() {
    for body in [
        &b"[{\"topic\":\"a\",\"data\":1},]"[..],
        b"[1",
        b"[\xff]",
        b"[1] 2",
    ] {
        assert_eq!(
            refusal(Some("application/json"), body),
            Code::BadJson,
            "{body:?}"
        );
    }
}

#[test]
fn a_line_that_is_not_json_fails_alone() {
    let body =
        b"{\"topic\":\"a\",\"data\":1}\r\n\n  \n{\"topic\":\n\xff\n{\"topic\":\"b\",\"data\":2}";
    for content_type in ["application/x-ndjson", "Application/NDJSON; charset=utf-8"] {
        let codes: Vec<_> = many(Some(content_type), body)
            .into_iter()
            .map(Result::err)
            .collect();
        assert_eq!(
            codes,
            [None, Some(Code::BadJson), Some(Code::BadJson), None]
        );
    }
    assert_eq!(
        refusal(Some("application/x-ndjson"), b"\n \r\n"),
        Code::BadRequest
    );
}

#[test]
fn curls_own_type_is_taken_as_json_or_lines_of_it() {
    for content_type in [None, Some(""), Some("application/x-www-form-urlencoded")] {
        let object = br#"{"topic":"a","data":1}"#;
        assert!(matches!(
            PublishRequest::parse(content_type, object).unwrap(),
            PublishRequest::One(_)
        ));
        assert_eq!(many(content_type, b"[7]"), [Err(Code::BadRequest)]);
        let lines = b"{\"topic\":\"a\",\"data\":1}\n7\n";
        let codes: Vec<_> = many(content_type, lines)
            .into_iter()
            .map(Result::err)
            .collect();
        assert_eq!(codes, [None, Some(Code::BadRequest)]);
        for body in [&b""[..], b"\n", b"hello", b"{}\nhello", b"\xff"] {
            assert_eq!(refusal(content_type, body), Code::BadJson, "{body:?}");
        }
    }
    for content_type in [
        "text/plain",
        "application/cbor",
        "multipart/form-data; boundary=x",
    ] {
        assert_eq!(
            refusal(Some(content_type), b"{}"),
            Code::UnsupportedMediaType
        );
    }
}

#[test]
fn more_than_a_thousand_are_too_many() {
    let element = r#"{"topic":"a","data":1}"#;
    for (count, taken) in [(1000, true), (1001, false)] {
        let array = format!("[{}]", vec![element; count].join(","));
        let lines = vec![element; count].join("\n");
        let topics = format!(
            r#"{{"topics":[{}],"data":1}}"#,
            vec![r#""a""#; count].join(",")
        );
        for (content_type, body) in [
            ("application/json", array),
            ("application/x-ndjson", lines),
            ("application/json", topics),
        ] {
            let result = PublishRequest::parse(Some(content_type), body.as_bytes());
            assert_eq!(result.is_ok(), taken);
            if let Err(problem) = result {
                assert_eq!(problem.code, Code::TooLarge);
            }
        }
    }
}

#[test]
fn a_key_is_printable_ascii() {
    let longest = "k".repeat(KEY_MAX_BYTES);
    for good in ["a", "a b~!", &longest] {
        assert_eq!(idempotency_key(good), Ok(good));
    }
    for bad in ["", "a\n", "\u{e9}", "\u{7f}", &format!("{longest}k")] {
        assert_eq!(idempotency_key(bad).unwrap_err().code, Code::BadRequest);
    }
}

#[test]
fn an_answer_mentions_only_a_duplicate() {
    let mut answer = PublishAnswer {
        id: "k3f9-41042".into(),
        topic: "a.b".into(),
        duplicate: false,
    };
    let json = serde_json::to_string(&answer).unwrap();
    assert_eq!(json, r#"{"id":"k3f9-41042","topic":"a.b"}"#);
    answer.duplicate = true;
    let elements = vec![
        PublishElement::Answer(answer),
        PublishElement::Problem(Problem::new(Code::BadTopic, "x")),
    ];
    let json = serde_json::to_string(&elements).unwrap();
    assert!(json.starts_with(r#"[{"id":"k3f9-41042","topic":"a.b","duplicate":true},{"type":"#));
    assert_eq!(
        serde_json::from_str::<Vec<PublishElement>>(&json).unwrap(),
        elements
    );
}

proptest::proptest! {
    #[test]
    fn no_body_panics(
        content_type in proptest::sample::select(vec![None, Some("application/json"), Some("application/x-ndjson")]),
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..48),
    ) {
        let _ = PublishRequest::parse(content_type, &body);
    }

    #[test]
    fn no_near_miss_panics(body in "[\\[\\]{}\",:a0-1 \\\\\ntopicdakey]{0,48}") {
        let _ = PublishRequest::parse(None, body.as_bytes());
    }
}
