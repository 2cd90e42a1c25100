//! What one subscriber has had, and what it reads next. No I/O, no clock, no locks.
//! Shape: each subscribed pattern has its own place up to which it was delivered. Mostly they are all
//! the same. A pattern that was added with an older cursor lies behind: it is read alone, up to the
//! next one, and from there on together with it. So the session goes through the log in order, and the
//! id of each event that it delivers is a safe place to resume. A session that conflates looks further
//! than it delivers; [`ahead`] is what it sees there.
//! Bound: the session's patterns; [`HAD_MAX`] notes of patterns it no longer has.
//! Failure: what the engine has lost becomes one gap before the events that follow.
//! Source: protocol section 3.

pub(crate) mod ahead;

use std::collections::VecDeque;
use tidewire_protocol::{Cursor, Epoch, Gap, GapReason, Pattern};

use super::Batch;
use crate::encoded::Encoded;
use crate::engine::continues_after;
use crate::events::Events;
use ahead::{Ahead, Reach};

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    epoch: Epoch,
    /// Where a session without patterns stands.
    position: u64,
    subscribed: Vec<Subscribed>,
    /// What earlier subscriptions have brought.
    had: VecDeque<Had>,
    /// A gap that was found and not told yet, and where to resume until it is. Its own cursor is where the
    /// session goes on, which is known once it is told. Boxed: it is rare, and a session is mostly idle.
    gap: Option<Box<(Gap, Cursor)>>,
    /// Events that were looked at ahead of the place where the batch then ended, and have not been paid
    /// for: each event that is passed pays for [`LOOKS_EACH`] of them.
    debt: u64,
}

#[derive(Clone, Debug)]
struct Subscribed {
    pattern: Pattern,
    /// It gets what comes after this place,
    since: u64,
    /// and has had everything up to this one.
    position: u64,
    /// Evictions up to this number are no loss to it, or were told.
    told: u64,
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
    /// Up to and with this one; the largest number where there is no end.
    pub(crate) to: u64,
    /// For each pattern, the evictions that need not be told again.
    pub(crate) told: Vec<u64>,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) events: Events,
    pub(crate) examined: u64,
    /// Nothing more is known where this was read.
    pub(crate) at_end: bool,
    /// There may be more.
    pub(crate) more: bool,
    /// From the engine only: patterns that lost something, and the newest eviction.
    pub(crate) lost: Vec<Pattern>,
    pub(crate) evictions: Option<u64>,
    /// Of a conflating session: what was left out up to `examined`, and what was seen beyond it.
    pub(crate) skipped: u64,
    pub(crate) beyond: u64,
}

impl Want {
    /// For whoever looks into the window only, at what he has registered.
    pub(crate) fn all_after(after: u64) -> Self {
        Self {
            patterns: Vec::new(),
            after,
            to: u64::MAX,
            told: Vec::new(),
        }
    }
}

impl State {
    pub(crate) fn new(epoch: Epoch, position: u64) -> Self {
        Self {
            epoch,
            position,
            subscribed: Vec::new(),
            had: VecDeque::new(),
            gap: None,
            debt: 0,
        }
    }

    /// Always a safe place to resume the whole session. While a gap has not been told it is the place
    /// that was asked for, or an earlier one where another pattern stands: whoever resumes there is told
    /// the same.
    pub(crate) fn cursor(&self) -> Cursor {
        match &self.gap {
            Some(untold) => untold.1,
            None => self.at(self.behind().unwrap_or(self.position)),
        }
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.subscribed.iter().map(|subscribed| &subscribed.pattern)
    }

