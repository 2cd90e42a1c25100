//! One key, one event: on every surface, at the same time, over restarts and over answers that were lost.
//! Shape: a key is used on each surface in turn; what came of it is read back by a subscriber.

mod lost;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidewire_bus::Clock;
use tidewire_client::Transport;
use tidewire_server::{AuthConfig, GrantPattern, KeyConfig};
use tidewire_tests::{Engine, Executable, Frames, Gateway, within};

/// Where one event can be published with a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surface {
    /// `POST /topics/{topic}` with the header.
    Topic,
    /// `POST /publish` with the header.
    Header,
    /// `POST /publish` with `key`.
    Member,
    /// An element of an array, with `key`.
    Element,
    /// A line of NDJSON, with `key`.
    Line,
    /// A frame of a WebSocket.
    Frame,
}

impl Surface {
    const ALL: [Self; 6] = [
        Self::Topic,
        Self::Header,
        Self::Member,
        Self::Element,
        Self::Line,
        Self::Frame,
    ];
}

/// What a publish was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    New(String),
    Duplicate(String),
    Refused(String),
}

impl Told {
    fn of(answer: &Value) -> Self {
        let text = |name: &str| {
            answer[name]
                .as_str()
                .unwrap_or_else(|| panic!("{answer}"))
                .to_owned()
        };
        match (answer.get("id"), answer["duplicate"].as_bool()) {
            (None, _) => Self::Refused(text("code")),
            (Some(_), Some(true)) => Self::Duplicate(text("id")),
            (Some(_), _) => Self::New(text("id")),
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::New(id) | Self::Duplicate(id) => id,
            Self::Refused(code) => panic!("it was refused: {code}"),
        }
    }
}

/// Publishes one event to the topic `n`.
async fn publish(gateway: &Gateway, surface: Surface, data: &Value, key: &str) -> Told {
    let header = ("Idempotency-Key", key);
    let event = json!({"topic": "n", "data": data});
    let with_key = json!({"topic": "n", "data": data, "key": key});
    let kind = |kind| ("Content-Type", kind);
    let json = kind("application/json");
    let beside = json!({"topic": "$own", "data": 0});
    let (path, headers, body) = match surface {
        Surface::Topic => ("/topics/n", vec![json, header], data.to_string()),
        Surface::Header => ("/publish", vec![json, header], event.to_string()),
        Surface::Member => ("/publish", vec![json], with_key.to_string()),
        Surface::Element => ("/publish", vec![json], format!("[{beside},{with_key}]")),
        Surface::Line => (
            "/publish",
            vec![kind("application/x-ndjson")],
            format!("{beside}\n{with_key}\n"),
        ),
        Surface::Frame => {
            let mut frames = Frames::open(&gateway.url, &gateway.certificate()).await;
            return Told::of(&frames.publish("n", data, key).await);
        }
    };
    let (status, answer) = gateway.ask("POST", path, &headers, &body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    if matches!(surface, Surface::Element | Surface::Line) {
        assert_eq!(
            (status, answer[0]["code"].as_str()),
            (200, Some("forbidden"))
        );
        return Told::of(&answer[1]);
    }
    let told = Told::of(&answer);
    let expected = match told {
        Told::New(_) => 201,
        Told::Duplicate(_) => 200,
        Told::Refused(_) => 409,
    };
    assert_eq!(status, expected, "{answer}");
    told
}

/// The ids of everything that there is, oldest first.
async fn everything(gateway: &Gateway) -> Vec<String> {
    let mut subscriber = gateway
        .subscribe(Transport::Sse, &["n", "end"], "start")
        .await;
    let end = gateway.publish("end", 0).await;
    let mut ids = Vec::new();
    loop {
        let event = subscriber.event().await;
        if event.id == end {
            return ids;
        }
        if event.topic == "n" {
            ids.push(event.id);
        }
    }
}

/// Goal: a key that was used on any surface is known on every other; another payload is refused, and in an
/// array for that element alone. Method: for each surface a key that is used there first, then on all of
/// them, with the same payload and with another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_used_on_one_surface_is_known_on_every_other() {
    for engine in Engine::ALL {
        let gateway = Gateway::start(engine);
        let mut ids = Vec::new();
        for first in Surface::ALL {
            let (data, key) = (json!({"first": format!("{first:?}")}), format!("{first:?}"));
            let Told::New(id) = publish(&gateway, first, &data, &key).await else {
                panic!("{first:?} is the first use of its key");
            };
            for surface in Surface::ALL {
                eprintln!("{first:?}, then {surface:?} on {engine:?}");
                let again = publish(&gateway, surface, &data, &key).await;
                assert_eq!(again, Told::Duplicate(id.clone()));
                let other = publish(&gateway, surface, &json!({"first": 1}), &key).await;
                assert_eq!(other, Told::Refused("key_reused".into()));
            }
            ids.push(id);
        }
        assert_eq!(everything(&gateway).await, ids);
    }
}

