//! Gaps: what can no longer be delivered is told once, before the events that follow, and exactly.
//! Shape: cause × topics × transport × engine; each cause makes the same log, in which `a.x` has lost
//! the events 2, 3 and 4 and everything else is there.

mod random;
mod slow;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidewire_bus::{Clock, Retention, RetentionRule, Session, SessionOptions};
use tidewire_client::Transport;
use tidewire_protocol::{Cursor, Epoch, Gap, GapReason, Pattern, StartAt, Topic};
use tidewire_server::{AuthConfig, GrantPattern, KeyConfig};
use tidewire_tests::{Case, Engine, Gateway, Settings, within};

/// Why `a.x` has lost its old events.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Count,
    Bytes,
    Age,
    Forgotten,
}

impl Cause {
    const ALL: [Self; 4] = [Self::Count, Self::Bytes, Self::Age, Self::Forgotten];

    /// It keeps the two newest events; or they are all that came after the others went.
    fn limits(self) -> Retention {
        let mut limits = UNBOUNDED;
        match self {
            Self::Count => limits.max_events = Some(2),
            // `,"data":5}` each.
            Self::Bytes => limits.max_bytes = Some(2 * 10),
            Self::Age => limits.max_age = Some(HOUR),
            Self::Forgotten => {}
        }
        limits
    }
}

/// A gateway with that log.
struct World {
    gateway: Gateway,
    /// The cursor after the first event of `a.x`.
    asked: String,
    /// What is retained: id, topic, data.
    retained: Vec<(String, &'static str, i64)>,
    /// Somebody who has been there all the time: the log in memory has everything for these patterns,
    /// also what retention has taken since.
    _watching: Session,
}

impl World {
    async fn new(cause: Cause, engine: Engine) -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_795_235_358_123));
        let read = Arc::clone(&now_ms);
        let gateway = Gateway::with(engine, |settings| {
            settings.clock = Clock::from_fn(move || read.load(Ordering::SeqCst));
            settings.rules = vec![rule("a.x", cause.limits())];
            let_forget(settings);
        });
        let watching = watch(
            &gateway,
            SETS.into_iter()
                .flat_map(|(topics, _)| topics.iter().copied()),
        )
        .await;
        let asked = gateway.publish("a.x", 1).await;
        for data in [2, 3, 4] {
            gateway.publish("a.x", data).await;
        }
        let mut world = Self {
            gateway,
            asked,
            retained: Vec::new(),
            _watching: watching,
        };
        world.publish("a.y", 10).await;
        world.publish("b.k", 20).await;
        match cause {
            Cause::Count | Cause::Bytes => {}
            Cause::Age => {
                let hour_ms = u64::try_from(HOUR.as_millis()).unwrap();
                now_ms.fetch_add(hour_ms + 1, Ordering::SeqCst);
                let topic = Topic::parse("a.x").unwrap();
                within(async {
                    while world.gateway.bus.topic(&topic).await.unwrap().retained > 0 {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
            }
            Cause::Forgotten => forget(&world.gateway, "a.x").await,
        }
        if matches!(cause, Cause::Age | Cause::Forgotten) {
            // Nothing has been published to the topic since, and what goes is known by the next answer.
            world.publish("end", 100).await;
            let asked = world.asked.clone();
            for transport in Transport::ALL {
                let lost = (GapReason::Evicted, &["a.*"][..], None);
                world.check(transport, &["a.*"], &asked, Some(lost)).await;
            }
        }
        for data in [5, 6] {
            world.publish("a.x", data).await;
        }
        world.publish("end", 100).await;
        world
    }

    async fn publish(&mut self, topic: &'static str, data: i64) -> String {
        let id = self.gateway.publish(topic, data).await;
        self.retained.push((id.clone(), topic, data));
        id
    }

    /// What these topics retain.
    fn matching(&self, topics: &[&str]) -> Vec<(String, i64)> {
        let matches = |topic: &str| topics.iter().any(|pattern| is_match(pattern, topic));
        let events = self.retained.iter().filter(|(_, topic, _)| matches(topic));
        events.map(|(id, _, data)| (id.clone(), *data)).collect()
    }

    /// Subscribes after a cursor and checks the gap, everything after it, and that nothing else comes
    /// before the next event. `lost`: the reason, the patterns, and where delivery goes on where that is
    /// not before the first event.
    async fn check(
        &mut self,
        transport: Transport,
        topics: &[&str],
        asked: &str,
        lost: Option<(GapReason, &[&str], Option<Cursor>)>,
    ) -> Option<Gap> {
        // Every set has this topic too, so that an end can be seen.
        let topics: Vec<&str> = topics.iter().copied().chain(["end"]).collect();
        let mut subscriber = self.gateway.subscribe(transport, &topics, asked).await;
        // A poll has no such word.
        let is_told = transport != Transport::Poll;
        assert!(
            !is_told || subscriber.resumed() == lost.is_none(),
            "{topics:?}"
        );
        let mut following = self.matching(&topics);
        let mut told = None;
        if let Some((reason, patterns, continues)) = lost {
            if continues.is_some() {
                following.clear();
            }
            let gap = subscriber.gap().await;
            assert_eq!(gap.reason, reason, "{topics:?}");
            assert_eq!(gap.after, asked);
            let all = gap.topics.iter().map(String::as_str);
            assert_eq!(sorted(all), sorted(patterns.iter().copied()), "{topics:?}");
            let continues = continues.unwrap_or_else(|| before(&following[0].0));
            assert_eq!(gap.cursor, continues.to_string(), "{topics:?}");
            told = Some(gap);
        }
        for (id, data) in following {
            let event = subscriber.event().await;
            assert_eq!(
                (event.id, event.data.unwrap().get().to_owned()),
                (id, data.to_string())
            );
        }
        let live = self.publish("end", 100 + self.retained.len() as i64).await;
        assert_eq!(subscriber.event().await.id, live, "nothing stands between");
        told
    }
}

/// Goal: what retention took, or somebody forgot, is told to those who had not had it, with exactly the
/// patterns that lost it; where delivery goes on is a place to resume without a gap; who lost nothing is
/// told nothing. Method: the same log made by four causes, over every transport and engine.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_told_once_and_exactly() {
    for cause in Cause::ALL {
        for engine in Engine::ALL {
            eprintln!("{cause:?} {engine:?}");
            let mut world = World::new(cause, engine).await;
            let asked = world.asked.clone();
            for (number, (topics, lost)) in SETS.into_iter().enumerate() {
                for transport in Transport::ALL {
                    let lost = (!lost.is_empty()).then_some((GapReason::Evicted, lost, None));
                    let gap = world.check(transport, topics, &asked, lost).await;
                    if let Some(gap) = gap {
                        let other = Transport::ALL[number % 3];
                        world.check(other, topics, &gap.cursor, None).await;
                    }
                }
            }
        }
    }
}

