//! That any payload through the encoder and the parser comes out equal, and the parser's bounds. The table
//! with one row for each rule of the format is `fixtures/event_stream.json`.

use proptest::prelude::*;

use super::*;
use crate::{CloseReason, EventBody, EventType, GapReason, Payload, Topic};

#[test]
fn a_block_is_there_with_its_last_line_end() {
    let mut parser = Parser::new(1024);
    assert_eq!(parser.push(b"data: x\r\n\r").unwrap().len(), 1);
    assert_eq!(parser.push(b"\ndata: y\r").unwrap().len(), 0);
    assert_eq!(parser.push(b"\r").unwrap().len(), 1);
}

#[test]
fn retry_is_digits_only() {
    for (bytes, wanted) in [
        (&b"retry: 2000\n"[..], Some(2000)),
        (b"retry:07\n", Some(7)),
        (b"retry: 1\nretry: 2x\n", Some(1)),
        (b"retry: 1\nretry:\n", Some(1)),
        (b"retry: -1\n", None),
        (b"retry: 1.5\n", None),
        (b"retry: +1\n", None),
        (b"retry: 99999999999999999999\n", None),
        (b"retry: 2000", None),
    ] {
        let mut parser = Parser::new(1024);
        parser.push(bytes).unwrap();
        assert_eq!(parser.retry_ms(), wanted, "{bytes:?}");
    }
    let mut parser = Parser::new(1024);
    let blocks = parser.push(b"retry: 5\ndata: x\n\ndata: y\n\n").unwrap();
    assert_eq!(
        (blocks[0].retry, blocks[1].retry, parser.retry_ms()),
        (Some(5), None, Some(5))
    );
}

#[test]
fn an_id_counts_only_with_its_finished_block() {
    let mut parser = Parser::new(1024);
    parser.push(b"id: 1\n\nid: 2\ndata: x\n").unwrap();
    assert_eq!(parser.last_event_id(), "1");
    parser.push(b"\n").unwrap();
    assert_eq!(parser.last_event_id(), "2");
}

#[test]
fn a_block_without_end_is_refused() {
    let mut parser = Parser::new(16);
    assert_eq!(parser.push(b"data: 0123456789\n\n").unwrap().len(), 1);
    assert_eq!(
        parser.push(b"data: 0123456789x"),
        Err(BlockTooLong {
            max_block_bytes: 16
        })
    );
    assert!(parser.push(b"\n\ndata: y\n\n").is_err());
    let mut parser = Parser::new(16);
    assert!((0..100).any(|_| parser.push(b"data: x\n").is_err()));
    let mut parser = Parser::new(16);
    assert!(
        (0..100).any(|_| parser.push(b"x").is_err()),
        "a line in small chunks"
    );
    let mut parser = Parser::new(16);
    assert!((0..100).all(|_| parser.push(b": comment\n").is_ok()));
}

fn event_of(event_type: Option<&str>, payload: &Payload) -> Event {
    let event_type = event_type.map(|text| EventType::parse(text).unwrap());
    let body = EventBody::new(event_type.as_ref(), payload);
    Event::new(
        "k3f9-41042".parse().unwrap(),
        Topic::parse("a.b").unwrap(),
        1,
        &body,
    )
}

fn parsed(bytes: &[u8]) -> Block {
    let mut parser = Parser::new(1 << 20);
    let mut blocks = parser.push(bytes).unwrap();
    assert_eq!(blocks.len(), 1, "{}", String::from_utf8_lossy(bytes));
    blocks.remove(0)
}

#[test]
fn the_first_block_is_hello_with_its_retry() {
    let hello_notice = Hello {
        session: "s".into(),
        cursor: "k3f9-41041".into(),
        resumed: true,
        heartbeat_ms: 15000,
    };
    let stream = [retry(2000), hello(&hello_notice, &hello_notice.cursor)].concat();
    assert_eq!(
        String::from_utf8(stream.clone()).unwrap(),
        "retry: 2000\nevent: hello\nid: k3f9-41041\ndata: {\"session\":\"s\",\"cursor\":\"k3f9-41041\",\"resumed\":true,\"heartbeat_ms\":15000}\n\n"
    );
    assert_eq!(parsed(&stream).retry, Some(2000));
}

#[test]
fn heartbeat_and_goodbye_move_no_cursor() {
    assert_eq!(
        &hb(&Hb::at("e-15"))[..],
        b"event: hb\ndata: {\"cursor\":\"e-15\"}\n\n"
    );
    let goodbye = Bye::new(CloseReason::Draining, Some(1730));
    assert_eq!(
        &bye(&goodbye)[..],
        b"event: bye\ndata: {\"code\":4203,\"reason\":\"draining\",\"retry_ms\":1730}\n\n"
    );
}

