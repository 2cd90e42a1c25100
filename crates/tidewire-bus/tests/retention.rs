//! Retention by age, and by rules that changed between two starts.
//! Method: the clock is moved; the tests wait for the fact under a deadline.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tidewire_bus::engine::Read;
use tidewire_bus::{
    Append, Bus, BusConfig, Clock, DiskConfig, DiskEngine, Engine, IdempotencyKey, MemoryConfig,
    MemoryEngine, Now, Retention, RetentionTable, SessionOptions,
};
use tidewire_protocol::{Cursor, EventBody, GapReason, Pattern, StartAt, Topic};

const HOUR: Duration = Duration::from_secs(3_600);

fn keep(max_events: Option<u64>, max_age: Option<Duration>) -> RetentionTable {
    let limits = Retention {
        max_events,
        max_bytes: None,
        max_age,
    };
    RetentionTable::new(Vec::new(), limits)
}

fn disk(folder: &Path, clock: &Clock, retention: RetentionTable) -> Arc<dyn Engine> {
    let config = DiskConfig {
        clock: clock.clone(),
        ..DiskConfig::default()
    };
    Arc::new(DiskEngine::open(folder, config, retention).unwrap())
}

async fn publish(bus: &Bus, topic: &str, count: u64) -> Vec<Cursor> {
    let append = |data| Append {
        topic: Topic::parse(topic).unwrap(),
        body: EventBody::from_stored(format!(",\"data\":{data}}}").into()),
        key: None,
    };
    let answers = bus.append((0..count).map(append).collect()).await;
    answers
        .into_iter()
        .map(|answer| answer.unwrap().id)
        .collect()
}

async fn retained(bus: &Bus, topic: &str, wanted: u64) {
    let topic = Topic::parse(topic).unwrap();
    let reached = async {
        while bus.topic(&topic).await.unwrap().retained != wanted {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
    reached.unwrap_or_else(|_| panic!("{topic} does not come to {wanted} events"));
}

/// Goal: old events go, on both engines, in parts where they are many, and whoever needed one is told.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_too_old_are_evicted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = Arc::new(AtomicU64::new(1_000_000));
    let read = Arc::clone(&now_ms);
    let clock = Clock::from_fn(move || read.load(Ordering::Relaxed));
    let memory = MemoryConfig {
        clock: clock.clone(),
        ..MemoryConfig::default()
    };
    let engines: [Arc<dyn Engine>; 2] = [
        Arc::new(MemoryEngine::new(memory, keep(None, Some(HOUR)))),
        disk(folder.path(), &clock, keep(None, Some(HOUR))),
    ];
    for engine in engines {
        let bus = Bus::start(engine, BusConfig::default());
        // More than one sweep takes at once.
        let old = publish(&bus, "a.old", 10_000).await;
        now_ms.fetch_add(HOUR.as_millis() as u64 / 2, Ordering::Relaxed);
        publish(&bus, "a.young", 3).await;
        now_ms.fetch_add(HOUR.as_millis() as u64 / 2 + 1, Ordering::Relaxed);
        retained(&bus, "a.old", 0).await;
        retained(&bus, "a.young", 3).await;

        let mut session = bus.open(SessionOptions::default());
        let pattern = Pattern::parse("a.*").unwrap();
        let start = StartAt::After(old[0]);
        assert!(
            !session
                .subscribe(vec![pattern], start)
                .await
                .unwrap()
                .resumed
        );
        let batch = session.next().await.unwrap();
        assert_eq!(batch.gap.unwrap().reason, GapReason::Evicted);
        assert_eq!(batch.events.len(), 3);
        bus.stop().await;
    }
}

/// Goal: rules that were changed between two starts hold from the start on.
#[tokio::test(flavor = "multi_thread")]
async fn changed_rules_hold_from_the_next_start_on() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let bus = Bus::start(
        disk(folder.path(), &clock, keep(None, None)),
        BusConfig::default(),
    );
    let ids = publish(&bus, "a", 3_000).await;
    bus.stop().await;
    drop(bus);

    let engine = disk(folder.path(), &clock, keep(Some(2), Some(HOUR)));
    let bus = Bus::start(engine, BusConfig::default());
    retained(&bus, "a", 2).await;
    let mut session = bus.open(SessionOptions::default());
    let pattern = Pattern::parse("a").unwrap();
    session
        .subscribe(vec![pattern], StartAt::After(ids[0]))
        .await
        .unwrap();
    let batch = session.next().await.unwrap();
    assert!(batch.gap.is_some());
    let places: Vec<_> = batch.events.iter().map(|event| event.place()).collect();
    assert_eq!(places, [ids[2_998].place, ids[2_999].place]);
    bus.stop().await;
}

