//! The conformance suite that every engine passes (feature `testing`).
//! Shape: random steps against an engine and against a model of one vector; both must agree at each
//! step. A failing sequence shrinks to a short one, and proptest prints it.
//! Source: [`crate::engine::Engine`], "The contract".
//!
//! A new engine writes `contract::holds(|| …)` in a test of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidewire_protocol::{EventBody, Pattern, StartAt, Topic};

use crate::engine::{Read, Seek};
use crate::{
    Append, AppendError, Bus, BusConfig, Engine, IdempotencyKey, Retention, RetentionRule,
    RetentionTable, SessionOptions,
};

/// An engine under test, and how to close and open it again. An engine that keeps nothing gives
/// `None` when it is opened again.
pub trait Subject {
    /// Opens the engine under these rules.
    fn open(&mut self, retention: RetentionTable) -> BoxFuture<'_, std::sync::Arc<dyn Engine>>;

    /// Stops it and opens it again; `None` where nothing survives a stop.
    fn reopen(
        &mut self,
        engine: std::sync::Arc<dyn Engine>,
        retention: RetentionTable,
    ) -> BoxFuture<'_, Option<std::sync::Arc<dyn Engine>>>;
}

/// Runs the suite, on `cases` random sequences.
///
/// # Panics
/// When the engine breaks the contract; the message has the shortest sequence that was found.
pub fn holds<S: Subject>(cases: u32, make: impl Fn() -> S) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    });
    let steps = prop::collection::vec(step(), 1..60);
    let result = runner.run(&(steps, any::<bool>()), |(steps, is_windowed)| {
        runtime.block_on(run(&mut make(), &steps, is_windowed))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, u64, Option<u8>)>),
    Forget(usize),
    Read {
        pattern: usize,
        after: u8,
        descending: bool,
        max: usize,
    },
    Seek {
        pattern: usize,
        newest: Option<usize>,
    },
    /// A session that resumes at a place and reads to the end.
    Resume {
        pattern: usize,
        after: u8,
        batch: usize,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let event = (
        0..TOPICS.len(),
        0..3_u64,
        prop::option::weighted(0.3, 0..4_u8),
    );
    prop_oneof![
        6 => prop::collection::vec(event, 1..8).prop_map(Step::Append),
        1 => (0..TOPICS.len()).prop_map(Step::Forget),
        3 => (0..PATTERNS.len(), any::<u8>(), any::<bool>(), 1..6_usize).prop_map(
            |(pattern, after, descending, max)| Step::Read { pattern, after, descending, max }
        ),
        1 => (0..PATTERNS.len(), prop::option::of(1..5_usize))
            .prop_map(|(pattern, newest)| Step::Seek { pattern, newest }),
        3 => (0..PATTERNS.len(), any::<u8>(), 1..4_usize)
            .prop_map(|(pattern, after, batch)| Step::Resume { pattern, after, batch }),
        1 => Just(Step::Reopen),
    ]
}

const TOPICS: [&str; 4] = ["a.x", "a.y", "b", "keep"];
const PATTERNS: [&str; 6] = ["a.x", "a.*", ">", "b", "keep", "*"];

/// `a.x` keeps 2 events, `a.y` 3, `b` some bytes, `keep` everything.
fn retention() -> RetentionTable {
    let rule = |topics: &str, max_events, max_bytes| RetentionRule {
        topics: Pattern::parse(topics).expect("a pattern"),
        limits: Retention {
            max_events,
            max_bytes,
            max_age: Some(Duration::from_secs(3_600)),
        },
    };
    RetentionTable::new(
        vec![
            rule("a.x", Some(2), None),
            rule("a.*", Some(3), None),
            rule("b", None, Some(40)),
        ],
        Retention {
            max_events: None,
            max_bytes: None,
            max_age: None,
        },
    )
}