    /// Adds patterns that begin after a place. `told`: evictions that are no loss to them. `gap`: what
    /// was found missing before that place, and the cursor that was asked for.
    pub(crate) fn subscribe(
        &mut self,
        patterns: &[Pattern],
        after: u64,
        told: u64,
        gap: Option<(Gap, Cursor)>,
    ) {
        let others = self.behind().map(|place| self.at(place));
        if let Some((gap, asked)) = gap {
            let resume = others.map_or(asked, |others| self.earlier(asked, others));
            self.tell(gap, resume);
        } else if let Some(untold) = self.gap.take() {
            let (gap, resume) = *untold;
            let others = others.unwrap_or(resume);
            let resume = self.earlier(self.earlier(resume, others), self.at(after));
            self.gap = Some(Box::new((gap, resume)));
        }
        self.subscribed.reserve_exact(patterns.len());
        for pattern in patterns {
            let new = Subscribed {
                pattern: pattern.clone(),
                since: after,
                position: after,
                told,
            };
            match self.find(pattern) {
                None => self.subscribed.push(new),
                // It goes back to what came before; what it has had since is not repeated.
                Some(index) if after < self.subscribed[index].since => {
                    let earlier = std::mem::replace(&mut self.subscribed[index], new);
                    self.note(earlier);
                }
                Some(_) => {}
            }
        }
    }

    /// Takes a pattern away. Gives whether it was subscribed.
    pub(crate) fn unsubscribe(&mut self, pattern: &Pattern) -> bool {
        let Some(index) = self.find(pattern) else {
            return false;
        };
        self.position = self.behind().unwrap_or(self.position);
        let gone = self.subscribed.remove(index);
        self.note(gone);
        true
    }

    /// What to read next: the patterns that lie furthest behind, up to where the next one stands.
    pub(crate) fn want(&self) -> Want {
        let after = self.behind().unwrap_or(self.position);
        let is_behind = |subscribed: &&Subscribed| subscribed.position == after;
        let behind = self.subscribed.iter().filter(is_behind);
        let ahead = self.subscribed.iter().filter(|one| !is_behind(one));
        Want {
            told: behind.clone().map(|one| one.told).collect(),
            patterns: behind.map(|one| one.pattern.clone()).collect(),
            after,
            to: ahead.map(|one| one.position).min().unwrap_or(u64::MAX),
        }
    }

    /// Where a session stands that has one pattern only.
    pub(crate) fn alone(&self) -> Option<u64> {
        match &self.subscribed[..] {
            [one] => Some(one.position),
            _ => None,
        }
    }

    /// The next read of a session that conflates: look by look, as far as it reaches.
    pub(crate) fn look_ahead(&self, far: Reach) -> Ahead {
        // Where many topics are kept and few fit into a batch, most of what is seen is seen again.
        let reach = if self.debt == 0 { far } else { far.near() };
        Ahead::new(self.want(), reach)
    }

    /// Takes a look in, without what the session has had. Gives whether another one is worth it.
    pub(crate) fn look_on(&self, ahead: &mut Ahead, mut got: Got) -> bool {
        self.retain_new(&mut got.events, ahead.examined());
        ahead.look_on(got)
    }

    /// Takes in what was read for a [`Want`] and gives what is to be delivered. `None`: nothing was.
    pub(crate) fn absorb(&mut self, want: &Want, got: Got) -> Option<Batch> {
        let examined = got.examined.min(want.to).max(want.after);
        self.lose(want, &got);
        // Not where the patterns that have lost something go on: others may lie further behind.
        let has_gap = self.gap.is_some();
        let continues = has_gap.then(|| continues_after(&got.events, examined));
        let mut events = got.events;
        self.retain_new(&mut events, want.after);
        for one in &mut self.subscribed {
            if one.position == want.after {
                one.position = examined;
                one.told = got.evictions.unwrap_or(one.told);
            }
        }
        if self.subscribed.is_empty() {
            self.position = examined;
        }
        let passed = events.len() as u64 + got.skipped;
        self.debt = (self.debt + got.beyond).saturating_sub(LOOKS_EACH * passed);
        if events.is_empty() && self.gap.is_none() {
            return None;
        }
        let is_behind = self.subscribed.iter().any(|one| one.position != examined);
        Some(Batch {
            gap: self.gap.take().map(|untold| Gap {
                cursor: self.at(continues.unwrap_or(examined)).to_string(),
                ..untold.0
            }),
            events,
            cursor: self.cursor(),
            more: got.more || is_behind,
            skipped: got.skipped,
        })
    }

