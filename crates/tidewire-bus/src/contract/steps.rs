//! The steps that a sequence is made of.
//! Shape: small numbers, which the sequence reduces to what there is at that moment: so every shorter
//! sequence is a valid one too.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::subsequence;
use tidewire_protocol::Pattern;

use super::model::{self, KEYS, MAX_AGE, PATTERNS, TOPICS};

/// One event to append: its topic, its data, its key.
pub(super) type NewEvent = (usize, u32, Option<usize>);

#[derive(Clone, Debug)]
pub(super) enum Step {
    Append(Vec<NewEvent>),
    Forget(usize),
    Read(ReadStep),
    Seek {
        patterns: Vec<&'static str>,
        newest: Option<usize>,
    },
    /// What is kept of each topic.
    Topics,
    /// A session that begins somewhere and reads to the end.
    Resume {
        patterns: Vec<&'static str>,
        from: From,
        batch: usize,
    },
    /// Less than any event's age.
    Pass(Duration),
    /// Enough for some events to become too old.
    Age(Duration),
    Reopen,
}

/// A page. Places are counted from the head backwards, so that most of them are where something is.
#[derive(Clone, Debug)]
pub(super) struct ReadStep {
    pub(super) patterns: Vec<&'static str>,
    pub(super) after: u8,
    pub(super) before: Option<u8>,
    pub(super) descending: bool,
    pub(super) told: Vec<u8>,
    pub(super) max_events: usize,
    pub(super) max_bytes: Option<usize>,
}

/// Where a session begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    After(u8),
    Start,
    Last(u32),
    Foreign,
    Future,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..60)
}

/// Fewer steps, some of which let events become too old.
pub(super) fn aged() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(step(), 1..12);
    let age = || {
        prop_oneof![
            Just(MAX_AGE * 6 / 10),
            Just(MAX_AGE + Duration::from_millis(1))
        ]
    };
    (some(), age(), some(), age(), some()).prop_map(|(before, first, between, second, after)| {
        let mut steps = before;
        steps.push(Step::Age(first));
        steps.extend(between);
        steps.push(Step::Age(second));
        steps.extend(after);
        steps
    })
}

fn step() -> impl Strategy<Value = Step> {
    let read = (
        patterns(),
        any::<u8>(),
        prop::option::weighted(0.3, any::<u8>()),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 3),
        1..6_usize,
        prop::option::weighted(0.2, 1..400_usize),
    );
    let read = read.prop_map(
        |(patterns, after, before, descending, told, max_events, max_bytes)| {
            Step::Read(ReadStep {
                patterns,
                after,
                before,
                descending,
                told,
                max_events,
                max_bytes,
            })
        },
    );
    // A part of the window of the keys, and a little more than all of it.
    let pass = prop_oneof![Just(50), Just(130)];
    prop_oneof![
        6 => prop::collection::vec(event(), 1..8).prop_map(Step::Append),
        1 => (0..TOPICS.len()).prop_map(Step::Forget),
        4 => read,
        2 => (patterns(), prop::option::of(1..5_usize))
            .prop_map(|(patterns, newest)| Step::Seek { patterns, newest }),
        1 => Just(Step::Topics),
        3 => (patterns(), from(), 1..4_usize)
            .prop_map(|(patterns, from, batch)| Step::Resume { patterns, from, batch }),
        1 => pass.prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        1 => Just(Step::Reopen),
    ]
}

pub(super) fn event() -> impl Strategy<Value = NewEvent> {
    let key = prop::option::weighted(0.4, 0..KEYS.len());
    (0..TOPICS.len(), 0..3_u32, key)
}

/// One to three of them; many sets overlap.
pub(super) fn patterns() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(PATTERNS.to_vec(), 1..=3).prop_shuffle()
}

pub(super) fn parsed(patterns: &[&str]) -> Vec<Pattern> {
    patterns.iter().map(|name| model::pattern(name)).collect()
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        8 => any::<u8>().prop_map(From::After),
        1 => Just(From::Start),
        1 => (1..4_u32).prop_map(From::Last),
        1 => Just(From::Foreign),
        1 => Just(From::Future),
    ]
}