/// What the engine should be.
#[derive(Default)]
struct Model {
    /// Place, topic, data.
    events: Vec<(u64, &'static str, u64)>,
    /// The same, with what retention has taken but without what was forgotten.
    all: Vec<(u64, &'static str, u64)>,
    head: u64,
    evicted_to: BTreeMap<&'static str, u64>,
    keys: BTreeMap<(&'static str, u8), (u64, u64)>,
}

impl Model {
    fn append(
        &mut self,
        topic: &'static str,
        data: u64,
        key: Option<u8>,
    ) -> Result<(u64, bool), ()> {
        if let Some(key) = key {
            match self.keys.get(&(topic, key)) {
                Some(&(place, known)) if known == data => return Ok((place, true)),
                Some(_) => return Err(()),
                None => {}
            }
        }
        self.head += 1;
        self.events.push((self.head, topic, data));
        self.all.push((self.head, topic, data));
        if let Some(key) = key {
            self.keys.insert((topic, key), (self.head, data));
        }
        while self.exceeds(topic) {
            self.evict(topic);
        }
        Ok((self.head, false))
    }

    /// The rules of [`retention`].
    fn exceeds(&self, topic: &str) -> bool {
        let mine = self.events.iter().filter(|event| event.1 == topic);
        match topic {
            "a.x" => mine.count() > 2,
            "a.y" => mine.count() > 3,
            "b" => {
                mine.map(|event| body(event.2).as_bytes().len())
                    .sum::<usize>()
                    > 40
            }
            _ => false,
        }
    }

    fn of(&self, topic: &str) -> Vec<u64> {
        let events = self.events.iter().filter(|event| event.1 == topic);
        events.map(|event| event.0).collect()
    }

    fn evict(&mut self, topic: &'static str) {
        let oldest = self.of(topic)[0];
        self.events.retain(|event| event.0 != oldest);
        self.evicted_to.insert(topic, oldest);
    }

    fn matching(&self, pattern: &Pattern, after: u64) -> Vec<(u64, u64)> {
        matching(&self.events, pattern, after)
    }

    fn acknowledged(&self, pattern: &Pattern, after: u64) -> Vec<(u64, u64)> {
        matching(&self.all, pattern, after)
    }

    fn has_lost(&self, pattern: &Pattern, after: u64) -> bool {
        let mut evicted = self.evicted_to.iter();
        evicted.any(|(name, &to)| to > after && pattern.matches(&topic(name)))
    }
}

async fn run(
    subject: &mut impl Subject,
    steps: &[Step],
    is_windowed: bool,
) -> Result<(), TestCaseError> {
    let mut engine = subject.open(retention()).await;
    // A tiny window sends sessions to the engine all the time.
    let config = BusConfig {
        window_max_events: if is_windowed { 1_000 } else { 3 },
        ..BusConfig::default()
    };
    let mut bus = Bus::start(std::sync::Arc::clone(&engine), config);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(events) => append(&*engine, &mut model, events).await?,
            Step::Forget(index) => {
                bus.forget(&topic(TOPICS[*index])).await.expect("forgotten");
                while !model.of(TOPICS[*index]).is_empty() {
                    model.evict(TOPICS[*index]);
                }
                model.all.retain(|event| event.1 != TOPICS[*index]);
            }
            Step::Read {
                pattern,
                after,
                descending,
                max,
            } => {
                let pattern = Pattern::parse(PATTERNS[*pattern]).expect("a pattern");
                let after = u64::from(*after) % (model.head + 2);
                read(&*engine, &model, pattern, after, *descending, *max).await?;
            }
            Step::Seek { pattern, newest } => {
                let pattern = Pattern::parse(PATTERNS[*pattern]).expect("a pattern");
                let seek = newest.map_or(Seek::Oldest, Seek::Newest);
                let sought = engine
                    .seek(vec![pattern.clone()], seek)
                    .await
                    .expect("sought");
                let matching = model.matching(&pattern, 0);
                let first = match newest {
                    None => matching.first(),
                    Some(count) => matching.get(matching.len().saturating_sub(*count)),
                };
                prop_assert_eq!(sought.after, first.map_or(model.head, |event| event.0 - 1));
            }
            Step::Resume {
                pattern,
                after,
                batch,
            } => {
                let pattern = Pattern::parse(PATTERNS[*pattern]).expect("a pattern");
                let after = u64::from(*after) % (model.head + 1);
                resume(&bus, &model, pattern, after, *batch).await?;
            }
            Step::Reopen => {
                drop(bus);
                let epoch = engine.epoch();
                engine = match subject.reopen(engine, retention()).await {
                    Some(engine) => {
                        prop_assert_eq!(engine.epoch(), epoch, "the same log");
                        engine
                    }
                    None => {
                        model = Model::default();
                        subject.open(retention()).await
                    }
                };
                bus = Bus::start(std::sync::Arc::clone(&engine), config);
            }
        }
        prop_assert_eq!(engine.head(), model.head);
    }
    engine.stop().await;
    Ok(())
}

async fn append(
    engine: &dyn Engine,
    model: &mut Model,
    events: &[(usize, u64, Option<u8>)],
) -> Result<(), TestCaseError> {
    let batch = events.iter().map(|&(index, data, key)| Append {
        topic: topic(TOPICS[index]),
        body: body(data),
        key: key.map(|key| IdempotencyKey {
            publisher: "p".into(),
            key: key.to_string(),
            element: None,
        }),
    });
    let answers = engine.append(batch.collect()).await;
    prop_assert_eq!(answers.len(), events.len());
    for (answer, &(index, data, key)) in answers.iter().zip(events) {
        match (answer, model.append(TOPICS[index], data, key)) {
            (Ok(appended), Ok((place, duplicate))) => {
                prop_assert_eq!((appended.id.place, appended.duplicate), (place, duplicate));
            }
            (Err(AppendError::KeyReused), Err(())) => {}
            (answer, expected) => {
                prop_assert!(false, "{:?} instead of {:?}", answer, expected);
            }
        }
    }
    Ok(())
}

async fn read(
    engine: &dyn Engine,
    model: &Model,
    pattern: Pattern,
    after: u64,
    descending: bool,
    max: usize,
) -> Result<(), TestCaseError> {
    let page = engine.read(Read {
        patterns: vec![pattern.clone()],
        after,
        before: u64::MAX,
        descending,
        told: vec![0],
        max_events: max,
        max_bytes: usize::MAX,
    });
    let page = page.await.expect("a page");
    let mut expected = model.matching(&pattern, after);
    if descending {
        expected.reverse();
    }
    let has_all = expected.len() <= max;
    let next = expected.get(max).copied();
    expected.truncate(max);
    let got: Vec<_> = page
        .events
        .iter()
        .map(|event| (event.place(), data(event)))
        .collect();
    prop_assert_eq!(&got, &expected);
    prop_assert_eq!(page.at_end, has_all);
    prop_assert_eq!(!page.lost.is_empty(), model.has_lost(&pattern, after));
    if let Some(next) = next.filter(|_| !descending) {
        let last = expected.last().map_or(after, |event| event.0);
        prop_assert!(
            (last..next.0).contains(&page.examined),
            "{} is passed",
            page.examined
        );
    }
    Ok(())
}

/// Delivered or told as a gap: everything that was acknowledged after the cursor.
async fn resume(
    bus: &Bus,
    model: &Model,
    pattern: Pattern,
    after: u64,
    batch: usize,
) -> Result<(), TestCaseError> {
    // What the log has not heard of yet it may still deliver, evicted or not.
    bus.probe().await.expect("the log has caught up");
    let mut session = bus.open(SessionOptions {
        batch_max_events: batch,
        ..SessionOptions::default()
    });
    let cursor = tidewire_protocol::Cursor::new(bus.epoch(), after);
    let subscribed = session
        .subscribe(vec![pattern.clone()], StartAt::After(cursor))
        .await;
    let subscribed = subscribed.expect("subscribed");
    prop_assert_eq!(subscribed.resumed, !model.has_lost(&pattern, after));
    let mut got = Vec::new();
    let mut gaps = Vec::new();
    while let Some(batch) = session.next_within(Duration::ZERO).await.expect("read") {
        if let Some(gap) = batch.gap {
            prop_assert!(got.is_empty(), "a gap comes before the events that follow");
            gaps.push(gap);
        }
        let last = batch.events.last().map(|event| event.place());
        prop_assert!(last.is_none_or(|last| batch.cursor.place >= last));
        got.extend(
            batch
                .events
                .iter()
                .map(|event| (event.place(), data(event))),
        );
    }
    prop_assert_eq!(gaps.len(), usize::from(model.has_lost(&pattern, after)));
    // What retention took from the engine may still have come out of the window.
    let acknowledged = model.acknowledged(&pattern, after);
    prop_assert!(got.windows(2).all(|pair| pair[0].0 < pair[1].0));
    prop_assert!(
        got.iter().all(|event| acknowledged.contains(event)),
        "{:?}",
        got
    );
    let retained = model.matching(&pattern, after);
    prop_assert!(
        retained.iter().all(|event| got.contains(event)),
        "{:?} {:?}",
        got,
        retained
    );
    if gaps.is_empty() {
        prop_assert_eq!(&got, &acknowledged);
    }
    prop_assert!(session.cursor().place <= model.head);
    Ok(())
}

fn matching(events: &[(u64, &str, u64)], pattern: &Pattern, after: u64) -> Vec<(u64, u64)> {
    let matches = |event: &&(u64, &str, u64)| event.0 > after && pattern.matches(&topic(event.1));
    let events = events.iter().filter(matches);
    events.map(|event| (event.0, event.2)).collect()
}

fn topic(name: &str) -> Topic {
    Topic::parse(name).expect("a topic")
}

/// Ten to twelve bytes.
fn body(data: u64) -> EventBody {
    EventBody::from_stored(Bytes::from(format!(
        ",\"data\":{}}}",
        10_u64.pow(data as u32)
    )))
}

fn data(event: &crate::Encoded) -> u64 {
    let json = std::str::from_utf8(event.json()).expect("JSON");
    let (_, data) = json.split_once("\"data\":").expect("data");
    data.trim_end_matches('}').len() as u64 - 1
}