/// Goal: a cursor of another log, and one from the future, are told for every pattern and never stuck.
/// Method: delivery goes on with the oldest retained event, and at the head.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_cursor_and_one_of_the_future_are_gaps_of_every_pattern() {
    for engine in Engine::ALL {
        let mut world = World::new(Cause::Count, engine).await;
        let (epoch, _) = world.asked.split_once('-').unwrap();
        let future = Cursor::new(Epoch::parse(epoch).unwrap(), 1_000_000).to_string();
        for (topics, _) in SETS {
            for transport in Transport::ALL {
                eprintln!("{topics:?} {transport:?} {engine:?}");
                let all: Vec<&str> = topics.iter().copied().chain(["end"]).collect();
                let lost = (GapReason::Epoch, &all[..], None);
                world
                    .check(transport, topics, "foreign-41042", Some(lost))
                    .await;
                let lost = (GapReason::Unknown, &all[..], Some(world.gateway.bus.head()));
                world.check(transport, topics, &future, Some(lost)).await;
            }
        }
    }
}

/// Goal: a restart is told where the log is another one, and only there. Method: a cursor from before it,
/// resumed after it, on memory and on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_a_gap_where_the_log_does_not_outlive_it() {
    Case::each(|case| async move {
        for topics in [&["a.x"][..], &["a.*"], &["b", "a.x", "a.>"]] {
            let gateway = Gateway::start(case.engine);
            let asked = gateway.publish("a.x", 1).await;
            gateway.publish("a.x", 2).await;
            let gateway = gateway.restart(case.engine, |_| {}).await;
            gateway.publish("a.x", 3).await;
            let mut subscriber = gateway.subscribe(case.transport, topics, &asked).await;
            let is_told = case.transport != Transport::Poll;
            let is_kept = case.engine == Engine::Disk;
            assert!(!is_told || subscriber.resumed() == is_kept);
            if is_kept {
                assert_eq!(subscriber.data(2).await, [2, 3]);
                continue;
            }
            let gap = subscriber.gap().await;
            assert_eq!((gap.reason, gap.after), (GapReason::Epoch, asked));
            assert_eq!(gap.topics, topics);
            assert_eq!(gap.cursor, Cursor::new(gateway.bus.epoch(), 0).to_string());
            assert_eq!(subscriber.data(1).await, [3]);
        }
    })
    .await;
}

