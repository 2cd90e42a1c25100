//! What one subscriber has had, and what it reads next. No I/O, no clock, no locks.
//! Shape: a cursor over the log for all patterns together, and in front of it a queue of patterns
//! that were added with an older cursor and are caught up first.
//! Bound: the session's patterns; [`HAD_MAX`] notes of patterns it no longer has.
//! Failure: what the engine has lost becomes one gap before the events that follow.
//! Source: protocol section 3.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tidewire_protocol::{Cursor, Epoch, Gap, GapReason, Pattern, Topic};

use super::Batch;
use crate::encoded::Encoded;

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    epoch: Epoch,
    conflate: bool,
    /// Everything of the active patterns up to here has been delivered or was no match.
    position: u64,
    /// Evictions up to this number have been told.
    told: u64,
    subscribed: Vec<Subscribed>,
    catch_ups: VecDeque<CatchUp>,
    /// What patterns that are no longer subscribed have brought.
    had: VecDeque<Had>,
    /// A gap that was found when subscribing, and not told yet.
    gap: Option<Gap>,
}

#[derive(Clone, Debug)]
struct Subscribed {
    pattern: Pattern,
    /// It gets what comes after this place. It is active once `position` has come so far.
    since: u64,
}

/// Patterns that were added with a cursor older than the session's.
#[derive(Debug)]
struct CatchUp {
    patterns: Vec<Pattern>,
    position: u64,
    until: u64,
    told: u64,
    had: Vec<Had>,
}

/// Everything between the two places that matches has been delivered.
#[derive(Clone, Debug)]
struct Had {
    pattern: Pattern,
    after: u64,
    to: u64,
}

/// The next read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    /// What to read.
    pub(crate) patterns: Vec<Pattern>,
    /// Beyond this place.
    pub(crate) after: u64,
    /// Up to and with this one.
    pub(crate) to: u64,
    /// Evictions that need not be told again.
    pub(crate) told: u64,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) events: Vec<Arc<Encoded>>,
    pub(crate) examined: u64,
    /// Nothing more is known where this was read.
    pub(crate) at_end: bool,
    /// More matched than was read.
    pub(crate) more: bool,
    /// From the engine only: patterns that lost something, and the newest eviction.
    pub(crate) lost: Vec<Pattern>,
    pub(crate) evictions: Option<u64>,
}

impl State {
    pub(crate) fn new(epoch: Epoch, position: u64, conflate: bool) -> Self {
        Self {
            epoch,
            conflate,
            position,
            told: 0,
            subscribed: Vec::new(),
            catch_ups: VecDeque::new(),
            had: VecDeque::new(),
            gap: None,
        }
    }

    /// Always a safe place to resume the whole session.
    pub(crate) fn cursor(&self) -> Cursor {
        let behind = self.catch_ups.iter().map(|catch_up| catch_up.position);
        self.at(behind.min().unwrap_or(self.position).min(self.position))
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.subscribed.iter().map(|subscribed| &subscribed.pattern)
    }

    /// Adds patterns that begin after a place. `told`: evictions that are no loss to them. `gap`:
    /// what was found missing before that place.
    pub(crate) fn subscribe(
        &mut self,
        patterns: &[Pattern],
        after: u64,
        told: u64,
        gap: Option<Gap>,
    ) {
        if let Some(gap) = gap {
            self.gap = Some(join(self.gap.take(), gap));
        }
        if self.subscribed.is_empty() && self.catch_ups.is_empty() && self.had.is_empty() {
            self.position = after;
            self.told = told;
        } else if after < self.position {
            self.catch_ups.push_back(CatchUp {
                patterns: patterns.to_vec(),
                position: after,
                until: self.position,
                told,
                had: self.all_had(),
            });
        }
        for pattern in patterns {
            match self.find(pattern) {
                Some(index) => {
                    let since = &mut self.subscribed[index].since;
                    *since = after.min(*since);
                }
                None => self.subscribed.push(Subscribed {
                    pattern: pattern.clone(),
                    since: after,
                }),
            }
        }
    }

    /// Takes patterns away. Gives whether it was subscribed, for each.
    pub(crate) fn unsubscribe(&mut self, pattern: &Pattern) -> bool {
        let Some(index) = self.find(pattern) else {
            return false;
        };
        let gone = self.subscribed.remove(index);
        let mut to = self.position;
        for index in 0..self.catch_ups.len() {
            let catch_up = &mut self.catch_ups[index];
            if !catch_up.patterns.contains(pattern) {
                continue;
            }
            // It ends before it is through: those behind it have had less than they counted on.
            catch_up.patterns.retain(|kept| kept != pattern);
            let had_to = catch_up.position;
            to = to.min(had_to);
            let earlier = catch_up.had.iter().filter(|had| had.pattern == *pattern);
            let earlier: Vec<Had> = earlier.cloned().collect();
            for later in self.catch_ups.range_mut(index + 1..) {
                for had in later.had.iter_mut().filter(|had| had.pattern == *pattern) {
                    had.to = had.to.min(had_to);
                }
                later.had.extend(earlier.iter().cloned());
            }
            self.had.extend(earlier);
        }
        self.catch_ups
            .retain(|catch_up| !catch_up.patterns.is_empty());
        if to > gone.since {
            self.had.push_back(Had {
                pattern: gone.pattern,
                after: gone.since,
                to,
            });
        }
        while self.had.len() > HAD_MAX {
            self.had.pop_front();
        }
        true
    }