#[test]
fn a_gap_moves_the_cursor_to_where_delivery_continues() {
    let loss = Gap {
        topics: vec!["a.>".into()],
        after: "e-11".into(),
        cursor: "e-15".into(),
        reason: GapReason::Evicted,
    };
    let block = parsed(&gap(&loss));
    assert_eq!(
        (block.event.as_str(), block.id.as_deref()),
        ("gap", Some("e-15"))
    );
    assert_eq!(serde_json::from_str::<Gap>(&block.data).unwrap(), loss);
    // Whatever a foreign text may hold, it stays in its line.
    let forged = Gap {
        cursor: "e\n\ndata: x".into(),
        ..loss
    };
    assert_eq!(parsed(&gap(&forged)).id.as_deref(), Some("e  data: x"));
}

#[test]
fn the_payload_alone_is_plain_text_or_json_or_base64() {
    let data = |event_type, json: &str| {
        let payload = Payload::from_content(Some("application/json"), json.as_bytes()).unwrap();
        let bytes = event_data(&event_of(event_type, &payload));
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let id = "id: k3f9-41042\n";
    assert_eq!(
        data(None, r#"{"a": "x\ny"}"#),
        format!("{id}data: {{\"a\":\"x\\ny\"}}\n\n")
    );
    assert_eq!(data(None, r#""x""#), format!("{id}data: x\n\n"));
    assert_eq!(data(None, r#""""#), format!("{id}data: \n\n"));
    assert_eq!(
        data(None, r#""a\r\nb\rc\n""#),
        format!("{id}data: a\ndata: b\ndata: c\ndata: \n\n")
    );
    assert_eq!(
        data(None, r#"" \u00e9\ud83c\udf0a\ud800!""#),
        format!("{id}data:  \u{e9}\u{1f30a}\u{fffd}!\n\n")
    );
    assert_eq!(
        data(Some("order.paid"), "1"),
        format!("{id}event: order.paid\ndata: 1\n\n")
    );
    for reserved in RESERVED {
        assert_eq!(data(Some(reserved), "1"), format!("{id}data: 1\n\n"));
    }
    let bytes = Payload::from_content(None, b"\xff").unwrap();
    assert_eq!(
        &event_data(&event_of(None, &bytes))[..],
        format!("{id}data: /w==\n\n").as_bytes()
    );
}

/// What every reader makes of a text: the format has one line end.
fn normalized(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

proptest! {
    #[test]
    fn any_event_comes_out_equal(
        event_type in prop::option::of("[^\\p{Cc}\u{2028}\u{2029}]{1,24}"),
        body in prop_oneof![
            any::<String>().prop_map(String::into_bytes),
            "(data|id|event|[:\r\n \u{feff}\\x00\u{2028}]){0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..64),
        ],
        cut in any::<prop::sample::Index>(),
    ) {
        let payload = Payload::from_content(None, &body).unwrap();
        let whole = event_of(event_type.as_deref(), &payload);
        let bytes = event(&whole);
        let cut = cut.index(bytes.len());
        let mut parser = Parser::new(1 << 20);
        let mut blocks = parser.push(&bytes[..cut]).unwrap();
        blocks.extend(parser.push(&bytes[cut..]).unwrap());
        prop_assert_eq!(blocks.len(), 1);
        prop_assert_eq!(blocks[0].data.as_bytes(), whole.json());
        prop_assert_eq!(blocks[0].id.as_deref(), Some("k3f9-41042"));
        prop_assert_eq!(blocks[0].event.as_str(), "message");

        let block = parsed(&event_data(&whole));
        let parts = whole.parts();
        let wanted = match &parts.data {
            EventData::Base64(base64) => base64.to_string(),
            EventData::Json(json) => serde_json::from_str::<String>(json.get())
                .map_or_else(|_| json.get().to_owned(), |text| normalized(&text)),
        };
        prop_assert_eq!(block.data, wanted);
        let name = event_type.filter(|name| !RESERVED.contains(&name.as_str()));
        prop_assert_eq!(block.event, name.unwrap_or_else(|| "message".into()));
    }

    #[test]
    fn any_bytes_give_the_same_blocks_in_any_chunks(
        pieces in prop::collection::vec(prop::sample::select(vec![
            &b"data"[..], b":", b" ", b"\r", b"\n", b"\r\n", b"id", b"event", b"retry", b"7", b"\0", b"\xef\xbb\xbf", b"\xff",
        ]), 0..40),
        size in 1_usize..8,
    ) {
        let bytes = pieces.concat();
        let whole = Parser::new(1 << 20).push(&bytes).unwrap();
        let mut parser = Parser::new(1 << 20);
        let split: Vec<_> = bytes.chunks(size).flat_map(|chunk| parser.push(chunk).unwrap()).collect();
        prop_assert_eq!(split, whole);
    }
}
