//! What both sides wrote down.
//! Shape: a publication with all its answers for each publisher; steps in their order for each subscriber.
//! Each record has a file of its own beside it, a line for each entry, for a person to read.
//! Unit: milliseconds since the run began.
//! Bound: some 150 bytes for each delivery in memory: a run of hours wants a few hundred megabytes.
//! Failure: a file that cannot be written ends the run.
//! Source: the oracle of the fault list.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tidewire_client::{Gap, Transport};
use tidewire_protocol::Pattern;

/// One event that somebody wanted to publish, and every answer to it.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) topic: Arc<str>,
    pub(crate) key: String,
    /// The JSON text: no two publications have the same.
    pub(crate) data: Arc<str>,
    /// Whether the gateway has to take it.
    pub(crate) valid: bool,
    pub(crate) answers: Vec<Answer>,
}

/// What the publisher learned from one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A 2xx.
    Stored {
        id: String,
        /// It said that the key was known.
        duplicate: bool,
    },
    /// A no for good.
    Refused(String),
    /// No answer, or one that leaves it open.
    Unknown(String),
}

/// What one subscriber did and got.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It has a new connection.
    Opened {
        transport: Transport,
        /// Which way: `direct` or the name of a proxy.
        lane: &'static str,
        /// `now`, `start` or a cursor.
        asked: String,
        /// What the gateway said; a poll from the oldest event says none.
        cursor: Option<String>,
        resumed: bool,
    },
    Event {
        id: Box<str>,
        topic: Arc<str>,
        data: Arc<str>,
    },
    Gap(Box<Gap>),
    /// Everything up to here was delivered.
    Cursor(Box<str>),
    /// The connection is gone, and why.
    Ended(String),
}

/// A step and when it was.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at_ms: u32,
    pub(crate) step: Step,
}

/// One subscriber: what it wants and what it saw.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) steps: Vec<Seen>,
}

/// A record that grows, with its file.
#[derive(Debug)]
pub(crate) struct Record<T> {
    began: Instant,
    /// Std mutex: held for one entry, or by the checker while nobody writes.
    entries: Mutex<(T, BufWriter<File>)>,
}

impl<T> Record<T> {
    pub(crate) fn new(file: &Path, began: Instant, entries: T) -> Self {
        let file = File::create(file).expect("the folder of the run takes files");
        Self {
            began,
            entries: Mutex::new((entries, BufWriter::new(file))),
        }
    }

    /// The entries, with the file still closed to others.
    pub(crate) fn lock(&self) -> MutexGuard<'_, (T, BufWriter<File>)> {
        self.entries.lock().unwrap()
    }

    /// Everything that was written down is in the file.
    pub(crate) fn flush(&self) {
        self.lock().1.flush().expect("the disk of the run has room");
    }

    fn at_ms(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}

impl Record<Vec<Publication>> {
    /// Notes what is about to be published and gives its number.
    pub(crate) fn publish(&self, publication: Publication) -> usize {
        let at_ms = self.at_ms();
        let mut record = self.lock();
        let (publications, file) = &mut *record;
        let number = publications.len();
        let Publication {
            topic, key, data, ..
        } = &publication;
        line(file, at_ms, &format!("#{number} {topic} {key} {data}"));
        publications.push(publication);
        number
    }

    /// Notes an answer.
    pub(crate) fn answer(&self, number: usize, answer: Answer) {
        let at_ms = self.at_ms();
        let mut record = self.lock();
        let (publications, file) = &mut *record;
        line(file, at_ms, &format!("#{number} {answer}"));
        publications[number].answers.push(answer);
    }
}

impl Record<Subscription> {
    /// Notes a step.
    pub(crate) fn step(&self, step: Step) {
        let at_ms = self.at_ms();
        let mut record = self.lock();
        let (subscription, file) = &mut *record;
        line(file, at_ms, &step.to_string());
        subscription.steps.push(Seen { at_ms, step });
    }
}

fn line(file: &mut BufWriter<File>, at_ms: u32, text: &str) {
    writeln!(file, "{} {text}", Time(at_ms)).expect("the disk of the run has room");
}

/// Text that many records hold, once.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<HashMap<Arc<str>, ()>>);

impl Texts {
    pub(crate) fn shared(&self, text: &str) -> Arc<str> {
        let mut texts = self.0.lock().unwrap();
        if let Some((text, ())) = texts.get_key_value(text) {
            return Arc::clone(text);
        }
        let text: Arc<str> = text.into();
        texts.insert(Arc::clone(&text), ());
        text
    }
}

/// Milliseconds since the run began, as a person reads them.
pub(crate) struct Time(pub(crate) u32);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ms) = self;
        write!(f, "{:>4}.{:03}", ms / 1000, ms % 1000)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored { id, duplicate } => {
                let word = if *duplicate { "duplicate" } else { "stored" };
                write!(f, "{word} {id}")
            }
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened {
                transport,
                lane,
                asked,
                cursor,
                resumed,
            } => {
                let cursor = cursor.as_deref().unwrap_or("none");
                write!(f, "opened {transport} {lane} after={asked} cursor={cursor}")?;
                write!(f, " resumed={resumed}")
            }
            Self::Event { id, topic, data } => write!(f, "event {id} {topic} {data}"),
            Self::Gap(gap) => {
                let Gap {
                    topics,
                    after,
                    cursor,
                    reason,
                } = &**gap;
                write!(f, "gap {reason} after={after} cursor={cursor} {topics:?}")
            }
            Self::Cursor(cursor) => write!(f, "cursor {cursor}"),
            Self::Ended(why) => write!(f, "ended: {why}"),
        }
    }
}
