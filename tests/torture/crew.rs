//! Who publishes and who subscribes, and what they share.
//! Shape: four publishers, two of them over WebSockets; eighteen subscribers, three for each set of patterns: one
//! directly, one through the proxies, one that is slow. Every random choice of theirs comes from the seed and their
//! number.
//! Source: the oracle of the fault list.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tidewire_protocol::{Cursor, Pattern};
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;

use crate::checker::{Place, Rules, Summary, Violation, check};
use crate::history::{Publication, Record, Subscription, Texts, Time};
use crate::publisher::{Means, Publisher};
use crate::subscriber::Subscriber;

/// What every actor has.
#[derive(Debug)]
pub(crate) struct Shared {
    /// PEM, of the first start.
    pub(crate) certificate: Vec<u8>,
    /// The log and its keys are there after a restart.
    pub(crate) is_durable: bool,
    /// A publisher holds it for reading while it has something open; a calm takes it for writing.
    pub(crate) gate: RwLock<()>,
    pub(crate) texts: Texts,
    /// Every subscriber drops its connection when this changes.
    pub(crate) storms: watch::Sender<()>,
    pub(crate) over: watch::Sender<bool>,
    /// A calm is on: nobody leaves or stops reading by its own will.
    pub(crate) calm: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Shared {
    pub(crate) fn new(certificate: Vec<u8>, is_durable: bool) -> Arc<Self> {
        Arc::new(Self {
            certificate,
            is_durable,
            gate: RwLock::default(),
            texts: Texts::default(),
            storms: watch::Sender::new(()),
            over: watch::Sender::new(false),
            calm: AtomicBool::default(),
            acknowledged: AtomicU64::default(),
            delivered: AtomicU64::default(),
            gaps: AtomicU64::default(),
            connections: AtomicU64::default(),
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Acquire)
    }

    /// One line of numbers.
    pub(crate) fn progress(&self) -> String {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "acknowledged {}, delivered {}, gaps {}, connections {}",
            number(&self.acknowledged),
            number(&self.delivered),
            number(&self.gaps),
            number(&self.connections),
        )
    }
}

/// Everybody, with their records.
pub(crate) struct Crew {
    rules: Rules,
    publications: Vec<Arc<Record<Vec<Publication>>>>,
    subscriptions: Vec<Arc<Record<Subscription>>>,
    marks_seen: Vec<watch::Receiver<u64>>,
    marks: (Publisher, Means),
    marks_made: u64,
    tasks: JoinSet<()>,
}

/// The ways to the server.
pub(crate) struct Ways {
    pub(crate) direct: SocketAddr,
    /// Where faults happen.
    pub(crate) rough: SocketAddr,
    /// The same, with tiny socket buffers.
    pub(crate) narrow: SocketAddr,
}

impl Crew {
    /// Starts them all.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        rules: Rules,
        ways: &Ways,
        folder: &Path,
        seed: u64,
        pause: Duration,
    ) -> Self {
        let began = Instant::now();
        let [direct, rough, narrow] =
            [ways.direct, ways.rough, ways.narrow].map(|address| format!("https://{address}"));
        let random = |number: usize| StdRng::seed_from_u64(seed ^ ((number as u64 + 1) << 32));
        let mut tasks = JoinSet::new();

        let record = |name: &str| {
            let file = folder.join(format!("publisher-{name}.log"));
            Arc::new(Record::new(&file, began, Vec::new()))
        };
        let marks = record("marks");
        let mut publications = vec![Arc::clone(&marks)];
        for number in 0..PUBLISHERS {
            let record = record(&number.to_string());
            publications.push(Arc::clone(&record));
            let publisher = Publisher {
                number,
                shared: Arc::clone(shared),
                record,
                address: if number % 2 == 0 {
                    ways.direct
                } else {
                    ways.rough
                },
                over_websocket: number >= PUBLISHERS / 2,
                random: random(number),
                pause: pause * PUBLISHERS as u32,
            };
            tasks.spawn(publisher.run());
        }

        let (mut subscriptions, mut marks_seen) = (Vec::new(), Vec::new());
        for (set, topics) in PATTERNS.iter().enumerate() {
            for (kind, name) in ["direct", "proxied", "slow"].into_iter().enumerate() {
                let name = format!("{set}-{name}");
                let mut topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
                topics.push(MARK.to_owned());
                let patterns = topics.iter().map(|topic| Pattern::parse(topic));
                let subscription = Subscription {
                    name: name.clone(),
                    patterns: patterns.collect::<Result<_, _>>().expect("patterns"),
                    steps: Vec::new(),
                };
                let file = folder.join(format!("subscriber-{name}.log"));
                let record = Arc::new(Record::new(&file, began, subscription));
                let mark = watch::Sender::new(0);
                marks_seen.push(mark.subscribe());
                subscriptions.push(Arc::clone(&record));
                let lanes = [
                    vec![("direct", direct.clone())],
                    vec![("rough", rough.clone()), ("direct", direct.clone())],
                    vec![("narrow", narrow.clone())],
                ];
                let subscriber = Subscriber {
                    shared: Arc::clone(shared),
                    record,
                    topics,
                    lanes: lanes[kind].clone(),
                    is_slow: kind == 2,
                    random: random(100 + set * 3 + kind),
                    mark,
                    cursors: std::collections::VecDeque::new(),
                };
                tasks.spawn(subscriber.run());
            }
        }
        Self {
            rules,
            publications,
            subscriptions,
            marks_seen,
            marks: Publisher::of_marks(shared, marks, ways.direct),
            marks_made: 0,
            tasks,
        }
    }

