//! Damage to the store is told, never served.
//! Method: a log is written once and closed. Then, again and again: one of its files is damaged at random
//! (bits flipped, bytes overwritten or zeroed, its end cut off, the whole of it removed) and the log is
//! opened, twice, as a service manager would. It opens as what was written, or in a new epoch with a
//! prefix of it, or it says what is wrong. `TIDEWIRE_SEED` gives the same damage again.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::fs;
use std::path::{Path, PathBuf};

use rand::distr::Alphanumeric;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tidewire_bus::engine::{Page, Read};
use tidewire_bus::{
    Append, DiskConfig, DiskEngine, Engine, IdempotencyKey, OpenError, ReadError, Retention,
    RetentionRule, RetentionTable,
};
use tidewire_protocol::{Epoch, EventBody, Pattern, Topic};

const TOPICS: [&str; 3] = ["few.a", "few.b", "all"];
/// What a topic of `few` keeps.
const FEW: usize = 20;

fn retention() -> RetentionTable {
    let keep = |max_events| Retention {
        max_events,
        max_bytes: None,
        max_age: None,
    };
    let few = RetentionRule {
        topics: Pattern::parse("few.*").unwrap(),
        limits: keep(Some(FEW as u64)),
    };
    RetentionTable::new(vec![few], keep(None))
}

/// A payload that does not compress, and is unlike any other.
fn json(rng: &mut StdRng, longest: usize) -> String {
    let length = rng.random_range(16..longest);
    let text: String = rng
        .sample_iter(Alphanumeric)
        .take(length)
        .map(char::from)
        .collect();
    format!(",\"data\":\"{text}\"}}")
}