/// Goal: a poll with no time to wait comes back although nothing in a long log matches, and gets further
/// with each try.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_finds_nothing_comes_back_with_a_newer_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let engines: [Arc<dyn Engine>; 2] = [
        Arc::new(MemoryEngine::new(MemoryConfig::default(), keep(None, None))),
        disk(folder.path(), &Clock::system(), keep(None, None)),
    ];
    for engine in engines {
        let config = BusConfig {
            window_max_events: 10,
            ..BusConfig::default()
        };
        let bus = Bus::start(engine, config);
        // More topics than the disk engine looks at before it goes through the log instead, and more events
        // than one look goes through.
        for batch in 0..50 {
            let append = |n| Append {
                topic: Topic::parse(&format!("x.{}.y", (batch * 1_000 + n) % 5_000)).unwrap(),
                body: EventBody::from_stored(",\"data\":1}".into()),
                key: None,
            };
            bus.append((0..1_000).map(append).collect()).await;
        }
        let mut session = bus.open(SessionOptions::default());
        let patterns = ["*.*.none", "x.*.none", "x.*.z"].map(|text| Pattern::parse(text).unwrap());
        let start = StartAt::After(Cursor::new(bus.epoch(), 0));
        session.subscribe(patterns.into(), start).await.unwrap();
        let mut tries = 0;
        while let Some(batch) = session.next_within(Duration::ZERO).await.unwrap() {
            assert!(batch.events.is_empty() && batch.more);
            tries += 1;
        }
        assert_eq!(session.cursor(), bus.head());
        assert!(tries >= 2, "one look went through everything: {tries}");
        bus.stop().await;
    }
}

