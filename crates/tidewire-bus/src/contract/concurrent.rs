//! Publishers and readers at once, and what each reader got compared with the log that came of it.
//! Shape: each publisher appends its batches; readers of the engine and sessions of a bus read until the
//! publishers are done and they are at the end.
//! Goal: one order for everybody; a page is of one moment, so that an event that retention took was
//! either delivered or told, and nothing was told that was delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tidewire_protocol::{Cursor, Pattern, StartAt};

use super::model::{KEEP, Model, TOPICS, body, key, pattern, topic};
use super::sequence::{Follower, Following, fail};
use super::steps::{parsed, patterns};
use super::{Subject, Time, owed};
use crate::engine::Read;
use crate::{Append, Appended, Bus, Encoded, Engine, SessionOptions};

/// A topic and the number of its data.
type NewEvent = (usize, u32);
/// What it reads, and how much at once.
type Reader = (Vec<&'static str>, usize);

#[derive(Clone, Debug)]
pub(super) struct Load {
    /// For each publisher its batches.
    publishers: Vec<Vec<Vec<NewEvent>>>,
    /// Events of one batch that is larger than what an engine may commit at once.
    large: usize,
    readers: Vec<Reader>,
    sessions: Vec<Reader>,
}

pub(super) fn load() -> impl Strategy<Value = Load> {
    let event = (0..TOPICS.len(), 0..3_u32);
    let batch = prop::collection::vec(event, 1..20);
    let batches = prop::collection::vec(batch, 1..25);
    let reader = || prop::collection::vec((patterns(), 1..100_usize), 1..4);
    let publishers = prop::collection::vec(batches, 2..5);
    (publishers, 1_001..2_500_usize, reader(), reader()).prop_map(
        |(publishers, large, readers, sessions)| Load {
            publishers,
            large,
            readers,
            sessions,
        },
    )
}

/// What came after the last thing: events, and before them what was told as lost.
struct Part {
    /// After this place,
    after: u64,
    /// and everything up to this one.
    to: u64,
    lost: Vec<Pattern>,
    events: Vec<Arc<Encoded>>,
}

impl Part {
    /// Adds it, unless it says nothing.
    fn note(self, parts: &mut Vec<Self>) {
        if self.after < self.to || !self.lost.is_empty() || !self.events.is_empty() {
            parts.push(self);
        }
    }
}

pub(super) async fn run(subject: &mut impl Subject, load: Load) -> Result<(), TestCaseError> {
    let engine = subject.open(Time::new().setup()).await;
    let Following::Bus(bus) = Follower::TinyWindow.follow(&engine)? else {
        return Err(fail("a bus follows"));
    };
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = load
        .readers
        .into_iter()
        .map(|(names, max)| {
            let (engine, done) = (Arc::clone(&engine), Arc::clone(&done));
            let patterns = parsed(&names);
            tokio::spawn(
                async move { (patterns.clone(), read(&*engine, &done, patterns, max).await) },
            )
        })
        .collect();
    let sessions: Vec<_> = load
        .sessions
        .into_iter()
        .map(|(names, max)| {
            let (bus, done) = (bus.clone(), Arc::clone(&done));
            let patterns = parsed(&names);
            tokio::spawn(
                async move { (patterns.clone(), follow(&bus, &done, patterns, max).await) },
            )
        })
        .collect();

    let large = vec![vec![(KEEP, 0); load.large]];
    let publishers = load.publishers.into_iter().chain([large]);
    let publishers: Vec<_> = publishers
        .map(|batches| tokio::spawn(publish(Arc::clone(&engine), batches)))
        .collect();
    let mut log = BTreeMap::new();
    let mut firsts = Vec::new();
    for publisher in publishers {
        let (published, first) = publisher.await.map_err(fail)??;
        firsts.push(first);
        for (appended, event) in published {
            let twice = log.insert(appended.id.place, (appended.time_ms, event));
            prop_assert!(
                twice.is_none(),
                "two events at one place: {}",
                appended.id.place
            );
        }
    }
    let fresh: Vec<_> = firsts.iter().filter(|first| !first.duplicate).collect();
    prop_assert_eq!(
        fresh.len(),
        1,
        "publishes with one key at the same time: {:?}",
        firsts
    );
    prop_assert!(
        firsts.iter().all(|first| first.id == fresh[0].id),
        "{:?}",
        firsts
    );
    log.insert(fresh[0].id.place, (fresh[0].time_ms, (KEEP, 0)));
    prop_assert_eq!(
        log.last_key_value().map(|(place, _)| *place),
        Some(engine.head())
    );
    owed("the log catches up", bus.probe())
        .await?
        .map_err(fail)?;
    done.store(true, Ordering::SeqCst);

    let mut model = Model::new(engine.epoch());
    for (place, (time_ms, (index, data))) in log {
        model.push(place, TOPICS[index], data, None, time_ms);
    }
    let (readers, sessions) = owed(
        "every reader comes to the end",
        join(join_all(readers), join_all(sessions)),
    )
    .await?;
    for reader in readers.into_iter().chain(sessions) {
        let (patterns, parts) = reader.map_err(fail)?;
        compare(&model, &patterns, &parts?)?;
    }
    drop(bus);
    engine.stop().await;
    Ok(())
}

/// Appends every batch, and one event with a key that every publisher uses.
async fn publish(
    engine: Arc<dyn Engine>,
    batches: Vec<Vec<NewEvent>>,
) -> Result<(Vec<(Appended, NewEvent)>, Appended), TestCaseError> {
    let with_key = Append {
        topic: topic(TOPICS[KEEP]),
        body: body(0),
        key: Some(key(0)),
    };
    let mut first = engine.append(vec![with_key]).await;
    let first = first
        .pop()
        .ok_or_else(|| fail("no answer"))?
        .map_err(fail)?;
    let mut published = Vec::new();
    for batch in batches {
        let append = |&(index, data): &NewEvent| Append {
            topic: topic(TOPICS[index]),
            body: body(data),
            key: None,
        };
        let answers = engine.append(batch.iter().map(append).collect()).await;
        let head = engine.head();
        prop_assert_eq!(answers.len(), batch.len(), "one answer for each");
        let mut last = 0;
        for (answer, event) in answers.into_iter().zip(batch) {
            let appended = answer.map_err(fail)?;
            prop_assert!(appended.id.place > last, "a batch keeps its order");
            prop_assert!(appended.id.place <= head, "the head is behind an answer");
            last = appended.id.place;
            published.push((appended, event));
        }
    }
    Ok((published, first))
}

/// Reads the engine page by page.
async fn read(
    engine: &dyn Engine,
    done: &AtomicBool,
    patterns: Vec<Pattern>,
    max_events: usize,
) -> Result<Vec<Part>, TestCaseError> {
    let mut parts = Vec::new();
    let (mut after, mut told) = (0, 0);
    loop {
        let is_done = done.load(Ordering::SeqCst);
        let page = engine.read(Read {
            patterns: patterns.clone(),
            after,
            before: u64::MAX,
            descending: false,
            told: vec![told; patterns.len()],
            max_events,
            max_bytes: usize::MAX,
        });
        let page = page.await.map_err(fail)?;
        let to = page.examined.max(after);
        told = page.evictions;
        let part = Part {
            after,
            to,
            lost: page.lost,
            events: page.events,
        };
        part.note(&mut parts);
        after = to;
        if is_done && page.at_end {
            return Ok(parts);
        }
        tokio::task::yield_now().await;
    }
}

/// Reads the log as a session does.
async fn follow(
    bus: &Bus,
    done: &AtomicBool,
    patterns: Vec<Pattern>,
    batch_max_events: usize,
) -> Result<Vec<Part>, TestCaseError> {
    let mut session = bus.open(SessionOptions {
        batch_max_events,
        ..SessionOptions::default()
    });
    let start = Cursor::new(bus.epoch(), 0);
    let subscribed = session.subscribe(patterns.clone(), StartAt::After(start));
    subscribed.await.map_err(fail)?;
    let mut parts = Vec::new();
    let mut after = 0;
    loop {
        let is_done = done.load(Ordering::SeqCst);
        let batch = session.next_within(Duration::ZERO).await.map_err(fail)?;
        let is_end = batch.is_none();
        let to = session.cursor().place;
        let gap = batch.as_ref().and_then(|batch| batch.gap.clone());
        let lost = gap.map(|gap| gap.topics).unwrap_or_default();
        let part = Part {
            after,
            to,
            lost: lost.iter().map(|name| pattern(name)).collect(),
            events: batch.map(|batch| batch.events.to_vec()).unwrap_or_default(),
        };
        part.note(&mut parts);
        after = to;
        if is_done && is_end {
            return Ok(parts);
        }
        tokio::task::yield_now().await;
    }
}

/// What a reader got against the log: everything once and in order, but for what it was told as lost.
fn compare(model: &Model, patterns: &[Pattern], parts: &[Part]) -> Result<(), TestCaseError> {
    let mut told: Vec<&Pattern> = Vec::new();
    let mut missing: Vec<(u64, &str)> = Vec::new();
    for part in parts {
        told.extend(&part.lost);
        let mut got: BTreeMap<u64, &Bytes> = BTreeMap::new();
        let mut last = part.after;
        for event in &part.events {
            prop_assert!(
                last < event.place(),
                "log order: {} after {}",
                event.place(),
                last
            );
            last = event.place();
            got.insert(last, event.json());
        }
        prop_assert!(
            last <= part.to,
            "{} is beyond what was examined, {}",
            last,
            part.to
        );
        // The oldest of each topic that came: retention lets go of older ones only.
        let mut oldest: BTreeMap<&str, u64> = BTreeMap::new();
        for event in model.acknowledged(patterns, part.after, part.to + 1) {
            let has_come = match got.remove(&event.place) {
                Some(json) => {
                    prop_assert_eq!(json, &event.json, "an event never changes");
                    true
                }
                None => false,
            };
            if has_come {
                oldest.entry(event.topic).or_insert(event.place);
                continue;
            }
            let name = topic(event.topic);
            let is_told = told.iter().any(|pattern| pattern.matches(&name));
            prop_assert!(is_told, "{} is lost and was not told: a hole", event.place);
            prop_assert!(EVICTING.contains(&event.topic), "{} is lost", event.place);
            let is_prefix = !oldest.contains_key(event.topic);
            prop_assert!(is_prefix, "{} is lost from the middle", event.place);
            missing.push((event.place, event.topic));
        }
        prop_assert!(got.is_empty(), "nobody appended {:?}", got);
    }
    prop_assert_eq!(
        parts.last().map(|part| part.to),
        Some(model.head),
        "the end is the head"
    );
    for part in parts {
        for pattern in &part.lost {
            let mut lost = missing.iter();
            let is_lost =
                lost.any(|(place, name)| *place > part.after && pattern.matches(&topic(name)));
            prop_assert!(is_lost, "{} was told as lost and nothing is", pattern);
        }
    }
    Ok(())
}

/// Topics that lose events here.
const EVICTING: [&str; 3] = ["a.x", "a.y", "b"];
