//! One sequence of steps against one engine, compared with the model after each.
//! Shape: the engine is followed by a bus, whose sessions it serves, or its feed is read as it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tidewire_protocol::StartAt;

use super::checks;
use super::model::{Expected, KEEP, Model, TOPICS, body, key, topic};
use super::steps::{From, NewEvent, Step, parsed};
use super::{Subject, Time, owed};
use crate::engine::feed::{FeedItem, FeedReceiver};
use crate::{Append, AppendError, Bus, BusConfig, Engine};

/// Who takes what the engine's feed gives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Follower {
    /// A bus that holds everything in memory.
    Window,
    /// A bus that holds next to nothing, and sends its sessions to the engine all the time.
    TinyWindow,
    /// The suite itself.
    Feed,
}

pub(super) fn follower() -> impl Strategy<Value = Follower> {
    prop_oneof![
        Just(Follower::Window),
        Just(Follower::TinyWindow),
        Just(Follower::Feed)
    ]
}

impl Follower {
    pub(super) fn follow(self, engine: &Arc<dyn Engine>) -> Result<Following, TestCaseError> {
        let window_max_events = match self {
            Self::Window => 10_000,
            Self::TinyWindow => 3,
            Self::Feed => {
                let feed = engine.feed();
                prop_assert!(feed.is_some(), "the first call of feed gives it");
                prop_assert!(engine.feed().is_none(), "the feed has one receiver");
                return Ok(Following::Feed(feed.expect("asked above")));
            }
        };
        let config = BusConfig {
            window_max_events,
            ..BusConfig::default()
        };
        let bus = Bus::start(Arc::clone(engine), config);
        prop_assert!(engine.feed().is_none(), "the feed has one receiver");
        Ok(Following::Bus(bus))
    }
}

pub(super) enum Following {
    Bus(Bus),
    Feed(FeedReceiver),
}