/// Goal: a step of the wall clock, by days, forwards or back, ages no event and no key. Method: another
/// topic that is due by the steady clock shows that a sweep has come after the step.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_wall_clock_makes_nothing_older() {
    const DAYS_MS: i64 = 3 * 24 * 3_600 * 1_000;
    let folder = tempfile::tempdir().unwrap();
    let steady_ms = Arc::new(AtomicU64::new(1_000_000_000_000));
    let step_ms = Arc::new(AtomicI64::new(0));
    let (steady, step) = (Arc::clone(&steady_ms), Arc::clone(&step_ms));
    let clock = Clock::from_fn(move || {
        let steady_ms = steady.load(Ordering::SeqCst);
        let wall_ms = steady_ms.saturating_add_signed(step.load(Ordering::SeqCst));
        Now { wall_ms, steady_ms }
    });
    let memory = MemoryConfig {
        clock: clock.clone(),
        ..MemoryConfig::default()
    };
    let engines: [Arc<dyn Engine>; 2] = [
        Arc::new(MemoryEngine::new(memory, keep(None, Some(HOUR)))),
        disk(folder.path(), &clock, keep(None, Some(HOUR))),
    ];
    let keyed = || Append {
        topic: Topic::parse("keyed").unwrap(),
        body: EventBody::from_stored(",\"data\":1}".into()),
        key: Some(IdempotencyKey {
            publisher: "shop".into(),
            key: "1".into(),
            element: None,
        }),
    };
    for engine in engines {
        let bus = Bus::start(engine, BusConfig::default());
        for step in [DAYS_MS, -DAYS_MS] {
            step_ms.store(0, Ordering::SeqCst);
            publish(&bus, "due", 1).await;
            steady_ms.fetch_add(HOUR.as_millis() as u64 - 60_000, Ordering::SeqCst);
            publish(&bus, "kept", 3).await;
            let first = bus.append(vec![keyed()]).await[0].clone().unwrap();
            step_ms.store(step, Ordering::SeqCst);
            let stepped = publish(&bus, "kept", 1).await;
            // Another minute and a bit: `due` is due, and the window of a key is not over.
            steady_ms.fetch_add(60_001, Ordering::SeqCst);
            retained(&bus, "due", 0).await;
            retained(&bus, "kept", 4).await;
            let again = bus.append(vec![keyed()]).await[0].clone().unwrap();
            assert_eq!((again.id, again.duplicate), (first.id, true));
            assert!(stepped[0].place > first.id.place, "cursors never go back");

            steady_ms.fetch_add(HOUR.as_millis() as u64 + 1, Ordering::SeqCst);
            retained(&bus, "kept", 0).await;
            let later = bus.append(vec![keyed()]).await[0].clone().unwrap();
            assert!(!later.duplicate);
            steady_ms.fetch_add(HOUR.as_millis() as u64, Ordering::SeqCst);
        }
        bus.stop().await;
    }
}

/// Goal: among more topics than are looked through one by one, a loss is told exactly, also after a
/// restart. Method: 6,000 topics that keep one event each; some lose theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_among_many_topics_is_told_to_those_that_it_concerns() {
    let folder = tempfile::tempdir().unwrap();
    let open = || disk(folder.path(), &Clock::system(), keep(Some(1), None));
    let bus = Bus::start(open(), BusConfig::default());
    let batch = async |bus: &Bus, topics: std::ops::Range<u64>, last: &str| {
        let append = |n| Append {
            topic: Topic::parse(&format!("x.{n}.{last}")).unwrap(),
            body: EventBody::from_stored(",\"data\":1}".into()),
            key: None,
        };
        let answers = bus.append(topics.map(append).collect()).await;
        answers.last().unwrap().clone().unwrap().id
    };
    for part in 0..6 {
        batch(&bus, part * 1_000..(part + 1) * 1_000, "a").await;
    }
    let full = batch(&bus, 0..1_000, "b").await;
    let once = batch(&bus, 500..600, "a").await;
    let twice = batch(&bus, 550..560, "a").await;
    bus.stop().await;
    drop(bus);

    let engine = open();
    for (pattern, after, has_lost) in [
        ("x.*.a", 0, true),
        ("x.*.b", 0, false),
        (">", 0, true),
        (">", full.place, true),
        ("x.*.a", full.place, true),
        (">", once.place, false),
        (">", twice.place, false),
        ("x.555.a", full.place, true),
        ("x.555.a", once.place, false),
        ("x.1.a", 0, false),
    ] {
        let read = Read {
            patterns: vec![Pattern::parse(pattern).unwrap()],
            after,
            before: u64::MAX,
            descending: false,
            told: vec![0],
            max_events: 10,
            max_bytes: usize::MAX,
        };
        let page = engine.read(read.clone()).await.unwrap();
        assert_eq!(!page.lost.is_empty(), has_lost, "{pattern} after {after}");
        let told = vec![page.evictions];
        let page = engine.read(Read { told, ..read }).await.unwrap();
        assert!(
            page.lost.is_empty(),
            "{pattern} after {after} is told twice"
        );
    }
    engine.stop().await;
}