    /// What to read next.
    pub(crate) fn want(&self) -> Want {
        if let Some(catch_up) = self.catch_ups.front() {
            return Want {
                patterns: catch_up.patterns.clone(),
                after: catch_up.position,
                to: catch_up.until,
                told: catch_up.told,
            };
        }
        let is_active = |subscribed: &&Subscribed| subscribed.since <= self.position;
        let active = self.subscribed.iter().filter(is_active);
        let waiting = self
            .subscribed
            .iter()
            .filter(|subscribed| !is_active(subscribed));
        Want {
            patterns: active
                .map(|subscribed| subscribed.pattern.clone())
                .collect(),
            after: self.position,
            to: waiting
                .map(|waiting| waiting.since)
                .min()
                .unwrap_or(u64::MAX),
            told: self.told,
        }
    }

    /// Takes in what was read for a [`Want`] and gives what is to be delivered. `None`: nothing was.
    pub(crate) fn absorb(&mut self, want: &Want, got: Got) -> Option<Batch> {
        let examined = got.examined.min(want.to).max(want.after);
        if !got.lost.is_empty() {
            let continues = got
                .events
                .first()
                .map_or(examined, |event| event.place() - 1);
            let gap = Gap {
                topics: got.lost.iter().map(ToString::to_string).collect(),
                after: self.at(want.after).to_string(),
                cursor: self.at(continues).to_string(),
                reason: GapReason::Slow,
            };
            self.gap = Some(join(self.gap.take(), gap));
        }
        let mut events = got.events;
        if let Some(catch_up) = self.catch_ups.front_mut() {
            events.retain(|event| !catch_up.has_had(event));
            catch_up.position = examined;
            catch_up.told = got.evictions.unwrap_or(catch_up.told);
            if catch_up.position >= catch_up.until {
                self.catch_ups.pop_front();
            }
        } else {
            self.position = examined;
            self.told = got.evictions.unwrap_or(self.told);
        }
        let skipped = if self.conflate {
            conflate(&mut events)
        } else {
            0
        };
        if events.is_empty() && self.gap.is_none() {
            return None;
        }
        Some(Batch {
            gap: self.gap.take(),
            events,
            cursor: self.cursor(),
            more: got.more || !self.catch_ups.is_empty(),
            skipped,
        })
    }

    fn at(&self, place: u64) -> Cursor {
        Cursor::new(self.epoch, place)
    }

    fn find(&self, pattern: &Pattern) -> Option<usize> {
        let mut subscribed = self.subscribed.iter();
        subscribed.position(|subscribed| subscribed.pattern == *pattern)
    }

    /// What this session will have had once its present catch-ups are through.
    fn all_had(&self) -> Vec<Had> {
        let now = self.subscribed.iter().map(|subscribed| Had {
            pattern: subscribed.pattern.clone(),
            after: subscribed.since,
            to: self.position,
        });
        self.had.iter().cloned().chain(now).collect()
    }
}

impl CatchUp {
    fn has_had(&self, event: &Encoded) -> bool {
        let (place, topic) = (event.place(), event.event().topic());
        self.had
            .iter()
            .any(|had| had.after < place && place <= had.to && had.pattern.matches(topic))
    }
}

/// Leaves the newest event of each topic and gives how many went.
fn conflate(events: &mut Vec<Arc<Encoded>>) -> u64 {
    let before = events.len();
    let mut newer: HashSet<Topic> = HashSet::new();
    let mut kept: Vec<_> = events
        .drain(..)
        .rev()
        .filter(|event| newer.insert(event.event().topic().clone()))
        .collect();
    kept.reverse();
    *events = kept;
    (before - events.len()) as u64
}

/// Two gaps with nothing delivered between them are one.
fn join(earlier: Option<Gap>, later: Gap) -> Gap {
    let Some(mut gap) = earlier else {
        return later;
    };
    for topic in later.topics {
        if !gap.topics.contains(&topic) {
            gap.topics.push(topic);
        }
    }
    gap.cursor = later.cursor;
    gap
}

/// Notes of patterns that a session no longer has; beyond it the oldest is forgotten, and an event
/// of that pattern may then be delivered again when it is subscribed anew with an older cursor.
const HAD_MAX: usize = 64;

#[cfg(test)]
mod tests;