/// What the feed must give.
#[derive(Debug)]
enum Owed {
    Event { json: Bytes, evicted_to: u64 },
    Forgotten { topic: &'static str, to: u64 },
}

struct Run {
    time: Time,
    has_clock_of_its_own: bool,
    engine: Arc<dyn Engine>,
    following: Following,
    model: Model,
    /// Numbers of evictions that the engine has given, and how many the model had then.
    told: Vec<(u64, usize)>,
    /// In log order.
    owed: VecDeque<Owed>,
}

pub(super) async fn run(
    subject: &mut impl Subject,
    steps: &[Step],
    follower: Follower,
) -> Result<(), TestCaseError> {
    let time = Time::new();
    let engine = subject.open(time.setup()).await;
    let mut run = Run {
        time,
        has_clock_of_its_own: subject.has_clock_of_its_own(),
        following: follower.follow(&engine)?,
        model: Model::new(engine.epoch()),
        told: vec![(0, 0)],
        owed: VecDeque::new(),
        engine,
    };
    for step in steps {
        if matches!(step, Step::Reopen) {
            run = run.reopen(subject, follower).await?;
        } else {
            run.step(step).await?;
        }
        prop_assert_eq!(run.engine.head(), run.model.head, "the head");
        prop_assert!(run.engine.health().is_ok());
    }
    run.stop().await
}

impl Run {
    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Append(events) => self.append(events).await?,
            Step::Forget(index) => self.forget(TOPICS[*index]).await?,
            Step::Read(read) => {
                let told = checks::read(&*self.engine, &self.model, read, &self.told).await?;
                self.told.push(told);
            }
            Step::Seek { patterns, newest } => {
                let patterns = parsed(patterns);
                let told = checks::seek(&*self.engine, &self.model, &patterns, *newest).await?;
                self.told.push(told);
            }
            Step::Topics => checks::topics(&*self.engine, &self.model).await?,
            Step::Resume {
                patterns,
                from,
                batch,
            } => self.resume(patterns, *from, *batch).await?,
            Step::Pass(_) | Step::Age(_) if self.has_clock_of_its_own => {}
            Step::Pass(time) => self.time.pass(*time),
            Step::Age(time) => self.age(*time).await?,
            Step::Reopen => {}
        }
        Ok(())
    }

    async fn append(&mut self, events: &[NewEvent]) -> Result<(), TestCaseError> {
        let batch = events.iter().map(|&(index, data, key_index)| Append {
            topic: topic(TOPICS[index]),
            body: body(data),
            key: key_index.map(key),
        });
        let answers = self.engine.append(batch.collect()).await;
        let head = self.engine.head();
        prop_assert_eq!(answers.len(), events.len(), "one answer for each");
        let now_ms = self.time.now_ms();
        for (answer, &(index, data, key)) in answers.iter().zip(events) {
            let name = TOPICS[index];
            let expected = self.model.expected(name, data, key, now_ms);
            match (answer, expected) {
                (Ok(appended), Expected::New) if !appended.duplicate => {
                    let place = self.model.head + 1;
                    prop_assert_eq!(appended.id.place, place, "the next place");
                    prop_assert_eq!(appended.id.epoch, self.model.epoch);
                    prop_assert!(head >= place, "the head is behind an answer");
                    if !self.has_clock_of_its_own {
                        prop_assert_eq!(appended.time_ms, now_ms, "the time of an event");
                    }
                    let json = self.model.push(place, name, data, key, appended.time_ms);
                    let evicted_to = self.model.evicted_to(name);
                    self.owed.push_back(Owed::Event { json, evicted_to });
                }
                (Ok(appended), Expected::Duplicate(place, time_ms)) => {
                    let answer = (appended.duplicate, appended.id.place, appended.time_ms);
                    prop_assert_eq!(answer, (true, place, time_ms), "the first answer");
                }
                (Err(AppendError::KeyReused), Expected::KeyReused) => {}
                (answer, expected) => {
                    prop_assert!(false, "a publish: {:?} instead of {:?}", answer, expected);
                }
            }
        }
        Ok(())
    }

    async fn forget(&mut self, name: &'static str) -> Result<(), TestCaseError> {
        match &self.following {
            Following::Bus(bus) => bus.forget(&topic(name)).await,
            Following::Feed(_) => self.engine.forget(topic(name)).await,
        }
        .map_err(|error| TestCaseError::fail(format!("forgetting: {error}")))?;
        self.model.forget(name);
        let to = self.model.evicted_to(name);
        if to > 0 {
            self.owed.push_back(Owed::Forgotten { topic: name, to });
        }
        Ok(())
    }

    async fn resume(
        &self,
        patterns: &[&str],
        from: From,
        batch: usize,
    ) -> Result<(), TestCaseError> {
        let Following::Bus(bus) = &self.following else {
            return Ok(());
        };
        // What the log has not heard of yet it may still deliver, evicted or not.
        owed("the log catches up", bus.probe())
            .await?
            .map_err(fail)?;
        let at = |place| tidewire_protocol::Cursor::new(self.model.epoch, place);
        let start = match from {
            From::After(back) => StartAt::After(at(from_head(self.model.head, back, 0))),
            From::Start => StartAt::Start,
            From::Last(count) => StartAt::Last(count),
            From::Foreign => {
                let epoch = tidewire_protocol::Epoch::parse("foreign").expect("an epoch");
                StartAt::After(tidewire_protocol::Cursor::new(epoch, self.model.head))
            }
            From::Future => StartAt::After(at(self.model.head + 1)),
        };
        checks::resume(bus, &self.model, &parsed(patterns), start, batch).await
    }

    /// Lets time pass and waits until the engine has let go of what is too old.
    async fn age(&mut self, time: Duration) -> Result<(), TestCaseError> {
        self.time.pass(time);
        let lost = self.model.expire(self.time.now_ms());
        let settled = async {
            for name in TOPICS {
                let wanted = self.model.of(name).len() as u64;
                while self.engine.topic(topic(name)).await.map_err(fail)?.events != wanted {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            Ok::<(), TestCaseError>(())
        };
        owed("events that are too old go, and no others", settled).await??;
        let told = self.drain().await?;
        if let Following::Feed(_) = self.following {
            for name in lost {
                let to = self.model.evicted_to(name);
                prop_assert_eq!(told.get(name), Some(&to), "the feed tells what age took");
            }
        }
        Ok(())
    }

    /// Reads the feed as far as it must come: up to one more event, so that nothing need be waited for
    /// that is left out. Gives what age took.
    async fn drain(&mut self) -> Result<BTreeMap<String, u64>, TestCaseError> {
        self.append(&[(KEEP, 0, None)]).await?;
        let mut told = BTreeMap::new();
        let Following::Feed(feed) = &mut self.following else {
            return Ok(told);
        };
        while !self.owed.is_empty() {
            let items = owed("the feed gives everything", feed.next()).await?;
            feed.applied(&items);
            for item in items {
                match item {
                    FeedItem::Event { event, evicted_to } => {
                        let expected = self.owed.pop_front();
                        let Some(Owed::Event {
                            json,
                            evicted_to: to,
                        }) = expected
                        else {
                            return Err(fail(format!("the feed: {expected:?} was due")));
                        };
                        prop_assert_eq!(event.json(), &json, "the feed, in log order");
                        prop_assert_eq!(evicted_to, to, "the feed tells what an event drove out");
                    }
                    FeedItem::Forgotten { topic, evicted_to } => {
                        let expected = self.owed.pop_front();
                        let Some(Owed::Forgotten { topic: name, to }) = expected else {
                            return Err(fail(format!("the feed: {expected:?} was due")));
                        };
                        prop_assert_eq!((topic.as_str(), evicted_to), (name, to), "the feed");
                    }
                    FeedItem::Evicted { topic, evicted_to } => {
                        let most = self.model.evicted_to(topic.as_str());
                        prop_assert!(evicted_to <= most, "the feed tells of a loss that was none");
                        told.insert(topic.to_string(), evicted_to);
                    }
                }
            }
        }
        Ok(told)
    }

    async fn reopen(
        mut self,
        subject: &mut impl Subject,
        follower: Follower,
    ) -> Result<Self, TestCaseError> {
        self.drain().await?;
        drop(self.following);
        let epoch = self.engine.epoch();
        let setup = self.time.setup();
        let reopened = subject.reopen(self.engine, setup.clone()).await;
        let (engine, model) = match reopened {
            Some(engine) => {
                prop_assert_eq!(engine.epoch(), epoch, "the same log has the same epoch");
                (engine, self.model)
            }
            None => {
                let engine = subject.open(setup).await;
                let other = engine.epoch();
                prop_assert_ne!(other, epoch, "another log has another epoch");
                (engine, Model::new(other))
            }
        };
        Ok(Self {
            following: follower.follow(&engine)?,
            told: vec![(0, 0)],
            owed: VecDeque::new(),
            engine,
            model,
            ..self
        })
    }

    async fn stop(mut self) -> Result<(), TestCaseError> {
        self.drain().await?;
        self.engine.stop().await;
        let late = Append {
            topic: topic(TOPICS[0]),
            body: body(0),
            key: None,
        };
        let answers = self.engine.append(vec![late]).await;
        let is_refused = matches!(&answers[..], [Err(AppendError::Unavailable { .. })]);
        prop_assert!(is_refused, "an append after the stop: {:?}", answers);
        if let Following::Feed(feed) = &mut self.following {
            let more = feed.next().now_or_never();
            prop_assert!(
                more.is_none(),
                "the feed gives more than was appended: {:?}",
                more
            );
        }
        Ok(())
    }
}

/// A place counted from `beyond` places after the head backwards.
pub(super) fn from_head(head: u64, back: u8, beyond: u64) -> u64 {
    head + beyond - u64::from(back) % (head + beyond + 1)
}

pub(super) fn fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// Between two looks at what an engine does by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
