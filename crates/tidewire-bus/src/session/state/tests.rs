//! Goal: whatever is subscribed, unsubscribed and caught up in whatever order, nothing is lost,
//! nothing is repeated, and the cursor never passes an event that was not delivered.
//! Method: random steps over a log without eviction; a naive record of what each pattern is owed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::testing::event;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Subscribe { patterns: Vec<usize>, back: u64 },
    Unsubscribe(usize),
    Deliver(usize),
}

const TOPICS: [&str; 4] = ["a.x", "a.y", "b.x", "c"];
const PATTERNS: [&str; 6] = ["a.x", "a.*", "*.x", ">", "c", "b.>"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..TOPICS.len()).prop_map(Step::Append),
        2 => (prop::collection::vec(0..PATTERNS.len(), 1..3), 0..12_u64)
            .prop_map(|(patterns, back)| Step::Subscribe { patterns, back }),
        1 => (0..PATTERNS.len()).prop_map(Step::Unsubscribe),
        4 => (1..4_usize).prop_map(Step::Deliver),
    ]
}

struct Subscriber {
    log: Vec<Arc<Encoded>>,
    state: State,
    delivered: BTreeSet<u64>,
    /// For each pattern, the places after which it is owed everything.
    owed: BTreeMap<usize, u64>,
}

impl Subscriber {
    fn new() -> Self {
        Self {
            log: Vec::new(),
            state: State::new(Epoch::parse("test").unwrap(), 0),
            delivered: BTreeSet::new(),
            owed: BTreeMap::new(),
        }
    }

    fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn look(&self, want: &Want, max: usize) -> Got {
        let matches = |event: &&Arc<Encoded>| {
            let topic = event.event().topic();
            event.place() > want.after
                && event.place() <= want.to
                && want.patterns.iter().any(|pattern| pattern.matches(topic))
        };
        let mut matching = self.log.iter().filter(matches).cloned();
        let events: Vec<_> = matching.by_ref().take(max).collect();
        let at_end = matching.next().is_none();
        let last = events.last().map_or(want.after, |event| event.place());
        Got {
            examined: if at_end { self.head() } else { last },
            events: events.into(),
            at_end,
            ..Got::default()
        }
    }

    /// One read; gives whether another one may find more.
    fn deliver(&mut self, max: usize) -> Result<bool, TestCaseError> {
        let want = self.state.want();
        let got = self.look(&want, max);
        let is_end_of_log = got.at_end && got.examined < want.to;
        let batch = self.state.absorb(&want, got);
        let mut last = 0;
        for event in batch.iter().flat_map(|batch| &batch.events) {
            prop_assert!(event.place() > last, "a batch is in log order");
            last = event.place();
            prop_assert!(self.delivered.insert(last), "{} came twice", last);
            let topic = event.event().topic();
            let is_subscribed = self.state.patterns().any(|pattern| pattern.matches(topic));
            prop_assert!(is_subscribed, "{} is not subscribed", topic);
            // Cut just after this event, the session would resume at its id.
            self.check_owed(last)?;
        }
        let cursor = self.state.cursor().place;
        prop_assert!(cursor <= self.head());
        self.check_owed(cursor)?;
        Ok(batch.is_some() || !is_end_of_log)
    }

