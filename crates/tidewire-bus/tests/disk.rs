//! What the disk engine promises: what a start makes of the folder, and what a full disk does.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidewire_bus::{
    Append, AppendError, Bus, BusConfig, DiskConfig, DiskEngine, Engine, OpenError, RetentionTable,
    SessionOptions,
};
use tidewire_protocol::{Cursor, EventBody, Pattern, StartAt, Topic};

fn try_open(folder: &Path, config: DiskConfig) -> Result<Arc<DiskEngine>, OpenError> {
    DiskEngine::open(folder, config, RetentionTable::default()).map(Arc::new)
}

fn open(folder: &Path) -> Arc<DiskEngine> {
    try_open(folder, DiskConfig::default()).unwrap()
}

fn event(data: u64) -> Append {
    Append {
        topic: Topic::parse("a").unwrap(),
        body: EventBody::from_stored(format!(",\"data\":{data}}}").into()),
        key: None,
    }
}

async fn publish(engine: &DiskEngine, data: u64) -> Result<Cursor, AppendError> {
    let answers = engine.append(vec![event(data)]).await;
    answers[0].clone().map(|appended| appended.id)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    let deadline = Duration::from_secs(60);
    tokio::time::timeout(deadline, what).await.expect("in time")
}

/// A log with one event, closed.
async fn closed() -> (TempDir, Cursor) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let id = publish(&engine, 1).await.unwrap();
    engine.stop().await;
    (folder, id)
}

/// A member of the head mark.
fn mark(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join("head")).unwrap();
    let member = text.split(' ').find_map(|member| member.strip_prefix(name));
    member.unwrap().trim_start_matches('=').to_owned()
}

/// Goal: a log that is moved is the same log; a copy of it, and one without its mark, is another.
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_folder_is_the_same_log_and_a_copied_one_is_another() {
    let (folder, id) = closed().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(folder.path(), &moved).unwrap();
    let engine = open(&moved);
    assert_eq!(engine.epoch(), id.epoch);
    engine.stop().await;

    let copied = elsewhere.path().join("copied");
    let copying = Command::new("cp")
        .arg("-a")
        .args([&moved, &copied])
        .status();
    assert!(copying.unwrap().success());
    let copy = open(&copied);
    assert_ne!(copy.epoch(), id.epoch);
    assert_eq!(copy.head(), 1, "what was copied is there");
    let epoch = copy.epoch();
    copy.stop().await;
    let again = open(&copied);
    assert_eq!(
        again.epoch(),
        epoch,
        "from then on it is a log like any other"
    );

    fs::remove_file(moved.join("head")).unwrap();
    let engine = open(&moved);
    assert_ne!(engine.epoch(), id.epoch);
    assert_eq!(engine.head(), 1);
}

/// Goal: a folder that is in use, and one of another format, are refused with a cure and left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_and_one_of_another_format_are_refused() {
    let (folder, id) = closed().await;
    let engine = open(folder.path());
    let refused = try_open(folder.path(), DiskConfig::default());
    assert!(matches!(refused, Err(OpenError::Locked(_))), "{refused:?}");
    assert!(publish(&engine, 2).await.is_ok(), "the first one goes on");
    engine.stop().await;
    drop(engine);

    let path = folder.path().join("head");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replace("format=2", "format=3");
    fs::write(&path, &newer).unwrap();
    let refused = try_open(folder.path(), DiskConfig::default()).unwrap_err();
    assert!(matches!(refused, OpenError::OtherFormat { found: 3, .. }));
    assert!(
        refused
            .to_string()
            .contains("start the version that wrote it")
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        newer,
        "it is left alone"
    );
    fs::write(&path, text).unwrap();
    assert_eq!(open(folder.path()).epoch(), id.epoch);
}

/// Goal: a store that has lost a keyspace is refused, also once opening it has made the keyspace anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_a_part_is_refused_from_then_on() {
    for keyspace in ["1", "2"] {
        let (folder, _) = closed().await;
        let part = folder.path().join("keyspaces").join(keyspace);
        fs::remove_file(part.join("current")).unwrap();
        for _ in 0..3 {
            let refused = try_open(folder.path(), DiskConfig::default()).unwrap_err();
            assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        }
    }
}

