//! A log as plain as can be: every event, what was evicted of it, and looks into it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidewire_protocol::{Pattern, Topic};

use super::super::super::{Got, Want};
use super::Change;
use crate::encoded::Encoded;
use crate::testing::event;

pub(super) const TOPICS: [&str; 5] = ["a.x", "a.y", "b.x", "b.y", "c"];
pub(super) const PATTERNS: [&str; 6] = ["a.x", "a.*", "*.x", ">", "c", "b.>"];

/// The event at place N is at index N - 1.
#[derive(Default)]
pub(super) struct Model {
    pub(super) log: Vec<Arc<Encoded>>,
    /// Topic and place of each eviction; the first one has the number 1.
    evictions: Vec<(usize, u64)>,
}

impl Model {
    pub(super) fn head(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn topic(&self, place: u64) -> &Topic {
        self.log[place as usize - 1].event().topic()
    }

    pub(super) fn evicted(&self) -> BTreeSet<u64> {
        self.evictions.iter().map(|&(_, place)| place).collect()
    }

    pub(super) fn change(&mut self, change: &Change) {
        match *change {
            Change::Append(topic) => self.log.push(event(TOPICS[topic], self.head() + 1)),
            Change::Evict(topic, count) => {
                let evicted = self.evicted();
                let mut retained = places(&self.log);
                retained.retain(|at| {
                    self.topic(*at).as_str() == TOPICS[topic] && !evicted.contains(at)
                });
                let oldest = retained.into_iter().take(count);
                self.evictions.extend(oldest.map(|place| (topic, place)));
            }
        }
    }

    /// Near the head as the window answers, which still has what was evicted; further back as an engine.
    pub(super) fn look(&self, want: &Want, max: usize) -> Got {
        let is_behind = want.after + WINDOW < self.head();
        let evicted = if is_behind {
            self.evicted()
        } else {
            BTreeSet::new()
        };
        let mut matching = self.log.iter().filter(|event| {
            let place = event.place();
            let is_wanted = place > want.after && place <= want.to;
            is_wanted && matches(&want.patterns, event) && !evicted.contains(&place)
        });
        let events: Vec<_> = matching.by_ref().take(max).cloned().collect();
        let is_all = matching.next().is_none();
        let last = events.last().map_or(want.after, |event| event.place());
        let mut got = Got {
            examined: if is_all {
                self.head().min(want.to)
            } else {
                last
            },
            events: events.into(),
            more: !is_all,
            ..Got::default()
        };
        if is_behind {
            got.lost = self.lost(want);
            got.evictions = Some(self.evictions.len() as u64);
        } else {
            got.at_end = is_all;
        }
        got
    }

    fn lost(&self, want: &Want) -> Vec<Pattern> {
        let is_lost = |&(pattern, &told): &(&Pattern, &u64)| {
            (self.evictions.iter().zip(1..)).any(|(&(topic, place), number)| {
                let topic = Topic::parse(TOPICS[topic]).unwrap();
                number > told && place > want.after && pattern.matches(&topic)
            })
        };
        let lost = want.patterns.iter().zip(&want.told).filter(is_lost);
        lost.map(|(pattern, _)| pattern.clone()).collect()
    }
}

pub(super) fn matches(patterns: &[Pattern], event: &Encoded) -> bool {
    let topic = event.event().topic();
    patterns.iter().any(|pattern| pattern.matches(topic))
}

pub(super) fn places<'a>(events: impl IntoIterator<Item = &'a Arc<Encoded>>) -> Vec<u64> {
    events.into_iter().map(|event| event.place()).collect()
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// What lies further back than so many places is read from the engine.
const WINDOW: u64 = 12;
