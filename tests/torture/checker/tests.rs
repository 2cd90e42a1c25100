//! Hand-made histories: one that is good, and what the checker must refuse.

use tidewire_client::{Gap, GapReason, Transport};

use super::*;
use crate::history::{Answer, Seen, Step};

/// Two steady events, four tight ones of which two are kept, one that was refused and one without an answer.
struct History {
    publications: Vec<Publication>,
    subscriptions: Vec<Subscription>,
    head: Option<Cursor>,
    rules: Rules,
}

impl History {
    fn good() -> Self {
        let mut history = Self {
            publications: Vec::new(),
            subscriptions: Vec::new(),
            head: Some(cursor(6)),
            rules: Rules {
                tight: Pattern::parse("tight.>").unwrap(),
                tight_max_events: 2,
                is_durable: true,
            },
        };
        let topics = [
            "steady.a", "tight.a", "tight.a", "tight.a", "tight.a", "steady.a",
        ];
        for (topic, place) in topics.into_iter().zip(1..) {
            history.publish(topic, &format!("[{place}]"), vec![stored(place)]);
        }
        history.publish("steady.a", "[7]", vec![Answer::Unknown("cut".into())]);
        history.publish(
            "$steady.a",
            "[8]",
            vec![Answer::Refused("forbidden".into())],
        );
        history.publications[7].valid = false;
        // One reads everything as it comes, one comes back too late for two of the tight ones.
        let all = (1..=6).map(|place| event(topics[place as usize - 1], place));
        let all = std::iter::once(opened("now", 0, false))
            .chain(all)
            .collect();
        history.subscribe(&[">"], all);
        let late = vec![
            opened("now", 0, false),
            event("steady.a", 1),
            Step::Ended("cut".into()),
            opened(&cursor(1).to_string(), 1, false),
            gap(1, 3, GapReason::Evicted),
            event("tight.a", 4),
            event("tight.a", 5),
            event("steady.a", 6),
        ];
        history.subscribe(&[">"], late);
        history
    }

    fn publish(&mut self, topic: &str, data: &str, answers: Vec<Answer>) {
        self.publications.push(Publication {
            topic: topic.into(),
            key: format!("k{}", self.publications.len()),
            data: data.into(),
            valid: true,
            answers,
        });
    }

    fn subscribe(&mut self, patterns: &[&str], steps: Vec<Step>) {
        let patterns = patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern).unwrap());
        self.subscriptions.push(Subscription {
            name: self.subscriptions.len().to_string(),
            patterns: patterns.collect(),
            steps: steps
                .into_iter()
                .map(|step| Seen { at_ms: 0, step })
                .collect(),
        });
    }

    fn steps(&mut self, subscriber: usize) -> &mut Vec<Seen> {
        &mut self.subscriptions[subscriber].steps
    }

    fn check(&self) -> Result<Summary, Violation> {
        let subscriptions: Vec<&Subscription> = self.subscriptions.iter().collect();
        check(
            &self.rules,
            &[&self.publications],
            &subscriptions,
            self.head,
        )
    }
}

fn cursor(place: u64) -> Cursor {
    in_epoch("e1", place)
}

fn in_epoch(epoch: &str, place: u64) -> Cursor {
    Cursor::new(epoch.parse().unwrap(), place)
}

fn stored(place: u64) -> Answer {
    answer(cursor(place), false)
}

fn answer(cursor: Cursor, duplicate: bool) -> Answer {
    let id = cursor.to_string();
    Answer::Stored { id, duplicate }
}

fn event(topic: &str, place: u64) -> Step {
    Step::Event {
        id: cursor(place).to_string().into(),
        topic: topic.into(),
        data: format!("[{place}]").as_str().into(),
    }
}

fn opened(asked: &str, at: u64, resumed: bool) -> Step {
    Step::Opened {
        transport: Transport::Sse,
        lane: "direct",
        asked: asked.to_owned(),
        cursor: Some(cursor(at).to_string()),
        resumed,
    }
}

fn gap(after: u64, to: u64, reason: GapReason) -> Step {
    Step::Gap(Box::new(Gap {
        topics: vec![">".to_owned()],
        after: cursor(after).to_string(),
        cursor: cursor(to).to_string(),
        reason,
    }))
}