/// A key, a content type, and the body that it makes of three numbers.
type Form<'a> = (&'a str, &'a str, &'a dyn Fn([i64; 3]) -> String);

/// Goal: one header stands for every element of a request, each under its number. Method: an array, NDJSON
/// and several topics, repeated, repeated with one element changed, and a shorter one.
#[tokio::test(flavor = "multi_thread")]
async fn one_header_stands_for_each_element_by_its_number() {
    for engine in Engine::ALL {
        let gateway = Gateway::start(engine);
        let elements = |data: [i64; 3]| data.map(|data| json!({"topic": "n", "data": data}));
        let array = |data| json!(elements(data)).to_string();
        let lines = |data| elements(data).map(|element| element.to_string()).join("\n");
        let topics =
            |data: [i64; 3]| json!({"topics": ["n", "m", "k"], "data": data[2]}).to_string();
        let forms: [Form<'_>; 3] = [
            ("array", "application/json", &array),
            ("lines", "application/x-ndjson", &lines),
            ("topics", "application/json", &topics),
        ];
        for (key, kind, body) in forms {
            let send = async |data| {
                let headers = [("Content-Type", kind), ("Idempotency-Key", key)];
                let (status, answer) = gateway.ask("POST", "/publish", &headers, &body(data)).await;
                assert_eq!(status, 200, "{answer}");
                let answer: Vec<Value> = serde_json::from_str(&answer).unwrap();
                answer.iter().map(Told::of).collect::<Vec<_>>()
            };
            let first = send([1, 2, 3]).await;
            assert!(
                first.iter().all(|told| matches!(told, Told::New(_))),
                "{first:?}"
            );
            let duplicates: Vec<_> = first
                .iter()
                .map(|told| Told::Duplicate(told.id().into()))
                .collect();
            assert_eq!(send([1, 2, 3]).await, duplicates);
            let mut changed = duplicates.clone();
            let refused = Told::Refused("key_reused".into());
            if key == "topics" {
                changed.fill(refused);
            } else {
                changed[2] = refused;
            }
            assert_eq!(send([1, 2, 4]).await, changed, "{key}");
        }
    }
}

/// Goal: a key counts within one request too. Method: an array whose elements have the same key, with the
/// same payload and with another.
#[tokio::test(flavor = "multi_thread")]
async fn elements_with_one_key_are_one_event() {
    for engine in Engine::ALL {
        let gateway = Gateway::start(engine);
        let element = |data| json!({"topic": "n", "data": data, "key": "same"});
        let body = json!([element(1), element(1), element(2)]).to_string();
        let headers = [("Content-Type", "application/json")];
        let (_, answer) = gateway.ask("POST", "/publish", &headers, &body).await;
        let answer: Vec<Value> = serde_json::from_str(&answer).unwrap();
        let told: Vec<_> = answer.iter().map(Told::of).collect();
        let id = told[0].id().to_owned();
        let refused = Told::Refused("key_reused".into());
        assert_eq!(
            told,
            [Told::New(id.clone()), Told::Duplicate(id.clone()), refused]
        );
        assert_eq!(everything(&gateway).await, [id]);
    }
}

/// Goal: of publishes with one key at the same time exactly one is an event. Method: fifty at once, over
/// every surface.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_publishes_with_one_key_at_once_are_one_event() {
    for engine in Engine::ALL {
        let gateway = Gateway::start(engine);
        let data = json!("one");
        let surfaces = Surface::ALL.into_iter().cycle().take(50);
        let publishes = surfaces.map(|surface| publish(&gateway, surface, &data, "same"));
        let told = within(join_all(publishes)).await;
        let new = told
            .iter()
            .filter(|told| matches!(told, Told::New(_)))
            .count();
        assert_eq!(new, 1, "{told:?}");
        assert!(
            told.iter().all(|other| other.id() == told[0].id()),
            "{told:?}"
        );
        assert_eq!(everything(&gateway).await, [told[0].id()]);
    }
}

/// Goal: two publishers never meet in a key, and neither do two topics. Method: one key by somebody without
/// credentials, by the holder of an API key, and to another topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_for_one_publisher_and_one_topic() {
    for engine in Engine::ALL {
        let gateway = Gateway::with(engine, |settings| {
            let all = vec![GrantPattern::parse(">").unwrap()];
            settings.server.auth = AuthConfig {
                keys: vec![KeyConfig {
                    name: "tests".into(),
                    sha256: "e058567aec88596c0e58341bf112fe55029b19828eb2d2241b846b1af69fe6f2"
                        .into(),
                    publish: all,
                    ..KeyConfig::default()
                }],
                ..AuthConfig::default()
            };
        });
        let key = ("Idempotency-Key", "same");
        let publisher = ("Authorization", "Bearer the key of the tests");
        for expected in [201, 200] {
            for (path, headers) in [
                ("/topics/n", &[key][..]),
                ("/topics/n", &[key, publisher]),
                ("/topics/m", &[key]),
            ] {
                let (status, answer) = gateway.ask("POST", path, headers, "1").await;
                assert_eq!(status, expected, "{path} {headers:?} {answer}");
            }
        }
    }
}