/// Goal: the bounds of a commit hold. Method: appends at once, with time to wait for one another; the
/// mark counts the commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_takes_what_comes_within_its_wait_and_its_bounds() {
    let commits = async |max_events, wait| {
        let folder = tempfile::tempdir().unwrap();
        let config = DiskConfig {
            commit_max_events: max_events,
            commit_max_wait: wait,
            ..DiskConfig::default()
        };
        let engine = try_open(folder.path(), config).unwrap();
        let group = || mark(folder.path(), "group").parse::<u64>().unwrap();
        let before = group();
        let mut first = tokio::spawn({
            let engine = Arc::clone(&engine);
            async move { publish(&engine, 0).await.unwrap() }
        });
        if !wait.is_zero() {
            // It waits for others, and would be answered at once if it did not.
            let answered = tokio::time::timeout(Duration::from_millis(200), &mut first).await;
            assert!(answered.is_err(), "it was not waited for more");
        }
        let appends = (1..40).map(|data| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { publish(&engine, data).await.unwrap() })
        });
        for append in appends.collect::<Vec<_>>() {
            within(append).await.unwrap();
        }
        within(first).await.unwrap();
        group() - before
    };
    // The wait ends with the bound, so that nothing here takes as long.
    assert_eq!(commits(40, Duration::from_secs(50)).await, 1);
    assert_eq!(commits(10, Duration::from_secs(50)).await, 4);
    assert!(commits(1, Duration::ZERO).await >= 40);
}

/// A file system of its own, where that is permitted.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"])
            .arg(folder.path())
            .status();
        mount
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut filler = fs::File::create(self.0.path().join("filler")).unwrap();
        let part = vec![1; 1 << 16];
        while std::io::Write::write_all(&mut filler, &part).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Goal: a full disk stops publishing and nothing else, and publishing goes on by itself once there is
/// space. Method: twice, with a subscriber that sees every acknowledged event once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_goes_on_by_itself_after_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: a small file system cannot be mounted here");
        return;
    };
    let folder = disk.0.path().join("log");
    let engine = open(&folder);
    let epoch = engine.epoch();
    let bus = Bus::start(Arc::clone(&engine) as Arc<dyn Engine>, BusConfig::default());
    let mut session = bus.open(SessionOptions::default());
    let all = vec![Pattern::parse("a").unwrap()];
    session
        .subscribe(all.clone(), StartAt::Start)
        .await
        .unwrap();

    let mut acknowledged = Vec::new();
    let mut number = 0;
    for _ in 0..2 {
        for _ in 0..50 {
            number += 1;
            acknowledged.push((publish(&engine, number).await.unwrap().place, number));
        }
        disk.fill();
        let mut refused = false;
        while !refused {
            number += 1;
            match publish(&engine, number).await {
                Ok(id) => acknowledged.push((id.place, number)),
                Err(AppendError::Unknown { .. }) => {}
                Err(AppendError::Unavailable { .. }) => refused = true,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(engine.health().is_err());
        // Reading goes on.
        let oldest = engine.topic(Topic::parse("a").unwrap()).await.unwrap();
        assert_eq!(oldest.range.unwrap().0, 1);
        disk.free();
        within(async {
            loop {
                number += 1;
                if let Ok(id) = publish(&engine, number).await {
                    acknowledged.push((id.place, number));
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(engine.health().is_ok());
    }

    // Live, and once more from the store after a restart.
    let expected = acknowledged;
    let mut seen = Vec::new();
    while seen.last() != expected.last() {
        let batch = within(session.next()).await.unwrap();
        assert!(batch.gap.is_none(), "{:?}", batch.gap);
        seen.extend(
            batch
                .events
                .iter()
                .map(|event| (event.place(), data(event))),
        );
    }
    check(&seen, &expected);
    drop((session, bus));
    engine.stop().await;
    drop(engine);

    let engine = open(&folder);
    assert_eq!(engine.epoch(), epoch);
    let bus = Bus::start(engine, BusConfig::default());
    let mut session = bus.open(SessionOptions::default());
    session.subscribe(all, StartAt::Start).await.unwrap();
    let mut stored = Vec::new();
    while let Some(batch) = session.next_within(Duration::ZERO).await.unwrap() {
        stored.extend(
            batch
                .events
                .iter()
                .map(|event| (event.place(), data(event))),
        );
    }
    assert_eq!(stored, seen, "a subscriber has seen what was stored");
}

/// Everything that was acknowledged is there, in order; what was unknown is there once at most.
fn check(seen: &[(u64, u64)], acknowledged: &[(u64, u64)]) {
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1)
    );
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|event| !seen.contains(event))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn data(event: &tidewire_bus::Encoded) -> u64 {
    let json = std::str::from_utf8(event.json()).unwrap();
    let (_, data) = json.rsplit_once("\"data\":").unwrap();
    data.trim_end_matches('}').parse().unwrap()
}