/// Goal: a step of the wall clock counts after a restart no more than before it. Method: a clock that was a
/// day behind is set right, then the engine starts again, with a steady clock that begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_wall_clock_counts_after_a_restart_no_more_than_before() {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    let folder = tempfile::tempdir().unwrap();
    let wall_ms = Arc::new(AtomicU64::new(1_000_000_000_000));
    let steady_ms = Arc::new(AtomicU64::new(1_000_000_000_000));
    let clock = || {
        let (wall, steady) = (Arc::clone(&wall_ms), Arc::clone(&steady_ms));
        Clock::from_fn(move || Now {
            wall_ms: wall.load(Ordering::SeqCst),
            steady_ms: steady.load(Ordering::SeqCst),
        })
    };
    let passes = |ms| {
        wall_ms.fetch_add(ms, Ordering::SeqCst);
        steady_ms.fetch_add(ms, Ordering::SeqCst);
    };
    let start = || {
        Bus::start(
            disk(folder.path(), &clock(), keep(None, Some(HOUR))),
            BusConfig::default(),
        )
    };
    for is_forwards in [true, false] {
        let bus = start();
        publish(&bus, "due", 1).await;
        passes(HOUR.as_millis() as u64 - 60_000);
        publish(&bus, "kept", 1).await;
        if is_forwards {
            wall_ms.fetch_add(DAY_MS, Ordering::SeqCst);
        } else {
            wall_ms.fetch_sub(DAY_MS, Ordering::SeqCst);
        }
        publish(&bus, "kept", 1).await;
        bus.stop().await;
        drop(bus);

        steady_ms.store(wall_ms.load(Ordering::SeqCst), Ordering::SeqCst);
        passes(60_001);
        let bus = start();
        retained(&bus, "due", 0).await;
        retained(&bus, "kept", 2).await;
        passes(HOUR.as_millis() as u64);
        retained(&bus, "kept", 0).await;
        bus.stop().await;
    }
}

/// Goal: forgetting reaches what retention took before and the log in memory still has. Method: somebody holds
/// the pattern, so that it is read from memory. Found by the conformance suite.
#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_before_is_forgotten_too() {
    let folder = tempfile::tempdir().unwrap();
    let rule = |topics: &str, max_events| tidewire_bus::RetentionRule {
        topics: Pattern::parse(topics).unwrap(),
        limits: Retention {
            max_events,
            max_bytes: None,
            max_age: None,
        },
    };
    let rules = || RetentionTable::new(vec![rule("a.none", Some(0))], Retention::default());
    let engines: [Arc<dyn Engine>; 2] = [
        Arc::new(MemoryEngine::new(MemoryConfig::default(), rules())),
        disk(folder.path(), &Clock::system(), rules()),
    ];
    for engine in engines {
        let bus = Bus::start(engine, BusConfig::default());
        let all = || vec![Pattern::parse("a.*").unwrap()];
        let mut holds = bus.open(SessionOptions::default());
        holds.subscribe(all(), StartAt::Now).await.unwrap();
        let first = publish(&bus, "a.kept", 1).await[0];
        publish(&bus, "a.none", 3).await;
        let last = publish(&bus, "a.kept", 1).await[0];
        let topic = Topic::parse("a.none").unwrap();
        assert_eq!(bus.topic(&topic).await.unwrap().retained, 0);
        bus.forget(&topic).await.unwrap();
        for (session, from) in [
            (holds, None),
            (bus.open(SessionOptions::default()), Some(first)),
        ] {
            let mut session = session;
            if let Some(from) = from {
                session
                    .subscribe(all(), StartAt::After(from))
                    .await
                    .unwrap();
            }
            let mut places = Vec::new();
            while let Some(batch) = session.next_within(Duration::ZERO).await.unwrap() {
                places.extend(batch.events.iter().map(|event| event.place()));
            }
            assert!(
                places
                    .iter()
                    .all(|place| [first.place, last.place].contains(place)),
                "{places:?}"
            );
            assert_eq!(places.last(), Some(&last.place));
        }
        bus.stop().await;
    }
}
