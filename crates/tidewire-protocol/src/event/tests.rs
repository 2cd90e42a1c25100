//! The one encoding, and that its parts come back.

use proptest::prelude::*;

use super::*;

fn event(event_type: Option<&str>, payload: &Payload) -> Event {
    let event_type = event_type.map(|text| EventType::parse(text).unwrap());
    let body = EventBody::new(event_type.as_ref(), payload);
    let topic = Topic::parse("orders.eu.42").unwrap();
    Event::new("k3f9-41042".parse().unwrap(), topic, 1795235358123, &body)
}

fn text(event: &Event) -> &str {
    std::str::from_utf8(event.json()).unwrap()
}

#[test]
fn the_encoding_has_its_members_in_order() {
    let payload = Payload::from_content(None, b"{ \"total\": 42 }").unwrap();
    assert_eq!(
        text(&event(Some("order.paid"), &payload)),
        r#"{"id":"k3f9-41042","topic":"orders.eu.42","time":1795235358123,"type":"order.paid","data":{"total":42}}"#
    );
    assert_eq!(
        text(&event(None, &Payload::from_content(None, b"").unwrap())),
        r#"{"id":"k3f9-41042","topic":"orders.eu.42","time":1795235358123,"data":""}"#
    );
    let picture = Payload::from_content(Some("image/png; x=\"y\""), b"\xff").unwrap();
    assert_eq!(
        text(&event(None, &picture)),
        r#"{"id":"k3f9-41042","topic":"orders.eu.42","time":1795235358123,"content_type":"image/png; x=\"y\"","data_base64":"/w=="}"#
    );
}

#[test]
fn a_type_is_printable_text() {
    for good in [
        "a",
        " ",
        "order.paid",
        "\u{8ba2}\u{5355}",
        "a\"b",
        &"x".repeat(100),
    ] {
        assert_eq!(EventType::parse(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "a\nb",
        "\0",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        &"x".repeat(101),
    ] {
        assert!(EventType::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_parts_come_back() {
    let null = event(
        Some("a\"\\b"),
        &Payload::from_content(None, b"null").unwrap(),
    );
    let parts = null.parts();
    assert_eq!(parts.event_type.as_deref(), Some("a\"\\b"));
    assert!(matches!(parts.data, EventData::Json(json) if json.get() == "null"));
    let bytes = event(None, &Payload::from_content(Some("a/b"), b"\xff").unwrap());
    let parts = bytes.parts();
    assert_eq!(parts.content_type.as_deref(), Some("a/b"));
    assert!(matches!(parts.data, EventData::Base64(base64) if base64 == "/w=="));
}

#[test]
fn a_damaged_body_does_not_panic() {
    for body in [&b""[..], b"\xff", b",\"data\":", b",\"type\":1,\"data\":2}"] {
        let body = EventBody::from_stored(Bytes::from_static(body));
        let event = Event::new(
            "e-11".parse().unwrap(),
            Topic::parse("a").unwrap(),
            0,
            &body,
        );
        assert!(matches!(event.parts().data, EventData::Json(json) if json.get() == "null"));
    }
}

#[test]
fn a_client_keeps_the_text_and_reads_what_it_knows() {
    let json = r#"{"id":"later~form","topic":"a","time":1,"new":[],"data":null}"#;
    let event = ReceivedEvent::parse(json).unwrap();
    assert_eq!(event.id, "later~form");
    assert_eq!(event.data.unwrap().get(), "null");
    assert_eq!(event.json, json);
    for bad in ["", "[]", "{}", r#"{"id":1,"topic":"a","time":1}"#] {
        assert!(ReceivedEvent::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_payload_comes_back(
        event_type in prop::option::of("[^\\p{Cc}\u{2028}\u{2029}]{1,24}"),
        content_type in prop::option::of("[ -~]{0,20}"),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let Ok(payload) = Payload::from_content(content_type.as_deref(), &body) else {
            return Ok(());
        };
        let event = event(event_type.as_deref(), &payload);
        let parts = event.parts();
        prop_assert_eq!(parts.event_type.as_deref(), event_type.as_deref());
        prop_assert_eq!(parts.content_type.as_deref(), payload.content_type.as_deref());
        let back = match parts.data {
            EventData::Json(json) => Data::Json(json.get().to_owned()),
            EventData::Base64(base64) => Data::Base64(base64.into_owned()),
        };
        prop_assert_eq!(&back, &payload.data);
        let received = ReceivedEvent::parse(text(&event)).unwrap();
        prop_assert_eq!(received.id, event.id().to_string());
        prop_assert_eq!(received.time, event.time_ms());
        prop_assert!(!text(&event).contains(['\n', '\r']));
    }
}