/// A log that was closed, and a copy of it to begin from again.
struct Specimen {
    folder: TempDir,
    copy: TempDir,
    epoch: Epoch,
    /// Topic and payload of the event at each place, from 1.
    events: Vec<(&'static str, String)>,
}

impl Specimen {
    async fn write(rng: &mut StdRng, batches: usize, longest: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path()).unwrap();
        let mut feed = engine.feed().unwrap();
        let pump = tokio::spawn(async move {
            loop {
                let items = feed.next().await;
                feed.applied(&items);
            }
        });
        let mut events = Vec::new();
        for _ in 0..batches {
            let batch = (0..rng.random_range(1..20)).map(|_| {
                let topic = *TOPICS.choose(rng).unwrap();
                let json = json(rng, longest);
                events.push((topic, json.clone()));
                let key = rng.random_bool(0.3).then(|| IdempotencyKey {
                    publisher: "p".into(),
                    key: events.len().to_string(),
                    element: None,
                });
                Append {
                    topic: Topic::parse(topic).unwrap(),
                    body: EventBody::from_stored(json.into()),
                    key,
                }
            });
            let batch = batch.collect();
            let answers = engine.append(batch).await;
            assert!(answers.iter().all(Result::is_ok));
        }
        let epoch = engine.epoch();
        // The mark as a kill would leave it: not as it is once more written at the end.
        let mark = folder.path().join("head");
        let marked = fs::read(&mark).unwrap();
        engine.stop().await;
        drop(engine);
        pump.abort();
        // Another start cuts off the zeros that a new journal ends with.
        open(folder.path()).unwrap().stop().await;
        fs::write(mark, marked).unwrap();
        let copy = tempfile::tempdir().unwrap();
        for file in files(folder.path()) {
            let to = copy.path().join(file.strip_prefix(folder.path()).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        Self {
            folder,
            copy,
            epoch,
            events,
        }
    }

    /// The log as it was closed. The mark is written over in place: made anew, it would be a copy's.
    fn restore(&self) {
        for file in files(self.folder.path()) {
            if !file.ends_with("head") {
                fs::remove_file(file).unwrap();
            }
        }
        for file in files(self.copy.path()) {
            let to = self
                .folder
                .path()
                .join(file.strip_prefix(self.copy.path()).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
    }

    /// What was retained once the log had come to this place.
    fn retained(&self, head: u64) -> Vec<(u64, &str, &str)> {
        let mut kept = Vec::new();
        let mut counts = [0; TOPICS.len()];
        for place in (1..=head).rev() {
            let (topic, json) = &self.events[usize::try_from(place).unwrap() - 1];
            let number = TOPICS.iter().position(|name| name == topic).unwrap();
            counts[number] += 1;
            if *topic == "all" || counts[number] <= FEW {
                kept.push((place, *topic, json.as_str()));
            }
        }
        kept.reverse();
        kept
    }

    /// Opens the log after the damage, and looks at all of it.
    async fn examine(&self) -> Verdict {
        let engine = match open(self.folder.path()) {
            Ok(engine) => engine,
            Err(error) => {
                let said = error.to_string();
                let names_it = said.contains(self.folder.path().to_str().unwrap());
                assert!(names_it, "it does not say which folder: {said}");
                return Verdict::Refused;
            }
        };
        let head = engine.head();
        assert!(head <= self.events.len() as u64, "the log has come further");
        let retained = self.retained(head);
        let mut told = false;
        for pattern in ["few.a", "few.*", "all", ">"] {
            let pattern = Pattern::parse(pattern).unwrap();
            let expected = retained
                .iter()
                .filter(|(_, topic, _)| pattern.matches(&Topic::parse(topic).unwrap()));
            told |= self.read_all(&engine, &pattern, expected.copied()).await;
        }
        let epoch = engine.epoch();
        engine.stop().await;
        if epoch != self.epoch {
            return Verdict::NewEpoch;
        }
        assert_eq!(
            head,
            self.events.len() as u64,
            "events are gone without a word"
        );
        if told { Verdict::Told } else { Verdict::Whole }
    }

    /// Gives whether a part could not be read, and was said to be.
    async fn read_all<'a>(
        &self,
        engine: &dyn Engine,
        pattern: &Pattern,
        mut expected: impl Iterator<Item = (u64, &'a str, &'a str)>,
    ) -> bool {
        let mut after = 0;
        loop {
            let Ok(page) = read(engine, pattern, after).await else {
                return true;
            };
            for event in &page.events {
                let (place, topic, json) = expected.next().expect("an event too many");
                assert_eq!(
                    (event.place(), event.event().topic().as_str()),
                    (place, topic)
                );
                let text = std::str::from_utf8(event.json()).unwrap();
                assert!(text.ends_with(json), "damaged data: {text}");
            }
            if page.at_end {
                assert_eq!(expected.next(), None, "missing from {pattern}");
                return false;
            }
            after = page.examined;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Nothing of it was needed.
    Whole,
    /// What could be read was right, and the rest was an error.
    Told,
    /// A prefix, in a new epoch.
    NewEpoch,
    /// It did not open, and said why.
    Refused,
}

fn open(folder: &Path) -> Result<DiskEngine, OpenError> {
    DiskEngine::open(folder, DiskConfig::default(), retention())
}

async fn read(engine: &dyn Engine, pattern: &Pattern, after: u64) -> Result<Page, ReadError> {
    let read = Read {
        patterns: vec![pattern.clone()],
        after,
        before: u64::MAX,
        descending: false,
        told: vec![u64::MAX],
        max_events: 500,
        max_bytes: 4 << 20,
    };
    engine.read(read).await
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Damages one file and says what was done.
fn damage(folder: &Path, rng: &mut StdRng) -> String {
    let mut files = files(folder);
    // Where a list of tables is damaged the library may abort the whole process: the tests of the command line
    // show what is said then.
    files.retain(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        !(name.starts_with('v') && name != "version")
    });
    if rng.random() {
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jnl"));
    }
    let file = files.choose(rng).unwrap();
    let name = file.strip_prefix(folder).unwrap().display();
    let mut bytes = fs::read(file).unwrap();
    // A new journal ends with zeros that nothing stands in.
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    // The mark cannot be put back as the file that it was.
    if end == 0 || rng.random_ratio(1, 20) && !file.ends_with("head") {
        fs::remove_file(file).unwrap();
        return format!("{name} removed");
    }
    let place = rng.random_range(0..end);
    let to = (place + rng.random_range(1..64)).min(end);
    let what = match rng.random_range(0..4) {
        0 => {
            bytes[place] ^= 1 << rng.random_range(0..8);
            "a bit flipped"
        }
        1 => {
            rng.fill(&mut bytes[place..to]);
            "overwritten"
        }
        2 => {
            bytes[place..to].fill(0);
            "zeroed"
        }
        _ => {
            bytes.truncate(place);
            "cut"
        }
    };
    // In place, as a disk would: the mark stays the file that it is.
    fs::write(file, &bytes).unwrap();
    format!("{name} {what} at {place} to {to} of {end}")
}

async fn run(name: &str, cases: usize, batches: usize, longest: usize) {
    let seed = std::env::var("TIDEWIRE_SEED").ok();
    let seed = seed.map_or_else(rand::random, |seed| seed.parse().unwrap());
    eprintln!("TIDEWIRE_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let specimen = Specimen::write(&mut rng, batches, longest).await;
    assert_eq!(specimen.examine().await, Verdict::Whole, "undamaged");
    let mut verdicts = std::collections::BTreeMap::new();
    for _ in 0..cases {
        specimen.restore();
        eprintln!("{name}: {}", damage(specimen.folder.path(), &mut rng));
        let first = specimen.examine().await;
        // What was refused stays refused, and what was lost does not come back as whole.
        let second = specimen.examine().await;
        eprintln!("  {first:?}, then {second:?}");
        let is_consistent = match first {
            Verdict::Refused => second == Verdict::Refused,
            // The first start has given the log its new epoch.
            Verdict::NewEpoch => second != Verdict::Whole,
            Verdict::Whole | Verdict::Told => true,
        };
        assert!(is_consistent, "{first:?}, then {second:?}");
        *verdicts.entry(first).or_insert(0) += 1;
    }
    eprintln!("{name}: {verdicts:?}");
    let told = verdicts
        .keys()
        .filter(|verdict| **verdict != Verdict::Whole);
    assert!(
        told.count() > 0,
        "no damage was found in {cases} cases: {verdicts:?}"
    );
}

fn cases(full: usize, quick: usize) -> usize {
    if std::env::var_os("TIDEWIRE_QUICK").is_some() {
        quick
    } else {
        full
    }
}

/// Goal: see the module. Method: a small log: one journal, nothing written out of it yet.
#[tokio::test(flavor = "multi_thread")]
async fn damage_to_a_small_log_is_told_and_never_served() {
    run("small", cases(150, 30), 60, 500).await;
}

/// Goal: see the module. Method: a log of some 100 MB: more than one journal, and tables that were written out.
#[tokio::test(flavor = "multi_thread")]
async fn damage_to_a_large_log_is_told_and_never_served() {
    run("large", cases(12, 3), 500, 40_000).await;
}