    fn check_owed(&self, up_to: u64) -> Result<(), TestCaseError> {
        for (&pattern, &after) in &self.owed {
            let pattern = Pattern::parse(PATTERNS[pattern]).unwrap();
            for event in &self.log {
                let is_owed = event.place() > after
                    && event.place() <= up_to
                    && pattern.matches(event.event().topic());
                prop_assert!(
                    !is_owed || self.delivered.contains(&event.place()),
                    "{} was passed",
                    event.place()
                );
            }
        }
        Ok(())
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut subscriber = Subscriber::new();
    for step in steps {
        match step {
            Step::Append(topic) => {
                let next = event(TOPICS[topic], subscriber.head() + 1);
                subscriber.log.push(next);
            }
            Step::Subscribe { patterns, back } => {
                let after = subscriber.head().saturating_sub(back);
                let named: Vec<_> = patterns
                    .iter()
                    .map(|&pattern| Pattern::parse(PATTERNS[pattern]).unwrap())
                    .collect();
                subscriber.state.subscribe(&named, after, 0, None);
                for pattern in patterns {
                    let owed = subscriber.owed.entry(pattern).or_insert(after);
                    *owed = after.min(*owed);
                }
            }
            Step::Unsubscribe(pattern) => {
                let named = Pattern::parse(PATTERNS[pattern]).unwrap();
                let was_subscribed = subscriber.owed.remove(&pattern).is_some();
                prop_assert_eq!(subscriber.state.unsubscribe(&named), was_subscribed);
            }
            Step::Deliver(max) => {
                subscriber.deliver(max)?;
            }
        }
    }
    while subscriber.deliver(3)? {}
    subscriber.check_owed(subscriber.head())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_is_lost_repeated_or_passed(steps in prop::collection::vec(step(), 0..80)) {
        run(steps)?;
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn places(batch: &Batch) -> Vec<u64> {
    batch.events.iter().map(|event| event.place()).collect()
}

#[test]
fn an_added_pattern_is_caught_up_before_anything_else_comes() {
    let mut subscriber = Subscriber::new();
    subscriber.state.subscribe(&[pattern("a.*")], 0, 0, None);
    for (place, topic) in [(1, "a.x"), (2, "b.x"), (3, "b.x"), (4, "a.x")] {
        subscriber.log.push(event(topic, place));
    }
    subscriber.deliver(10).unwrap();
    subscriber.log.push(event("a.x", 5));
    subscriber.state.subscribe(&[pattern("*.x")], 1, 0, None);

    let mut deliver = || {
        let want = subscriber.state.want();
        let got = subscriber.look(&want, 10);
        subscriber.state.absorb(&want, got)
    };
    let caught_up = deliver().unwrap();
    assert_eq!(
        places(&caught_up),
        [2, 3],
        "what was missed, without what it has had"
    );
    assert_eq!(places(&deliver().unwrap()), [5]);
}

#[test]
fn a_slow_reader_that_lost_events_is_told_once_before_the_events_that_follow() {
    let mut state = State::new(Epoch::parse("test").unwrap(), 3);
    state.subscribe(&[pattern("a")], 3, 0, None);
    let want = state.want();
    let got = Got {
        events: vec![event("a", 8), event("a", 9)].into(),
        examined: 9,
        at_end: true,
        lost: vec![pattern("a")],
        evictions: Some(5),
        ..Got::default()
    };
    let batch = state.absorb(&want, got).unwrap();
    let gap = batch.gap.unwrap();
    assert_eq!(gap.reason, GapReason::Slow);
    assert_eq!(
        (gap.after.as_str(), gap.cursor.as_str()),
        ("test-13", "test-17")
    );
    assert_eq!(
        state.want().told,
        [5],
        "the same eviction is not told again"
    );
}

#[test]
fn until_a_gap_is_told_the_cursor_is_the_one_that_was_asked_for() {
    let asked = Cursor::new(Epoch::parse("other").unwrap(), 77);
    let gap = Gap {
        topics: vec!["a".into()],
        after: asked.to_string(),
        cursor: "test-13".into(),
        reason: GapReason::Epoch,
    };
    let mut state = State::new(Epoch::parse("test").unwrap(), 9);
    state.subscribe(&[pattern("a")], 3, 1, Some((gap, asked)));
    assert_eq!(state.cursor(), asked);
    let want = state.want();
    let got = Got {
        examined: 9,
        at_end: true,
        ..Got::default()
    };
    let batch = state.absorb(&want, got).unwrap();
    assert_eq!(batch.gap.unwrap().reason, GapReason::Epoch);
    assert_eq!((batch.cursor.place, state.cursor().place), (9, 9));
}

/// Found by the simulation: what a pattern that stands behind still had to get was passed.
#[test]
fn a_gap_of_one_pattern_never_leads_past_what_another_still_has_to_get() {
    let place = |place| Cursor::new(Epoch::parse("test").unwrap(), place);
    let gap = Gap {
        topics: vec!["b".into()],
        after: place(50).to_string(),
        cursor: place(60).to_string(),
        reason: GapReason::Evicted,
    };
    let mut state = State::new(Epoch::parse("test").unwrap(), 10);
    state.subscribe(&[pattern("a")], 10, 0, None);
    state.subscribe(&[pattern("b")], 60, 1, Some((gap, place(50))));
    assert_eq!(state.cursor(), place(10));
    state.subscribe(&[pattern("c")], 7, 1, None);
    assert_eq!(state.cursor(), place(7));
    let want = state.want();
    assert_eq!((want.after, want.to), (7, 10));
    let got = Got {
        events: vec![event("c", 9)].into(),
        examined: 10,
        ..Got::default()
    };
    let batch = state.absorb(&want, got).unwrap();
    assert_eq!(batch.gap.unwrap().cursor, place(8).to_string());
    assert_eq!(batch.cursor, place(10));
}

#[test]
fn two_patterns_that_are_caught_up_are_merged_into_one_order() {
    let mut subscriber = Subscriber::new();
    for place in 1..=6 {
        let topic = if place % 2 == 1 { "b.x" } else { "c" };
        subscriber.log.push(event(topic, place));
    }
    subscriber.state.subscribe(&[pattern("a.x")], 6, 0, None);
    subscriber.state.subscribe(&[pattern("b.>")], 0, 0, None);
    subscriber.state.subscribe(&[pattern("c")], 0, 0, None);
    let want = subscriber.state.want();
    let got = subscriber.look(&want, 10);
    let batch = subscriber.state.absorb(&want, got).unwrap();
    assert_eq!(places(&batch), [1, 2, 3, 4, 5, 6]);
}