/// Goal: the window is the configured one, to the millisecond. Method: the engine's clock is moved to its
/// end and one beyond; on disk also over a restart within it and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_for_the_configured_window_and_no_longer() {
    for engine in Engine::ALL {
        let now_ms = Arc::new(AtomicU64::new(1_795_235_358_123));
        let set = |settings: &mut tidewire_tests::Settings| {
            let read = Arc::clone(&now_ms);
            settings.clock = Clock::from_fn(move || read.load(Ordering::SeqCst));
            settings.idempotency_window = Duration::from_secs(7);
        };
        let mut gateway = Gateway::with(engine, set);
        let mut ids = Vec::new();
        for surface in Surface::ALL {
            let told = publish(&gateway, surface, &json!(1), "k").await;
            assert!(matches!(told, Told::New(_)), "{surface:?}: {told:?}");
            now_ms.fetch_add(7_000, Ordering::SeqCst);
            if engine == Engine::Disk {
                gateway = gateway.restart(engine, set).await;
            }
            let again = publish(&gateway, surface, &json!(1), "k").await;
            assert_eq!(again, Told::Duplicate(told.id().into()));
            ids.push(told.id().to_owned());
            now_ms.fetch_add(1, Ordering::SeqCst);
            if engine == Engine::Disk && surface == Surface::Frame {
                gateway = gateway.restart(engine, set).await;
            }
        }
        let told = publish(&gateway, Surface::Member, &json!(2), "k").await;
        assert!(
            matches!(told, Told::New(_)),
            "another payload, after the window: {told:?}"
        );
        ids.push(told.id().to_owned());
        assert_eq!(everything(&gateway).await, ids);
    }
}

/// Goal: the window of the executable is configured too. Method: one second; the same key is used until it
/// is a new event, which by default it would not be before the deadline of the tests.
#[tokio::test(flavor = "multi_thread")]
async fn the_window_of_the_executable_is_configured() {
    let folder = Executable::folder();
    let window = [("TIDEWIRE_IDEMPOTENCY_WINDOW", "1s")];
    let gateway = Executable::with(folder.path(), Engine::Disk, "127.0.0.1:0", &window).await;
    let client = gateway.client();
    let event = tidewire_client::NewEvent::json("n", &1).unwrap().key("k");
    let first = client.publish(&event).await.unwrap();
    assert!(!first.duplicate);
    within(async { while client.publish(&event).await.unwrap().duplicate {} }).await;
}

/// Goal: a key is as durable as its event. Method: a repeat after a restart in order, on both engines: on
/// memory it is another log.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_outlives_a_restart_where_its_event_does() {
    for engine in Engine::ALL {
        let mut gateway = Gateway::start(engine);
        let first = publish(&gateway, Surface::Topic, &json!(1), "k").await;
        for surface in Surface::ALL {
            gateway = gateway.restart(engine, |_| {}).await;
            let again = publish(&gateway, surface, &json!(1), "k").await;
            match engine {
                Engine::Disk => assert_eq!(again, Told::Duplicate(first.id().into())),
                Engine::Memory => assert!(matches!(again, Told::New(_)), "{again:?}"),
            }
        }
        assert_eq!(everything(&gateway).await.len(), 1);
    }
}

/// Goal: a key that a publisher chooses never runs into the key of an element. Method: a single publish
/// with a key that looks like the first element's, then an array under that header.
#[tokio::test(flavor = "multi_thread")]
async fn an_element_of_an_array_has_a_key_of_its_own() {
    for engine in Engine::ALL {
        let gateway = Gateway::start(engine);
        for key in ["a#0", "a0", "a\u{20}0", "a-0"] {
            let told = publish(&gateway, Surface::Member, &json!(1), key).await;
            assert!(matches!(told, Told::New(_)), "{key}");
        }
        let body = r#"[{"topic":"n","data":2},{"topic":"n","data":3}]"#;
        for duplicates in [0, 2] {
            let answer = gateway
                .post("/publish", &[("Idempotency-Key", "a")], body)
                .await;
            assert_eq!(
                answer.matches("\"duplicate\":true").count(),
                duplicates,
                "{answer}"
            );
        }
        assert_eq!(everything(&gateway).await.len(), 6);
    }
}
