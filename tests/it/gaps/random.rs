//! Random publishing, eviction, forgetting and resuming, against a model.

use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::json;
use tidewire_client::{NewEvent, PublishElement, Transport};
use tidewire_protocol::GapReason;
use tidewire_tests::{Engine, Gateway, Seen, Subscriber, rounds, seeded, within};

use super::{UNBOUNDED, forget, is_match, let_forget, rule, sorted, watch};

/// One acknowledged event.
#[derive(Debug)]
struct Acknowledged {
    id: String,
    topic: &'static str,
    is_retained: bool,
    is_forgotten: bool,
}

/// Goal: delivered and told as a gap are together everything that was acknowledged after the cursor, and a
/// gap is told exactly where something that matches went. Method: random batches to topics that keep few
/// events, forgetting now and then, and after each step a subscriber at a random acknowledged cursor, with
/// random topics, on a random transport, that reads up to the last event; with a small window, so that most of
/// them read the engine, and with one that holds everything.
#[tokio::test(flavor = "multi_thread")]
async fn delivered_and_told_are_together_everything_that_was_acknowledged() {
    let mut random = seeded();
    let cases = Engine::ALL
        .into_iter()
        .flat_map(|engine| [(engine, 4), (engine, 100_000)]);
    for (engine, window_max_events) in cases {
        let gateway = Gateway::with(engine, |settings| {
            settings.rules = [("a.x", 2), ("a.y", 4), ("b", 7)]
                .map(|(topic, max_events)| {
                    let mut limits = UNBOUNDED;
                    limits.max_events = Some(max_events);
                    rule(topic, limits)
                })
                .into();
            settings.bus.window_max_events = window_max_events;
            settings.server.limits.publishes_per_second = 1_000_000;
            let_forget(settings);
        });
        let _watching = watch(&gateway, PATTERNS.into_iter()).await;
        let client = gateway.client();
        let mut log: Vec<Acknowledged> = Vec::new();
        let mut told = 0;
        for round in 0..rounds(250, 40) {
            if random.random_ratio(1, 12) {
                let topic = *TOPICS.choose(&mut random).unwrap();
                forget(&gateway, topic).await;
                for event in log.iter_mut().filter(|event| event.topic == topic) {
                    (event.is_retained, event.is_forgotten) = (false, true);
                }
            } else {
                let count = random.random_range(1..8);
                let topics: Vec<_> = (0..count)
                    .map(|_| *TOPICS.choose(&mut random).unwrap())
                    .collect();
                publish(&client, &mut log, &topics, round).await;
            }
            publish(&client, &mut log, &["end"], round).await;

            let after = random.random_range(0..log.len());
            // The newest ones are what a client resumes at.
            let after = if random.random() {
                after
            } else {
                log.len() - 1 - after % 10.min(log.len())
            };
            let count = random.random_range(1..=3);
            let mut topics: Vec<&str> = PATTERNS
                .choose_multiple(&mut random, count)
                .copied()
                .collect();
            topics.push("end");
            let transport = *Transport::ALL.choose(&mut random).unwrap();
            let case = format!(
                "round {round}: {topics:?} after {after} on {transport:?}, {engine:?} with {window_max_events}"
            );
            let mut subscriber =
                Subscriber::open(&client, transport, &topics, &log[after].id).await;
            let matches =
                |event: &&Acknowledged| topics.iter().any(|pattern| is_match(pattern, event.topic));
            let due: Vec<_> = log[after + 1..].iter().filter(matches).collect();
            // The patterns that lost something after a cursor. Ids sort as text.
            let lost_after = |after: &str| {
                let mut lost = topics.clone();
                lost.retain(|pattern| {
                    let gone = log
                        .iter()
                        .filter(|event| !event.is_retained && *event.id > *after);
                    gone.into_iter().any(|event| is_match(pattern, event.topic))
                });
                sorted(lost.into_iter())
            };
            let lost = lost_after(&log[after].id);
            let is_told = transport != Transport::Poll;
            assert!(
                !is_told || subscriber.resumed() == lost.is_empty(),
                "{case}"
            );
            if !lost.is_empty() {
                let gap = subscriber.gap().await;
                assert_eq!(
                    (gap.reason, &gap.after),
                    (GapReason::Evicted, &log[after].id),
                    "{case}"
                );
                assert_eq!(
                    sorted(gap.topics.iter().map(String::as_str)),
                    lost,
                    "{case}"
                );
                told += 1;
            }
            // What went may still have come out of the window, unless somebody wanted it forgotten.
            let mut due = due.into_iter();
            let last = &log.last().unwrap().id;
            let mut got = log[after].id.clone();
            while got != *last {
                let event = match within(subscriber.next()).await {
                    Seen::Event(event) => event,
                    // Each poll is a resume: what is lost behind its page is told by the next one too.
                    Seen::Gap(gap) => {
                        assert!(!is_told && gap.after >= got, "a second gap, {case}");
                        let lost = lost_after(&gap.after);
                        assert_eq!(
                            sorted(gap.topics.iter().map(String::as_str)),
                            lost,
                            "{case}"
                        );
                        continue;
                    }
                };
                got = event.id;
                let mut passed = due.by_ref().take_while(|event| event.id != got);
                assert!(
                    passed.all(|event| !event.is_retained),
                    "a hole before {got}, {case}"
                );
                let is_forgotten = |event: &Acknowledged| event.id == got && event.is_forgotten;
                assert!(!log.iter().any(is_forgotten), "{got} was forgotten, {case}");
            }
        }
        assert!(told > 0);
        eprintln!(
            "{engine:?}, {window_max_events}: {} events, {told} gaps",
            log.len()
        );
    }
}

/// Publishes a batch, and lets go in the model of what exceeds a rule.
async fn publish(
    client: &tidewire_client::Client,
    log: &mut Vec<Acknowledged>,
    topics: &[&'static str],
    round: usize,
) {
    let event = |topic: &&str| NewEvent::json(*topic, &json!(round)).unwrap();
    let events: Vec<_> = topics.iter().map(event).collect();
    let answers = within(client.publish_all(&events)).await.unwrap();
    for (answer, topic) in answers.into_iter().zip(topics) {
        let PublishElement::Answer(answer) = answer else {
            panic!("{answer:?}");
        };
        log.push(Acknowledged {
            id: answer.id,
            topic,
            is_retained: true,
            is_forgotten: false,
        });
        let keeps = match *topic {
            "a.x" => 2,
            "a.y" => 4,
            "b" => 7,
            _ => usize::MAX,
        };
        let mine = log.iter_mut().rev().filter(|event| event.topic == *topic);
        mine.skip(keeps).for_each(|event| event.is_retained = false);
    }
}

const TOPICS: [&str; 4] = ["a.x", "a.y", "b", "keep"];
const PATTERNS: [&str; 9] = ["a.x", "a.y", "a.*", "a.>", "b", "keep", "*", ">", "nobody"];