/// Goal: a hole behind the first event that is retained lies after the cursor of its own gap: who resumes
/// there is told again, the same, and who resumes behind the hole is not. Method: an event of another topic
/// before those that are lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_hole_behind_a_retained_event_is_told_until_it_is_passed() {
    Case::each(|case| async move {
        let gateway = Gateway::with(case.engine, |settings| {
            settings.rules = vec![rule("a.x", Cause::Count.limits())];
        });
        let asked = gateway.publish("a.x", 1).await;
        gateway.publish("a.y", 10).await;
        let mut ids = Vec::new();
        for data in 2..=6 {
            ids.push(gateway.publish("a.x", data).await);
        }
        let mut cursor = asked.clone();
        for _ in 0..2 {
            let mut subscriber = gateway.subscribe(case.transport, &["a.*"], &cursor).await;
            let gap = subscriber.gap().await;
            assert_eq!((gap.reason, gap.after), (GapReason::Evicted, cursor));
            assert_eq!(
                gap.cursor, asked,
                "just before the event of the other topic"
            );
            assert_eq!(subscriber.data(3).await, [10, 5, 6]);
            cursor = gap.cursor;
        }
        let mut subscriber = gateway.subscribe(case.transport, &["a.*"], &ids[2]).await;
        assert_eq!(subscriber.data(2).await, [5, 6]);
    })
    .await;
}

/// Goal: a gap is told once, however many reads of the engine follow. Method: a hole behind more bytes than
/// one read takes, and a small window.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_told_once_over_many_reads() {
    for engine in Engine::ALL {
        let gateway = Gateway::with(engine, |settings| {
            settings.rules = vec![rule("a.x", Cause::Count.limits())];
            settings.bus.window_max_events = 1;
        });
        let asked = gateway.publish("a.x", 1).await;
        let payload = "x".repeat(60_000);
        for _ in 0..20 {
            gateway.publish("a.y", payload.clone()).await;
        }
        for data in 2..=6 {
            gateway.publish("a.x", data).await;
        }
        for transport in [Transport::WebSocket, Transport::Sse] {
            let mut subscriber = gateway.subscribe(transport, &["a.*"], &asked).await;
            assert_eq!(subscriber.gap().await.topics, ["a.*"]);
            let data = subscriber.data(22).await;
            assert_eq!(data[20..], [5, 6]);
        }
    }
}

/// Goal: what a topic retains is read with the same gaps. Method: each cause; a page at a time; cursors of
/// this log, of another one and of the future; a topic beside the one that lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_topic_tells_gaps_too() {
    for cause in Cause::ALL {
        for engine in Engine::ALL {
            eprintln!("{cause:?} {engine:?}");
            let world = World::new(cause, engine).await;
            let (gateway, asked) = (&world.gateway, &world.asked);
            let kept = world.matching(&["a.x"]);
            let head = gateway.bus.head();
            let gap = |after: &str, cursor: Cursor, reason: &str| json!({"topics": ["a.x"], "after": after, "cursor": cursor.to_string(), "reason": reason});
            let first = before(&kept[0].0);
            let future = Cursor::new(head.epoch, 1_000_000).to_string();
            let cases = [
                (asked.as_str(), gap(asked, first, "evicted"), 2),
                ("foreign-41042", gap("foreign-41042", first, "epoch"), 2),
                (&future, gap(&future, head, "unknown"), 0),
                (&first.to_string(), Value::Null, 2),
                (&kept[0].0, Value::Null, 1),
            ];
            for (after, gap, events) in cases {
                for order in ["asc", "desc"] {
                    let page =
                        history(gateway, &format!("a.x/events?after={after}&order={order}")).await;
                    assert_eq!(page["gap"], gap, "{after} {order}");
                    assert_eq!(
                        page["events"].as_array().unwrap().len(),
                        events,
                        "{after} {order}"
                    );
                }
            }
            let page = history(gateway, "a.x/events").await;
            assert_eq!(
                page["gap"],
                Value::Null,
                "who gives no cursor has lost nothing"
            );
            let page = history(gateway, &format!("a.y/events?after={asked}")).await;
            assert_eq!(page["gap"], Value::Null, "another topic lost nothing");

            let page = history(gateway, &format!("a.x/events?after={asked}&limit=1")).await;
            assert_eq!(
                (&page["gap"]["reason"], &page["more"]),
                (&json!("evicted"), &json!(true))
            );
            let cursor = page["cursor"].as_str().unwrap();
            let page = history(gateway, &format!("a.x/events?after={cursor}&limit=1")).await;
            assert_eq!(page["gap"], Value::Null, "it was told on the first page");
            assert_eq!(page["events"][0]["data"], 6);
        }
    }
}

