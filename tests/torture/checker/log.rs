//! The one log that publishers and subscribers together tell of.
//! Shape: for each epoch, the places of each topic in their order. What was acknowledged stands in it, and what
//! somebody saw.
//! Failure: two places for one event, two events in one place, an event that nobody published, or one that was refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidewire_protocol::{Cursor, Epoch, Topic};

use super::{Place, Rules, Summary, Violation};
use crate::history::{Answer, Publication, Step, Subscription};

/// See the module.
#[derive(Debug)]
pub(super) struct Log<'a> {
    pub(super) rules: Rules,
    /// Every id that stands for an event.
    pub(super) ids: HashMap<&'a str, (Name, Cursor)>,
    /// Sorted, so that a bad history is always refused for the same reason.
    pub(super) epochs: HashMap<Epoch, BTreeMap<Arc<str>, TopicLog>>,
    /// Topics with publications of which nobody knows whether they were stored: they may stand in a gap.
    pub(super) unsettled: Vec<Topic>,
}

/// A publication: its publisher and its number there.
pub(super) type Name = (usize, usize);

/// One topic in one epoch.
#[derive(Debug)]
pub(super) struct TopicLog {
    pub(super) topic: Topic,
    /// It keeps few events.
    pub(super) is_tight: bool,
    /// The places of its events, in order.
    pub(super) places: Vec<u64>,
}

/// What is known while it is put together.
struct Builder<'a> {
    rules: &'a Rules,
    publishers: &'a [&'a [Publication]],
    by_data: HashMap<&'a str, Name>,
    ids: HashMap<&'a str, (Name, Cursor)>,
    places: HashMap<(Name, Epoch), Cursor>,
    epoch: Option<Epoch>,
}

impl<'a> Log<'a> {
    pub(super) fn build(
        rules: &'a Rules,
        publishers: &'a [&'a [Publication]],
        subscriptions: &[&'a Subscription],
    ) -> Result<(Self, Summary), Violation> {
        let mut builder = Builder {
            rules,
            publishers,
            by_data: HashMap::new(),
            ids: HashMap::new(),
            places: HashMap::new(),
            epoch: None,
        };
        let mut summary = builder.answers()?;
        builder.sights(subscriptions)?;
        let unsettled = builder.unsettled(&mut summary);
        Ok((builder.finish(unsettled)?, summary))
    }
}

impl<'a> Builder<'a> {
    /// What the publishers were told.
    fn answers(&mut self) -> Result<Summary, Violation> {
        let mut summary = Summary::default();
        let publishers = self.publishers;
        for (publisher, publications) in publishers.iter().enumerate() {
            for (number, publication) in publications.iter().enumerate() {
                let name = (publisher, number);
                let place = Place::Publication(publisher, number);
                if self.by_data.insert(&publication.data, name).is_some() {
                    return violation(place, "the torture published the same data twice");
                }
                for answer in &publication.answers {
                    match answer {
                        Answer::Unknown(_) => {}
                        Answer::Refused(why) if publication.valid => {
                            return violation(place, format!("refused without a reason: {why}"));
                        }
                        Answer::Refused(_) => summary.refused += 1,
                        Answer::Stored { .. } if !publication.valid => {
                            return violation(place, "it had to be refused and was stored");
                        }
                        Answer::Stored { id, duplicate } => {
                            let again = !self.put(name, id, place)?;
                            if again && !duplicate {
                                let what = "a repeat of an acknowledged key was not told so";
                                return violation(place, what);
                            }
                            summary.duplicates += usize::from(*duplicate);
                        }
                    }
                }
                summary.acknowledged += usize::from(is_acknowledged(publication));
            }
        }
        Ok(summary)
    }

