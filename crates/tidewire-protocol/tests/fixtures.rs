//! The golden fixtures: one JSON file holds input and exact text, for Rust here and for TypeScript in
//! `web/`. A changed fixture is a changed protocol.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use tidewire_protocol::{
    Bye, ClientFrame, CloseReason, Code, Cursor, Epoch, Event, EventBody, EventType, FrameError,
    Gap, Hb, Hello, HistoryQuery, OneOrMany, Pattern, Payload, Problem, ReceivedEvent,
    ReceivedFrame, ReceivedPoll, Retry, ServerFrame, StartAt, SubscribeQuery, Topic, encode_poll,
    event_stream::{self, Parser},
};

macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../fixtures/", $name))).unwrap()
    };
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    array(value).iter().map(text).collect()
}

/// An event and each of its wire forms.
#[test]
fn events_have_exactly_these_bytes_on_each_transport() {
    for case in array(&fixture!("event.json")["cases"]) {
        let (name, input) = (text(&case["name"]), &case["input"]);
        let body = BASE64_STANDARD
            .decode(text(&input["payload_base64"]))
            .unwrap();
        let payload = Payload::from_content(input["content_type"].as_str(), &body).unwrap();
        let event_type = input["type"]
            .as_str()
            .map(|text| EventType::parse(text).unwrap());
        let epoch = Epoch::parse(text(&input["epoch"])).unwrap();
        let event = Event::new(
            Cursor::new(epoch, text(&input["place"]).parse().unwrap()),
            Topic::parse(text(&input["topic"])).unwrap(),
            input["time"].as_u64().unwrap(),
            &EventBody::new(event_type.as_ref(), &payload),
        );

        assert_eq!(event.json(), text(&case["json"]), "{name}");
        assert_eq!(event_stream::event(&event), text(&case["sse"]), "{name}");
        assert_eq!(
            event_stream::event_data(&event),
            text(&case["sse_data"]),
            "{name}"
        );

        let received = ReceivedEvent::parse(text(&case["json"])).unwrap();
        assert_eq!(received.id, event.id().to_string(), "{name}");
        assert_eq!(
            received.event_type.as_deref(),
            input["type"].as_str(),
            "{name}"
        );
    }
}