    /// What was lost of what was wanted becomes a gap.
    fn lose(&mut self, want: &Want, got: &Got) {
        if got.lost.is_empty() {
            return;
        }
        let asked = self.at(want.after);
        let gap = Gap {
            topics: got.lost.iter().map(ToString::to_string).collect(),
            after: asked.to_string(),
            cursor: asked.to_string(),
            reason: GapReason::Slow,
        };
        self.tell(gap, asked);
    }

    /// Puts a gap before what is delivered next. Two with nothing between them are one.
    fn tell(&mut self, later: Gap, resume: Cursor) {
        let Some(untold) = self.gap.take() else {
            self.gap = Some(Box::new((later, resume)));
            return;
        };
        let (mut gap, first) = *untold;
        for topic in later.topics {
            if !gap.topics.contains(&topic) {
                gap.topics.push(topic);
            }
        }
        self.gap = Some(Box::new((gap, self.earlier(first, resume))));
    }

    /// The earlier of two places to resume; one of another epoch is before all of this one.
    fn earlier(&self, one: Cursor, other: Cursor) -> Cursor {
        let is_before = |cursor: Cursor| (cursor.epoch == self.epoch, cursor.place);
        if is_before(other) < is_before(one) {
            other
        } else {
            one
        }
    }

    fn at(&self, place: u64) -> Cursor {
        Cursor::new(self.epoch, place)
    }

    /// Where the patterns stand that lie furthest behind.
    fn behind(&self) -> Option<u64> {
        self.subscribed.iter().map(|one| one.position).min()
    }

    fn find(&self, pattern: &Pattern) -> Option<usize> {
        self.subscribed
            .iter()
            .position(|one| one.pattern == *pattern)
    }

    /// Lets go of what the session has had. Nothing, where no pattern has ever been beyond this place.
    fn retain_new(&self, events: &mut Events, after: u64) {
        let is_beyond = |one: &Subscribed| one.position > after;
        if !self.had.is_empty() || self.subscribed.iter().any(is_beyond) {
            events.retain(|event| !self.has_had(event));
        }
    }

    /// Another pattern that is further on has had it, or one that is no longer there.
    fn has_had(&self, event: &Encoded) -> bool {
        let (place, topic) = (event.place(), event.event().topic());
        let between =
            |after, to, pattern: &Pattern| after < place && place <= to && pattern.matches(topic);
        let mut had = self.had.iter();
        let mut subscribed = self.subscribed.iter();
        had.any(|had| between(had.after, had.to, &had.pattern))
            || subscribed.any(|one| between(one.since, one.position, &one.pattern))
    }

    /// Notes what a subscription has brought, together with what the same pattern brought before.
    fn note(&mut self, gone: Subscribed) {
        let (mut after, mut to) = (gone.since, gone.position);
        if after >= to {
            return;
        }
        self.had.retain(|had| {
            let joins = had.pattern == gone.pattern && had.after <= to && after <= had.to;
            if joins {
                (after, to) = (after.min(had.after), to.max(had.to));
            }
            !joins
        });
        self.had.push_back(Had {
            pattern: gone.pattern,
            after,
            to,
        });
        if self.had.len() > HAD_MAX {
            self.had.pop_front();
        }
    }
}

/// Notes of patterns that a session no longer has; beyond it the oldest is forgotten, and an event
/// of that pattern may then be delivered again when it is subscribed anew with an older cursor.
const HAD_MAX: usize = 64;
/// How often a conflating session looks at an event, on average: while it owes more it looks near only.
const LOOKS_EACH: u64 = 8;

#[cfg(test)]
mod tests;