    /// What the subscribers saw.
    fn sights(&mut self, subscriptions: &[&'a Subscription]) -> Result<(), Violation> {
        for (number, subscription) in subscriptions.iter().enumerate() {
            for (index, seen) in subscription.steps.iter().enumerate() {
                let Step::Event { id, topic, data } = &seen.step else {
                    continue;
                };
                let place = Place::Step(number, index);
                let Some(&name) = self.by_data.get(&**data) else {
                    return violation(place, "nobody published this data");
                };
                let publication = &self.publishers[name.0][name.1];
                if publication.topic != *topic {
                    let what = format!("it was published in {}", publication.topic);
                    return violation(place, what);
                }
                if !publication.valid {
                    return violation(place, "it was refused, and is delivered");
                }
                self.put(name, id, place)?;
            }
        }
        Ok(())
    }

    /// Gives a publication its place. Whether it is the first time that this is heard.
    fn put(&mut self, name: Name, id: &'a str, place: Place) -> Result<bool, Violation> {
        if let Some((known, cursor)) = self.ids.get(id) {
            if *known == name {
                return Ok(false);
            }
            let data = &self.publishers[known.0][known.1].data;
            let what = format!("two events have the id {cursor}; the other one is {data}");
            return violation(place, what);
        }
        let Ok(cursor) = Cursor::parse(id) else {
            return violation(place, format!("{id:?} is no cursor"));
        };
        let epoch = *self.epoch.get_or_insert(cursor.epoch);
        if self.rules.is_durable && epoch != cursor.epoch {
            let what = format!("the epoch was {epoch} and is {} now", cursor.epoch);
            return violation(place, what);
        }
        let known = self.places.insert((name, cursor.epoch), cursor);
        if let Some(known) = known.filter(|known| *known != cursor) {
            let what = format!("one event stands in two places: {known} and {cursor}");
            return violation(place, what);
        }
        self.ids.insert(id, (name, cursor));
        Ok(known.is_none())
    }

    fn unsettled(&self, summary: &mut Summary) -> Vec<Topic> {
        let mut topics = Vec::new();
        let seen: std::collections::HashSet<_> = self.ids.values().map(|(name, _)| *name).collect();
        for (publisher, publications) in self.publishers.iter().enumerate() {
            for (number, publication) in publications.iter().enumerate() {
                if !publication.valid || is_acknowledged(publication) {
                    continue;
                }
                if seen.contains(&(publisher, number)) {
                    summary.unknown_stored += 1;
                    continue;
                }
                summary.unknown_absent += 1;
                topics.extend(Topic::parse(&publication.topic));
            }
        }
        topics.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        topics.dedup();
        topics
    }

    fn finish(self, unsettled: Vec<Topic>) -> Result<Log<'a>, Violation> {
        let mut order: HashMap<Epoch, Vec<(u64, Name)>> = HashMap::new();
        for (name, cursor) in self.ids.values() {
            let places = order.entry(cursor.epoch).or_default();
            places.push((cursor.place, *name));
        }
        let mut epochs = HashMap::new();
        for (epoch, mut places) in order {
            places.sort_unstable();
            let mut topics: BTreeMap<Arc<str>, TopicLog> = BTreeMap::new();
            let mut before = String::new();
            for (place, (publisher, number)) in places {
                let publication = &self.publishers[publisher][number];
                let id = Cursor::new(epoch, place).to_string();
                if id <= before {
                    let what = format!("{id} comes after {before}, but not as text");
                    return violation(Place::Publication(publisher, number), what);
                }
                before = id;
                let topic = topics.entry(Arc::clone(&publication.topic));
                let topic = topic.or_insert_with(|| {
                    let topic = Topic::parse(&publication.topic).expect("a topic that was taken");
                    TopicLog {
                        is_tight: self.rules.tight.matches(&topic),
                        topic,
                        places: Vec::new(),
                    }
                });
                topic.places.push(place);
            }
            epochs.insert(epoch, topics);
        }
        Ok(Log {
            rules: self.rules.clone(),
            ids: self.ids,
            epochs,
            unsettled,
        })
    }
}

fn is_acknowledged(publication: &Publication) -> bool {
    let mut answers = publication.answers.iter();
    answers.any(|answer| matches!(answer, Answer::Stored { .. }))
}

pub(super) fn violation<T>(place: Place, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        what: what.into(),
        place,
    })
}