/// Goal: what can have been is taken, and counted. Method: the good history.
#[test]
fn a_good_history_is_taken() {
    let summary = History::good().check().unwrap();
    let expected = Summary {
        acknowledged: 6,
        refused: 1,
        unknown_absent: 1,
        delivered: 10,
        gaps: 1,
        lost: 2,
        connections: 3,
        ..Summary::default()
    };
    assert_eq!(summary, expected);
}

/// Goal: an answer that never came leaves both open. Method: the unknown event is seen by both, at the end.
#[test]
fn an_unknown_event_may_have_been_stored() {
    let mut history = History::good();
    history.head = Some(cursor(7));
    for subscriber in 0..2 {
        let step = event("steady.a", 7);
        history.steps(subscriber).push(Seen { at_ms: 0, step });
    }
    let summary = history.check().unwrap();
    assert_eq!((summary.unknown_stored, summary.unknown_absent), (1, 0));
}

/// Goal: an older cursor gets the same events again, which are no fault. Method: resume two events back.
#[test]
fn an_older_cursor_repeats_events() {
    let mut history = History::good();
    for step in [
        opened(&cursor(4).to_string(), 4, true),
        event("tight.a", 5),
        event("steady.a", 6),
    ] {
        history.steps(0).push(Seen { at_ms: 0, step });
    }
    let summary = history.check().unwrap();
    assert_eq!((summary.delivered, summary.repeated), (12, 2));
}

/// Goal: a log that is not durable may begin anew, when it is told. Method: another epoch, with and without its gap.
#[test]
fn another_epoch_has_to_be_told() {
    let new = in_epoch("e2", 1);
    let anew = |with_gap: bool| {
        let mut history = History::good();
        history.rules.is_durable = false;
        history.head = None;
        history.publish("steady.a", "[9]", vec![answer(new, false)]);
        let told = Step::Gap(Box::new(Gap {
            topics: vec![">".to_owned()],
            after: cursor(6).to_string(),
            cursor: in_epoch("e2", 0).to_string(),
            reason: GapReason::Epoch,
        }));
        let seen = Step::Event {
            id: new.to_string().into(),
            topic: "steady.a".into(),
            data: "[9]".into(),
        };
        let back = opened(&cursor(6).to_string(), 6, false);
        let steps = std::iter::once(back)
            .chain(with_gap.then_some(told))
            .chain([seen]);
        history
            .steps(0)
            .extend(steps.map(|step| Seen { at_ms: 0, step }));
        history
    };
    anew(true).check().unwrap();
    assert!(anew(false).check().is_err());
    let mut durable = anew(true);
    durable.rules.is_durable = true;
    assert!(durable.check().is_err());
}

