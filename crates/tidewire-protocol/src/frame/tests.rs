//! Client frames: each op, each refusal, and what the gateway's frames look like to a client.

use proptest::prelude::*;

use super::*;
use crate::{Bye, CloseReason, Gap, GapReason, Hb, Hello, OneOrMany, ReceivedFrame, ServerFrame};

fn parse(text: &str) -> ClientFrame {
    ClientFrame::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The ref that the error frame echoes, and its code; `None` when the connection ends.
fn refusal(text: &str) -> Option<(Option<String>, Code)> {
    match ClientFrame::parse(text).unwrap_err() {
        FrameError::NotAnObject { .. } => None,
        FrameError::Bad {
            reference, code, ..
        } => Some((reference.map(|raw| raw.get().to_owned()), code)),
    }
}

#[test]
fn each_op_is_read() {
    let frame = parse(r#" {"ref":1,"topics":["a.*","$b.>"],"after":"e-15","op":"subscribe"} "#);
    let ClientFrame::Subscribe { topics, start, .. } = &frame else {
        panic!("{frame:?}");
    };
    assert_eq!(topics.len(), 2);
    assert_eq!(*start, Some(StartAt::After("e-15".parse().unwrap())));
    assert_eq!(frame.reference().unwrap().get(), "1");

    let frame =
        parse(r#"{"op":"publish","ref":"p","topic":"a.b","type":"t","data":null,"key":"k"}"#);
    let ClientFrame::Publish { publish, .. } = &frame else {
        panic!("{frame:?}");
    };
    assert!(matches!(&publish.topics, OneOrMany::One(topic) if topic.as_str() == "a.b"));
    assert_eq!(frame.reference().unwrap().get(), "\"p\"");

    for (text, op) in [
        (r#"{"op":"unsubscribe","topics":["a"]}"#, "unsubscribe"),
        (r#"{"op":"auth","token":"secret"}"#, "auth"),
        (r#"{"op":"presence","topic":"a"}"#, "presence"),
        (r#"{"op":"enter","topic":"a","data":{"x":1}}"#, "enter"),
        (r#"{"op":"enter","topic":"a"}"#, "enter"),
        (r#"{"op":"leave","topic":"a"}"#, "leave"),
        (r#"{"op":"ping","ref":null,"more":[]}"#, "ping"),
        (r#"{"\u006fp":"pi\u006eg"}"#, "ping"),
    ] {
        let frame = parse(text);
        assert_eq!(frame.op(), op);
        assert!(frame.reference().is_none());
    }
}

#[test]
fn a_subscribe_begins_where_it_says() {
    for (member, start) in [
        ("\"x\":0", None),
        ("\"after\":null", None),
        ("\"after\":\"now\"", Some(StartAt::Now)),
        ("\"after\":\"start\"", Some(StartAt::Start)),
        ("\"last\":0", Some(StartAt::Now)),
        ("\"last\":1000", Some(StartAt::Last(1000))),
    ] {
        let frame = parse(&format!(r#"{{"op":"subscribe","topics":["a"],{member}}}"#));
        let ClientFrame::Subscribe { start: read, .. } = frame else {
            panic!("{frame:?}");
        };
        assert_eq!(read, start, "{member}");
    }
}

#[test]
fn what_is_not_an_object_ends_the_connection() {
    for text in [
        "",
        " ",
        "ping",
        "7",
        "null",
        "[]",
        "[{}]",
        "\"x\"",
        "{",
        "{}{}",
        "{\"op\":}",
    ] {
        assert_eq!(refusal(text), None, "{text}");
    }
}

#[test]
fn a_frame_that_is_wrong_in_itself_is_answered() {
    let long = format!(r#"{{"op":"ping","ref":"{}"}}"#, "r".repeat(63));
    let data = format!(
        r#"{{"op":"enter","topic":"a","data":"{}"}}"#,
        "d".repeat(1023)
    );
    for (text, code) in [
        ("{}", Code::BadRequest),
        (r#"{"op":"dance"}"#, Code::BadRequest),
        (r#"{"op":7}"#, Code::BadRequest),
        (r#"{"op":"ping","op":"ping"}"#, Code::BadRequest),
        (r#"{"op":"ping","ref":{}}"#, Code::BadRequest),
        (r#"{"op":"ping","ref":true}"#, Code::BadRequest),
        (&long, Code::BadRequest),
        (&data, Code::BadRequest),
        (r#"{"op":"subscribe"}"#, Code::BadRequest),
        (r#"{"op":"subscribe","topics":"a"}"#, Code::BadRequest),
        (r#"{"op":"subscribe","topics":[]}"#, Code::BadRequest),
        (r#"{"op":"subscribe","topics":[7]}"#, Code::BadTopic),
        (r#"{"op":"subscribe","topics":["a..b"]}"#, Code::BadTopic),
        (
            r#"{"op":"subscribe","topics":["a"],"after":""}"#,
            Code::BadCursor,
        ),
        (
            r#"{"op":"subscribe","topics":["a"],"after":7}"#,
            Code::BadCursor,
        ),
        (
            r#"{"op":"subscribe","topics":["a"],"after":"now","last":1}"#,
            Code::BadRequest,
        ),
        (
            r#"{"op":"subscribe","topics":["a"],"last":1001}"#,
            Code::BadRequest,
        ),
        (
            r#"{"op":"subscribe","topics":["a"],"last":-1}"#,
            Code::BadRequest,
        ),
        (
            r#"{"op":"subscribe","topics":["a"],"last":"1"}"#,
            Code::BadRequest,
        ),
        (
            r#"{"op":"subscribe","topics":["a"],"last":1.5}"#,
            Code::BadRequest,
        ),
        (r#"{"op":"publish","topic":"a"}"#, Code::BadRequest),
        (
            r#"{"op":"publish","topic":"a..b","data":1}"#,
            Code::BadTopic,
        ),
        (
            r#"{"op":"publish","topics":["a"],"data":1}"#,
            Code::BadRequest,
        ),
        (r#"{"op":"auth"}"#, Code::BadRequest),
        (r#"{"op":"presence"}"#, Code::BadRequest),
        (r#"{"op":"leave","topic":"a.*"}"#, Code::BadTopic),
    ] {
        assert_eq!(refusal(text), Some((None, code)), "{text}");
    }
    let echoed = refusal(r#"{"op":"dance","ref":"\u00e9 1"}"#).unwrap();
    assert_eq!(echoed.0.as_deref(), Some(r#""\u00e9 1""#));
}

#[test]
fn debug_shows_no_secret_and_no_payload() {
    for text in [
        r#"{"op":"auth","ref":4,"token":"canary"}"#,
        r#"{"op":"publish","ref":4,"topic":"a","data":"canary"}"#,
    ] {
        let shown = format!("{:?}", parse(text));
        assert!(!shown.contains("canary") && shown.contains('4'), "{shown}");
    }
}

#[test]
fn a_client_reads_what_the_gateway_wrote() {
    let reference = RawValue::from_string("\"r\\u00e9\"".into()).unwrap();
    let ok = ServerFrame::Ok {
        reference: Some(&reference),
        cursor: Some("e-15".parse().unwrap()),
        resumed: Some(true),
        id: None,
        duplicate: false,
        expires: None,
    };
    let text = ok.encode();
    assert_eq!(
        text,
        r#"{"op":"ok","ref":"r\u00e9","cursor":"e-15","resumed":true}"#
    );
    let ReceivedFrame::Ok(received) = ReceivedFrame::parse(text).unwrap() else {
        panic!("not ok");
    };
    assert_eq!(received.reference.unwrap().get(), reference.get());
    assert_eq!(
        (received.cursor.as_deref(), received.resumed),
        (Some("e-15"), Some(true))
    );

    let hello = Hello {
        session: "s".into(),
        cursor: "e-15".into(),
        resumed: false,
        heartbeat_ms: 15000,
    };
    let gap = Gap {
        topics: vec!["a".into()],
        after: "e-11".into(),
        cursor: "e-15".into(),
        reason: GapReason::Slow,
    };
    let hb = Hb {
        skipped: 2,
        stale: true,
        ..Hb::at("e-15")
    };
    let bye = Bye::new(CloseReason::Draining, Some(1730));
    let read = |frame: ServerFrame<'_>| ReceivedFrame::parse(frame.encode()).unwrap();
    assert!(matches!(read(ServerFrame::Hello(&hello)), ReceivedFrame::Hello(h) if h == hello));
    assert!(matches!(read(ServerFrame::Gap(&gap)), ReceivedFrame::Gap(g) if g == gap));
    assert!(matches!(read(ServerFrame::Hb(&hb)), ReceivedFrame::Hb(h) if h == hb));
    assert!(matches!(read(ServerFrame::Bye(&bye)), ReceivedFrame::Bye(b) if b == bye));
    let pong = ServerFrame::Pong { reference: None };
    assert!(matches!(
        read(pong),
        ReceivedFrame::Pong { reference: None }
    ));
    let error = ServerFrame::Error {
        reference: None,
        code: Code::Forbidden,
        message: "no",
    };
    assert!(matches!(read(error), ReceivedFrame::Error(e) if e.code == "forbidden"));
}

#[test]
fn a_client_passes_over_what_it_does_not_know() {
    let frame = ReceivedFrame::parse(r#"{"op":"later","x":1}"#).unwrap();
    assert!(matches!(frame, ReceivedFrame::Unknown { op } if op == "later"));
    let frame = ReceivedFrame::parse(r#"{"id":"e-11","topic":"a","time":1,"data":null}"#).unwrap();
    assert!(matches!(frame, ReceivedFrame::Event(event) if event.id == "e-11"));
    for bad in ["", "7", r#"{"op":7}"#, r#"{"op":"hello"}"#, "{}"] {
        assert!(ReceivedFrame::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,64}") {
        let _ = ClientFrame::parse(&text);
        let _ = ReceivedFrame::parse(text);
    }

    #[test]
    fn no_changed_byte_panics(at in any::<prop::sample::Index>(), byte in any::<char>()) {
        let text = r#"{"op":"subscribe","ref":1,"topics":["a.*","b"],"after":"k3f9-41042"}"#;
        let at = at.index(text.len());
        let changed = format!("{}{byte}{}", &text[..at], &text[at + 1..]);
        let _ = ClientFrame::parse(&changed);
        let _ = ReceivedFrame::parse(changed);
    }
}
