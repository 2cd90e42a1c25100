//! Goal: a batch that others have read is what the session would have read by itself, whatever was appended,
//! forgotten, evicted or swept in between.
//! Method: random steps; each read is made both ways on the same log.

use proptest::prelude::*;

use super::*;
use crate::testing::event;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Forget {
        topic: usize,
        back: u64,
    },
    Sweep,
    Come(usize),
    Go(usize),
    Read {
        session: usize,
        back: u64,
        max_events: usize,
        max_bytes: usize,
    },
}

const TOPICS: [&str; 3] = ["a.x", "a.y", "b"];
const PATTERNS: [&str; 3] = ["a.x", "a.*", ">"];

fn step() -> impl Strategy<Value = Step> {
    let read = (
        0..100_usize,
        0..10_u64,
        1..4_usize,
        prop_oneof![Just(1), Just(usize::MAX)],
    );
    prop_oneof![
        4 => (0..TOPICS.len()).prop_map(Step::Append),
        1 => (0..TOPICS.len(), 0..3_u64).prop_map(|(topic, back)| Step::Forget { topic, back }),
        1 => Just(Step::Sweep),
        1 => (0..PATTERNS.len()).prop_map(Step::Come),
        1 => (0..100_usize).prop_map(Step::Go),
        12 => read.prop_map(|(session, back, max_events, max_bytes)| Step::Read {
            session,
            back,
            max_events,
            max_bytes,
        }),
    ]
}

/// What a read says; `None`: only the engine knows.
fn said(read: WindowRead) -> Option<(Vec<u64>, u64, bool)> {
    match read {
        WindowRead::Events {
            events,
            examined,
            at_end,
        } => Some((
            events.iter().map(|event| event.place()).collect(),
            examined,
            at_end,
        )),
        WindowRead::Behind => None,
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let bounds = WindowBounds {
        max_events: 6,
        max_bytes: usize::MAX,
    };
    let log = Log::new(bounds, 0, Duration::ZERO);
    let woken = Arc::new(Woken::new());
    let register = |pattern: &str| log.register(&Pattern::parse(pattern).unwrap(), &woken);
    let topic = |index: usize| Topic::parse(TOPICS[index]).unwrap();
    let mut sessions: Vec<_> = PATTERNS
        .iter()
        .chain(&PATTERNS)
        .map(|name| register(name))
        .collect();
    let mut head = 0;
    for step in steps {
        match step {
            Step::Append(index) => {
                head += 1;
                let event = event(TOPICS[index], head);
                log.apply(&[FeedItem::Event {
                    event,
                    evicted_to: 0,
                }]);
            }
            Step::Forget { topic: index, back } => log.apply(&[FeedItem::Forgotten {
                topic: topic(index),
                evicted_to: head.saturating_sub(back),
            }]),
            Step::Sweep => log.sweep(),
            Step::Come(index) => sessions.push(register(PATTERNS[index])),
            Step::Go(index) if sessions.len() > 1 => {
                log.release(&sessions.swap_remove(index % sessions.len()));
            }
            Step::Go(_) => {}
            Step::Read {
                session,
                back,
                max_events,
                max_bytes,
            } => {
                let held = &sessions[session % sessions.len()];
                let wanted = Wanted {
                    after: head.saturating_sub(back),
                    to: u64::MAX,
                    max_events,
                    max_bytes,
                };
                let alone = said(read(&log.state).read(&[held], wanted));
                prop_assert_eq!(said(log.read(&[held], wanted)), alone);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_shared_batch_is_what_each_would_have_read(steps in prop::collection::vec(step(), 0..80)) {
        run(steps)?;
    }
}

#[test]
fn sessions_at_the_same_place_get_the_same_list() {
    let bounds = WindowBounds {
        max_events: 6,
        max_bytes: usize::MAX,
    };
    let log = Log::new(bounds, 0, Duration::ZERO);
    let woken = Arc::new(Woken::new());
    let pattern = Pattern::parse("a").unwrap();
    let sessions: Vec<_> = (0..3).map(|_| log.register(&pattern, &woken)).collect();
    let read = |session: usize, after| {
        let wanted = Wanted {
            after,
            to: u64::MAX,
            max_events: 2,
            max_bytes: usize::MAX,
        };
        match log.read(&[&sessions[session]], wanted) {
            WindowRead::Events { events, .. } => events,
            WindowRead::Behind => panic!("the window has it"),
        }
    };
    let append = |place| {
        let event = event("a", place);
        log.apply(&[FeedItem::Event {
            event,
            evicted_to: 0,
        }]);
    };
    append(1);
    let (first, second) = (read(0, 0), read(1, 0));
    assert_eq!(first.as_ptr(), second.as_ptr());
    append(2);
    let late = read(2, 0);
    assert_eq!(late.len(), 2, "who is late gets everything at once");
    let (first, second) = (read(0, 1), read(1, 1));
    assert_eq!(first.as_ptr(), second.as_ptr());
    append(3);
    assert_eq!(read(0, 0).as_ptr(), late.as_ptr(), "no more fits into it");
}