/// Goal: everything that must not be is refused, for its own reason. Method: one change to the good history each.
#[test]
fn what_must_not_be_is_refused() {
    type Change = fn(&mut History);
    let refused: &[(&str, Change)] = &[
        ("was not delivered", |history| {
            history.steps(0).remove(1);
        }),
        // The last one: only the head tells that it is missing.
        ("was not delivered", |history| {
            history.steps(1).pop();
        }),
        ("lost, and no gap told so", |history| {
            history.steps(0).remove(2);
        }),
        // Missed at the end of one connection: the next one begins behind it.
        ("lost, and no gap told so", |history| {
            let steps = history.steps(0);
            steps.remove(5);
            let step = opened(&cursor(6).to_string(), 6, true);
            steps.push(Seen { at_ms: 0, step });
        }),
        ("lost, and no gap told so", |history| {
            history.steps(1).remove(4);
            history.steps(1)[3].step = opened(&cursor(1).to_string(), 1, true);
        }),
        // A gap excuses what is directly behind it and nothing later.
        ("lost, and no gap told so", |history| {
            history.rules.tight_max_events = 1;
            history.steps(1)[4].step = gap(1, 2, GapReason::Evicted);
            history.steps(1)[5].step = event("tight.a", 3);
            history.steps(1).remove(6);
        }),
        ("but was retained", |history| {
            history.steps(1)[4].step = gap(1, 4, GapReason::Evicted);
            history.steps(1).remove(5);
        }),
        // A gap excuses no topic that is kept.
        ("was not delivered", |history| {
            history.steps(1)[4].step = gap(1, 6, GapReason::Evicted);
            history.steps(1).truncate(5);
        }),
        ("a gap where nothing was lost", |history| {
            let step = gap(6, 6, GapReason::Slow);
            history.steps(0).push(Seen { at_ms: 0, step });
        }),
        ("patterns that nobody asked for", |history| {
            let patterns = vec![Pattern::parse("*.a").unwrap()];
            history.subscriptions[1].patterns = patterns;
        }),
        ("a gap epoch: the log was kept", |history| {
            history.steps(1)[4].step = gap(1, 3, GapReason::Epoch);
        }),
        ("was resumed, and then told a gap", |history| {
            history.steps(1)[3].step = opened(&cursor(1).to_string(), 1, true);
        }),
        ("no gap came before its first event", |history| {
            history.steps(1).remove(4);
        }),
        ("it goes back", |history| history.steps(0).swap(1, 2)),
        ("it goes back", |history| {
            let twice = history.steps(0)[2].clone();
            history.steps(0).insert(3, twice);
        }),
        ("goes back", |history| {
            let step = Step::Cursor(cursor(3).to_string().into());
            history.steps(0).push(Seen { at_ms: 0, step });
        }),
        // A cursor says that everything before it was delivered.
        ("lost, and no gap told so", |history| {
            let step = Step::Cursor(cursor(5).to_string().into());
            history.steps(0).insert(4, Seen { at_ms: 0, step });
        }),
        ("nobody asked for", |history| {
            history.subscriptions[0].patterns = vec![Pattern::parse("tight.>").unwrap()];
        }),
        ("nobody published this data", |history| {
            history.steps(0)[1].step = Step::Event {
                id: cursor(1).to_string().into(),
                topic: "steady.a".into(),
                data: "[1.0]".into(),
            };
        }),
        ("it was published in", |history| {
            history.steps(0)[1].step = event("steady.b", 1);
        }),
        ("it was refused, and is delivered", |history| {
            history.steps(0)[1].step = Step::Event {
                id: cursor(9).to_string().into(),
                topic: "$steady.a".into(),
                data: "[8]".into(),
            };
        }),
        ("it had to be refused and was stored", |history| {
            history.publications[7].answers = vec![stored(7)];
        }),
        ("refused without a reason", |history| {
            history.publications[0].answers = vec![Answer::Refused("forbidden".into())];
        }),
        ("one event stands in two places", |history| {
            history.publications[0]
                .answers
                .push(answer(cursor(7), true));
        }),
        ("one event stands in two places", |history| {
            // Appended twice: the second sight has another id.
            let mut again = event("steady.a", 9);
            if let Step::Event { data, .. } = &mut again {
                *data = "[6]".into();
            }
            history.steps(0).push(Seen {
                at_ms: 0,
                step: again,
            });
        }),
        ("was not told so", |history| {
            history.publications[0].answers.push(stored(1));
        }),
        ("two events have the id", |history| {
            history.publications[6].answers = vec![stored(6)];
        }),
        ("the epoch was", |history| {
            history.publications[6].answers = vec![answer(in_epoch("e2", 7), false)];
        }),
        ("another epoch, and no gap told so", |history| {
            let step = Step::Cursor(in_epoch("e2", 7).to_string().into());
            history.steps(0).push(Seen { at_ms: 0, step });
        }),
        ("is no cursor", |history| {
            let step = Step::Cursor("7".into());
            history.steps(0).push(Seen { at_ms: 0, step });
        }),
    ];
    for (number, (reason, change)) in refused.iter().enumerate() {
        let mut history = History::good();
        change(&mut history);
        match history.check() {
            Err(violation) if violation.what.contains(reason) => {}
            other => panic!("{number}: not {reason:?} but {other:?}"),
        }
    }
}

/// Goal: a record that ends early is no loss, as long as nobody says that it reached the head. Method: half a record.
#[test]
fn without_a_head_the_end_of_a_record_says_nothing() {
    let mut history = History::good();
    history.head = None;
    history.steps(0).truncate(3);
    history.check().unwrap();
}