    /// Publishes a mark behind everything that is there, which every subscriber gets too.
    pub(crate) async fn mark(&mut self) -> Cursor {
        self.marks_made += 1;
        let data = format!("{{\"mark\":{}}}", self.marks_made);
        let (publisher, means) = &mut self.marks;
        let id = publisher.publish_one(means, MARK, &data).await;
        Cursor::parse(&id).expect("an id is a cursor")
    }

    /// Waits until every subscriber has seen the newest mark.
    pub(crate) async fn reached(&mut self) {
        for seen in &mut self.marks_seen {
            // It ends with its subscriber only, and they do not end by themselves.
            let _ = seen.wait_for(|mark| *mark >= self.marks_made).await;
        }
    }

    /// Those that have not.
    pub(crate) fn behind(&self) -> Vec<String> {
        let behind = |seen: &watch::Receiver<u64>| *seen.borrow() < self.marks_made;
        let both = self.marks_seen.iter().zip(&self.subscriptions);
        let behind = both.filter(|(seen, _)| behind(seen));
        behind
            .map(|(_, record)| record.lock().0.name.clone())
            .collect()
    }

    /// A panic in one of them is the torture's own failure.
    pub(crate) fn panicked(&mut self) -> Option<String> {
        let ended = self.tasks.try_join_next()?;
        Some(ended.map_or_else(|error| error.to_string(), |()| "it ended".to_owned()))
    }

    /// Checks what was written down so far, while nobody can write.
    pub(crate) fn check(&self, head: Option<Cursor>) -> Result<Summary, String> {
        let publications: Vec<_> = self
            .publications
            .iter()
            .map(|record| record.lock())
            .collect();
        let subscriptions: Vec<_> = self
            .subscriptions
            .iter()
            .map(|record| record.lock())
            .collect();
        let publishers: Vec<&[Publication]> = publications.iter().map(|lock| &lock.0[..]).collect();
        let subscribers: Vec<&Subscription> = subscriptions.iter().map(|lock| &lock.0).collect();
        check(&self.rules, &publishers, &subscribers, head)
            .map_err(|violation| explain(&violation, &publishers, &subscribers))
    }

    /// Ends them, and writes everything to the files.
    pub(crate) async fn stop(&mut self) {
        self.tasks.shutdown().await;
        for record in &self.publications {
            record.flush();
        }
        for record in &self.subscriptions {
            record.flush();
        }
    }
}

/// A violation with what stands around it.
fn explain(
    violation: &Violation,
    publishers: &[&[Publication]],
    subscribers: &[&Subscription],
) -> String {
    let Violation { what, place } = violation;
    let mut lines = Vec::new();
    match *place {
        Place::Publication(publisher, number) => {
            let name = match publisher {
                0 => "marks".to_owned(),
                number => (number - 1).to_string(),
            };
            lines.push(format!("VIOLATION: {what}"));
            lines.push(format!("publisher-{name}, #{number}:"));
            let Publication {
                topic,
                key,
                data,
                answers,
                ..
            } = &publishers[publisher][number];
            lines.push(format!("  {topic} {key} {}", shortened(data)));
            lines.extend(answers.iter().map(|answer| format!("  {answer}")));
        }
        Place::Step(subscriber, index) => {
            let subscription = subscribers[subscriber];
            let patterns: Vec<&str> = subscription.patterns.iter().map(Pattern::as_str).collect();
            lines.push(format!("VIOLATION: {what}"));
            lines.push(format!(
                "subscriber-{}, of {patterns:?}:",
                subscription.name
            ));
            let from = index.saturating_sub(AROUND);
            let steps = subscription.steps.iter().enumerate();
            for (number, seen) in steps.skip(from).take(AROUND * 2) {
                let sign = if number == index { '>' } else { ' ' };
                let step = seen.step.to_string();
                lines.push(format!("{sign} {} {}", Time(seen.at_ms), shortened(&step)));
            }
        }
    }
    lines.join("\n")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What the subscribers want, beside the marks. `steady` is kept, `tight` is not.
const PATTERNS: [&[&str]; 6] = [
    &["steady.>"],
    &["tight.>"],
    &["*.p1.>"],
    &["steady.p0.0", "steady.p2.1", "tight.p3.1"],
    &[">"],
    &["tight.p0.0", "steady.*.2"],
];
/// The topic of the marks.
pub(crate) const MARK: &str = "mark";
/// What the server is configured to, so that a dead connection is found soon.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);
/// The tasks that publish.
pub(crate) const PUBLISHERS: usize = 4;
/// Steps that are shown before and after a violation.
const AROUND: usize = 8;