/// Goal: the last cursor received is a safe place, also before a gap is told. Method: keep 2, publish 6,
/// cut between `hello` and the gap, resume with the cursor of `hello`.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_hello_and_the_gap_does_not_hide_the_gap() {
    for engine in Engine::ALL {
        let gateway = Gateway::with(engine, |settings| settings.retention.max_events = Some(2));
        let first = gateway.publish("a", 1).await;
        for data in 2..=6 {
            gateway.publish("a", data).await;
        }
        for transport in [Transport::WebSocket, Transport::Sse] {
            let cut = gateway.subscribe(transport, &["a"], &first).await;
            let cursor = cut.cursor().to_owned();
            drop(cut);
            let mut subscriber = gateway.subscribe(transport, &["a"], &cursor).await;
            assert!(!subscriber.resumed());
            assert_eq!(subscriber.gap().await.reason, GapReason::Evicted);
            assert_eq!(subscriber.data(2).await, [5, 6]);
        }
    }
}

/// A session of these patterns that reads nothing.
async fn watch(gateway: &Gateway, patterns: impl Iterator<Item = &'static str>) -> Session {
    let mut session = gateway.bus.open(SessionOptions::default());
    let patterns = patterns.map(|pattern| Pattern::parse(pattern).unwrap());
    let patterns = patterns.chain([Pattern::parse("end").unwrap()]).collect();
    session.subscribe(patterns, StartAt::Now).await.unwrap();
    session
}

async fn history(gateway: &Gateway, path: &str) -> Value {
    let (status, body) = gateway
        .ask("GET", &format!("/topics/{path}"), &[], "")
        .await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Gives the holder of [`AUTHORIZATION`] the right to forget; everybody else may what they always may.
fn let_forget(settings: &mut Settings) {
    let all = vec![GrantPattern::parse(">").unwrap()];
    settings.server.auth = AuthConfig {
        keys: vec![KeyConfig {
            name: "tests".into(),
            sha256: "e058567aec88596c0e58341bf112fe55029b19828eb2d2241b846b1af69fe6f2".into(),
            publish: all.clone(),
            subscribe: all.clone(),
            forget: all,
            ..KeyConfig::default()
        }],
        ..AuthConfig::default()
    };
}

async fn forget(gateway: &Gateway, topic: &str) {
    let path = format!("/topics/{topic}/events");
    let (status, body) = gateway.ask("DELETE", &path, &[AUTHORIZATION], "").await;
    assert!((200..300).contains(&status), "{status} {body}");
}

fn rule(topics: &str, limits: Retention) -> RetentionRule {
    RetentionRule {
        topics: Pattern::parse(topics).unwrap(),
        limits,
    }
}

/// The cursor just before an event.
fn before(id: &str) -> Cursor {
    let id = Cursor::parse(id).unwrap();
    Cursor::new(id.epoch, id.place - 1)
}

fn is_match(pattern: &str, topic: &str) -> bool {
    Pattern::parse(pattern)
        .unwrap()
        .matches(&Topic::parse(topic).unwrap())
}

fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sorted: Vec<_> = texts.collect();
    sorted.sort_unstable();
    sorted
}

/// What is subscribed, and what of it lost something when `a.x` did.
const SETS: [(&[&str], &[&str]); 9] = [
    (&["a.x"], &["a.x"]),
    (&["a.*"], &["a.*"]),
    (&[">"], &[">"]),
    (&["a.x", "b.k"], &["a.x"]),
    (&["b.*", "a.*"], &["a.*"]),
    (&["b.k", "a.>", "a.x", "a.y"], &["a.>", "a.x"]),
    (&["a.y", "b.k"], &[]),
    (&["b.>", "*.y"], &[]),
    (&["nobody", "none.*"], &[]),
];
const UNBOUNDED: Retention = Retention {
    max_events: None,
    max_bytes: None,
    max_age: None,
};
const HOUR: Duration = Duration::from_secs(3_600);
const AUTHORIZATION: (&str, &str) = ("Authorization", "Bearer the key of the tests");