#[test]
fn cursors_have_one_text_each_and_sort_by_it() {
    let cursors = fixture!("cursor.json");
    for case in array(&cursors["valid"]) {
        let epoch = Epoch::parse(text(&case["epoch"])).unwrap();
        let cursor = Cursor::new(epoch, text(&case["place"]).parse().unwrap());
        assert_eq!(cursor.to_string(), text(&case["text"]));
        assert_eq!(Cursor::parse(text(&case["text"])), Ok(cursor));
    }
    let sorted: Vec<Cursor> = texts(&cursors["sorted"])
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    assert!(sorted.is_sorted_by_key(|cursor| cursor.place));
    assert!(texts(&cursors["sorted"]).is_sorted());
    for text in texts(&cursors["invalid"]) {
        assert!(Cursor::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn patterns_match_and_cover_what_they_should() {
    let patterns = fixture!("pattern.json");
    for text in texts(&patterns["topics"]["valid"]) {
        assert_eq!(Topic::parse(text).unwrap().as_str(), text);
        assert!(Pattern::parse(text).unwrap().as_topic().is_some());
    }
    for text in texts(&patterns["topics"]["invalid"]) {
        assert!(Topic::parse(text).is_err(), "{text:?}");
    }
    for text in texts(&patterns["patterns"]["valid"]) {
        assert_eq!(Pattern::parse(text).unwrap().as_str(), text);
    }
    for text in texts(&patterns["patterns"]["invalid"]) {
        assert!(Pattern::parse(text).is_err(), "{text:?}");
    }
    for case in array(&patterns["matches"]) {
        let pattern = Pattern::parse(text(&case["pattern"])).unwrap();
        let topic = Topic::parse(text(&case["topic"])).unwrap();
        assert_eq!(pattern.matches(&topic), case["match"], "{case}");
    }
    for case in array(&patterns["covers"]) {
        let wide = Pattern::parse(text(&case["wide"])).unwrap();
        let narrow = Pattern::parse(text(&case["narrow"])).unwrap();
        assert_eq!(wide.covers(&narrow), case["covers"], "{case}");
    }
}

#[test]
fn client_frames_are_read_or_refused_as_written() {
    for case in array(&fixture!("frame.json")["client"]) {
        let reference = case["ref"].as_str();
        match ClientFrame::parse(text(&case["text"])) {
            Ok(frame) => {
                assert_eq!(frame.op(), case["op"], "{case}");
                assert_eq!(frame.reference().map(RawValue::get), reference, "{case}");
                assert_members(&frame, case);
            }
            Err(FrameError::NotAnObject { .. }) => assert_eq!(case["close"], 4000, "{case}"),
            Err(FrameError::Bad {
                reference: echoed,
                code,
                ..
            }) => {
                assert_eq!(case["error"], code.as_str(), "{case}");
                assert_eq!(echoed.as_deref().map(RawValue::get), reference, "{case}");
            }
        }
    }
}

fn assert_members(frame: &ClientFrame, case: &Value) {
    let topics: Vec<&str> = match frame {
        ClientFrame::Subscribe { topics, start, .. } => {
            assert_eq!(*start, start_of(case), "{case}");
            topics.iter().map(Pattern::as_str).collect()
        }
        ClientFrame::Unsubscribe { topics, .. } => topics.iter().map(Pattern::as_str).collect(),
        ClientFrame::Publish { publish, .. } => {
            let body = EventBody::new(publish.event_type.as_ref(), &publish.payload);
            assert_eq!(body.as_bytes(), text(&case["body"]), "{case}");
            assert_eq!(publish.key.as_deref(), case["key"].as_str(), "{case}");
            match &publish.topics {
                OneOrMany::One(topic) => vec![topic.as_str()],
                OneOrMany::Many(topics) => panic!("{topics:?}"),
            }
        }
        ClientFrame::Presence { topic, .. }
        | ClientFrame::Enter { topic, .. }
        | ClientFrame::Leave { topic, .. } => vec![topic.as_str()],
        ClientFrame::Auth { .. } | ClientFrame::Ping { .. } => return,
    };
    assert_eq!(topics, texts(&case["topics"]), "{case}");
}

/// `after` or `last` of a case.
fn start_of(case: &Value) -> Option<StartAt> {
    if let Some(last) = case["last"].as_u64() {
        return Some(StartAt::Last(last.try_into().unwrap()));
    }
    case["after"]
        .as_str()
        .map(|text| StartAt::from_after(text).unwrap())
}

fn members<T: serde::de::DeserializeOwned>(case: &Value) -> T {
    serde_json::from_value(case["members"].clone()).unwrap()
}

#[test]
fn server_frames_and_blocks_have_exactly_these_bytes() {
    for case in array(&fixture!("frame.json")["server"]) {
        let given = &case["members"];
        let reference = given
            .get("ref")
            .map(|value| RawValue::from_string(value.to_string()).unwrap());
        let reference = reference.as_deref();
        let cursor = |name: &str| given[name].as_str().map(|text| text.parse().unwrap());
        let (frame, block) = match text(&case["op"]) {
            "ok" => {
                let ok = ServerFrame::Ok {
                    reference,
                    cursor: cursor("cursor"),
                    resumed: given["resumed"].as_bool(),
                    id: cursor("id"),
                    duplicate: given["duplicate"].as_bool().unwrap_or(false),
                    expires: given["expires"].as_u64(),
                };
                (ok.encode(), None)
            }
            "error" => {
                let error = ServerFrame::Error {
                    reference,
                    code: text(&given["code"]).parse().unwrap(),
                    message: text(&given["message"]),
                };
                (error.encode(), None)
            }
            "pong" => (ServerFrame::Pong { reference }.encode(), None),
            "hello" => {
                let hello: Hello = members(case);
                let block = event_stream::hello(&hello, &hello.cursor);
                (ServerFrame::Hello(&hello).encode(), Some(block))
            }
            "gap" => {
                let gap: Gap = members(case);
                (
                    ServerFrame::Gap(&gap).encode(),
                    Some(event_stream::gap(&gap)),
                )
            }
            "hb" => {
                let hb: Hb = members(case);
                (ServerFrame::Hb(&hb).encode(), Some(event_stream::hb(&hb)))
            }
            "bye" => {
                let bye: Bye = members(case);
                (
                    ServerFrame::Bye(&bye).encode(),
                    Some(event_stream::bye(&bye)),
                )
            }
            other => panic!("{other}"),
        };
        assert_eq!(frame, text(&case["text"]));
        assert_eq!(block.as_deref(), case["sse"].as_str().map(str::as_bytes));
        assert!(!matches!(
            ReceivedFrame::parse(frame).unwrap(),
            ReceivedFrame::Unknown { .. }
        ));
    }
}

#[test]
fn poll_answers_have_exactly_these_bytes() {
    for case in array(&fixture!("poll.json")["cases"]) {
        let gap: Option<Gap> = case
            .get("gap")
            .map(|gap| serde_json::from_value(gap.clone()).unwrap());
        let events: Vec<Bytes> = texts(&case["events"])
            .into_iter()
            .map(|event| Bytes::from(event.to_owned()))
            .collect();
        let answer = encode_poll(
            text(&case["cursor"]),
            gap.as_ref(),
            events.iter(),
            case["more"].as_bool().unwrap(),
            case["skipped"].as_u64().unwrap(),
            case["stale"].as_bool().unwrap(),
        );
        assert_eq!(answer, text(&case["text"]));

        let received = ReceivedPoll::parse(text(&case["text"])).unwrap();
        assert_eq!(received.gap, gap);
        let back: Vec<_> = received.events.iter().map(|event| event.get()).collect();
        assert_eq!(back, texts(&case["events"]));
    }
}

#[test]
fn every_code_has_its_status_and_its_problem() {
    let problems = fixture!("problem.json");
    let cases = array(&problems["cases"]);
    assert_eq!(cases.len(), Code::all().count());
    for case in cases {
        let code: Code = text(&case["code"]).parse().unwrap();
        assert_eq!(code.status(), case["status"]);
        let mut problem = Problem::new(code, text(&case["message"]));
        problem.retry_after_s = case["retry_after_s"].as_u64();
        assert_eq!(problem.to_json(), text(&case["text"]));
        assert_eq!(
            serde_json::from_str::<Problem>(text(&case["text"])).unwrap(),
            problem
        );
    }
}

#[test]
fn every_close_code_says_what_to_do() {
    let closes = fixture!("close.json");
    let word = |retry| match retry {
        Retry::Never => "never",
        Retry::BackOff => "back_off",
        Retry::Resume => "resume",
    };
    let code = |case: &Value| u16::try_from(case["code"].as_u64().unwrap()).unwrap();
    let reasons = array(&closes["reasons"]);
    assert_eq!(reasons.len(), CloseReason::all().count());
    for case in reasons {
        let reason = CloseReason::from_code(code(case)).unwrap();
        assert_eq!(
            (reason.reason(), word(reason.retry())),
            (text(&case["reason"]), text(&case["retry"]))
        );
    }
    for case in array(&closes["others"]) {
        assert_eq!(CloseReason::from_code(code(case)), None);
        assert_eq!(word(Retry::from_code(code(case))), case["retry"], "{case}");
    }
}

#[test]
fn queries_are_read_or_refused_as_written() {
    let queries = fixture!("query.json");
    let topics_max = usize::try_from(queries["topics_max"].as_u64().unwrap()).unwrap();
    for case in array(&queries["subscribe"]["good"]) {
        let query = SubscribeQuery::parse(text(&case["query"]), topics_max)
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let topics: Vec<_> = query.topics.iter().map(Pattern::as_str).collect();
        assert_eq!(topics, texts(&case["topics"]), "{case}");
        assert_eq!(query.start, start_of(case), "{case}");
        let wait_ms = u64::try_from(query.wait.as_millis()).unwrap();
        assert_eq!(
            wait_ms,
            case["wait_ms"].as_u64().unwrap_or(25_000),
            "{case}"
        );
        assert_eq!(
            u64::from(query.limit),
            case["limit"].as_u64().unwrap_or(100),
            "{case}"
        );
        for (read, name) in [
            (query.conflate, "conflate"),
            (query.presence, "presence"),
            (query.format_data, "format_data"),
        ] {
            assert_eq!(read, case[name].as_bool().unwrap_or(false), "{case}");
        }
        let data = query.presence_data.as_deref().map(RawValue::get);
        assert_eq!(data, case["presence_data"].as_str(), "{case}");
        assert_eq!(query.ticket.as_deref(), case["ticket"].as_str(), "{case}");
    }
    for case in array(&queries["subscribe"]["bad"]) {
        let refused = SubscribeQuery::parse(text(&case["query"]), topics_max);
        let Err(error) = refused else {
            panic!("{case}");
        };
        assert_refused(&error.into(), case);
    }
    for case in array(&queries["history"]["good"]) {
        let query = HistoryQuery::parse(text(&case["query"])).unwrap();
        let shown = |cursor: Option<Cursor>| cursor.map(|cursor| cursor.to_string());
        assert_eq!(
            shown(query.after).as_deref(),
            case["after"].as_str(),
            "{case}"
        );
        assert_eq!(
            shown(query.before).as_deref(),
            case["before"].as_str(),
            "{case}"
        );
        assert_eq!(
            u64::from(query.limit),
            case["limit"].as_u64().unwrap_or(100),
            "{case}"
        );
        assert_eq!(
            query.descending,
            case["descending"].as_bool().unwrap_or(false),
            "{case}"
        );
    }
    for case in array(&queries["history"]["bad"]) {
        assert_refused(
            &HistoryQuery::parse(text(&case["query"]))
                .unwrap_err()
                .into(),
            case,
        );
    }
}

/// The code, and the parameter in front of the sentence.
fn assert_refused(problem: &Problem, case: &Value) {
    assert_eq!(problem.code.as_str(), case["code"], "{case}: {problem}");
    let parameter = format!("{}: ", text(&case["parameter"]));
    assert!(problem.message.starts_with(&parameter), "{case}: {problem}");
}

#[test]
fn event_streams_are_read_the_same_wherever_they_are_split() {
    for case in array(&fixture!("event_stream.json")["cases"]) {
        let bytes = match case["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => BASE64_STANDARD.decode(text(&case["base64"])).unwrap(),
        };
        let wanted: Vec<[&str; 3]> = array(&case["blocks"])
            .iter()
            .map(|block| ["event", "data", "id"].map(|name| text(&block[name])))
            .collect();
        let splits = (0..=bytes.len()).map(|cut| vec![&bytes[..cut], &bytes[cut..]]);
        for chunks in splits.chain([bytes.chunks(1).collect()]) {
            let mut parser = Parser::new(1024);
            let mut blocks = Vec::new();
            for chunk in &chunks {
                blocks.extend(parser.push(chunk).unwrap());
            }
            let read: Vec<[&str; 3]> = blocks
                .iter()
                .map(|block| {
                    [
                        &block.event,
                        &block.data,
                        block.id.as_deref().unwrap_or_default(),
                    ]
                })
                .collect();
            assert_eq!(read, wanted, "{} as {chunks:?}", case["name"]);
            if let Some(retry_ms) = case["retry_ms"].as_u64() {
                assert_eq!(parser.retry_ms(), Some(retry_ms), "{}", case["name"]);
            }
        }
    }
}
