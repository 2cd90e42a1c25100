//! What a conflating session has seen of the log during one read. No I/O, no clock, no locks.
//! Shape: look by look the newest event of each topic is kept; in the end those that fit into a batch
//! are given in log order, and the session then stands at the last of them. What superseded an earlier
//! event lies behind that place and is found again by the next read. So nothing is kept between two
//! batches, and a session stays a cursor.
//! Bound: [`Reach`], and one look over it.
//! Failure: a look that finds a loss ends the read before it, unless it is the first. So the gap comes
//! before the events that follow it, and after those that lie before it.
//! Source: protocol section 3, `conflate`.

use std::collections::HashMap;
use std::sync::Arc;

use tidewire_protocol::{Pattern, Topic};

use super::{Got, Want};
use crate::encoded::Encoded;

/// How far one read of a conflating session looks. At each bound it delivers what it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Events that match.
    pub(crate) max_events: usize,
    /// Looks, however little each has found.
    pub(crate) max_looks: usize,
    /// JSON of the kept events that came out of the engine. Those of the window are shared with it.
    pub(crate) max_kept_bytes: usize,
}

impl Reach {
    /// As far as a session looks when it has not looked there before.
    pub(crate) const FAR: Self = Self {
        max_events: 65_536,
        max_looks: 256,
        max_kept_bytes: 4 << 20,
    };

    /// The first look that finds anything.
    pub(crate) fn near(self) -> Self {
        Self {
            max_events: 1,
            ..self
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// What the whole read is for. `told` follows the first look.
    want: Want,
    reach: Reach,
    looks: usize,
    /// Everything up to here has been looked at.
    examined: u64,
    newest: HashMap<Topic, Kept>,
    kept_bytes: usize,
    /// The places of all that were seen, kept or not, in log order.
    seen: Vec<u64>,
    at_end: bool,
    more: bool,
    /// Of the first look. Later evictions are not taken for known: they may concern what is cut off.
    lost: Vec<Pattern>,
    evictions: Option<u64>,
}

#[derive(Debug)]
struct Kept {
    event: Arc<Encoded>,
    /// What it takes up of the bound.
    bytes: usize,
}

impl Ahead {
    pub(crate) fn new(want: Want, reach: Reach) -> Self {
        Self {
            examined: want.after,
            want,
            reach,
            looks: 0,
            newest: HashMap::new(),
            kept_bytes: 0,
            seen: Vec::new(),
            at_end: false,
            more: false,
            lost: Vec::new(),
            evictions: None,
        }
    }

    /// The next look: the same patterns, up to the same place, beyond what has been looked at.
    pub(crate) fn want(&self) -> Want {
        Want {
            after: self.examined,
            ..self.want.clone()
        }
    }

    /// Everything up to here has been looked at.
    pub(crate) fn examined(&self) -> u64 {
        self.examined
    }

    /// Takes a look in. Gives whether another one is worth it.
    pub(crate) fn look_on(&mut self, got: Got) -> bool {
        let is_first = self.looks == 0;
        if !is_first && !got.lost.is_empty() {
            self.at_end = false;
            self.more = true;
            return false;
        }
        if is_first {
            self.lost = got.lost;
            self.evictions = got.evictions;
            if let Some(evictions) = got.evictions {
                self.want.told.fill(evictions);
            }
        }
        self.looks += 1;
        self.examined = got.examined.min(self.want.to).max(self.examined);
        self.at_end = got.at_end;
        self.more = got.more;
        let is_from_engine = got.evictions.is_some();
        for event in &got.events {
            let bytes = if is_from_engine {
                event.json().len()
            } else {
                0
            };
            self.keep(Kept {
                event: Arc::clone(event),
                bytes,
            });
        }
        !self.at_end
            && self.examined < self.want.to
            && self.seen.len() < self.reach.max_events
            && self.looks < self.reach.max_looks
            && self.kept_bytes < self.reach.max_kept_bytes
    }

    /// What is delivered of it, as one look would have given it. One event is always let through.
    pub(crate) fn finish(self, max_events: usize, max_bytes: usize) -> (Want, Got) {
        let kept = self.newest.into_values();
        let mut events: Vec<_> = kept.map(|kept| kept.event).collect();
        events.sort_unstable_by_key(|event| event.place());
        let fitting = fitting(&events, max_events, max_bytes);
        let is_cut = fitting < events.len();
        events.truncate(fitting);
        let examined = match events.last() {
            Some(last) if is_cut => last.place(),
            _ => self.examined,
        };
        let passed = self.seen.partition_point(|&place| place <= examined);
        let got = Got {
            skipped: (passed - events.len()) as u64,
            beyond: (self.seen.len() - passed) as u64,
            events: events.into(),
            examined,
            at_end: self.at_end && !is_cut,
            more: self.more || is_cut,
            lost: self.lost,
            evictions: self.evictions,
        };
        (self.want, got)
    }

    fn keep(&mut self, kept: Kept) {
        self.seen.push(kept.event.place());
        self.kept_bytes += kept.bytes;
        let topic = kept.event.event().topic();
        let superseded = match self.newest.get_mut(topic) {
            Some(newest) => Some(std::mem::replace(newest, kept)),
            None => self.newest.insert(topic.clone(), kept),
        };
        self.kept_bytes -= superseded.map_or(0, |kept| kept.bytes);
    }
}

/// How many of these fit into a batch.
fn fitting(events: &[Arc<Encoded>], max_events: usize, max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Arc<Encoded>| {
        let has_room = bytes < max_bytes;
        bytes += event.json().len();
        has_room
    };
    let at_least_one = 1.min(events.len());
    let fitting = events.iter().take(max_events).take_while(fits).count();
    fitting.max(at_least_one)
}

#[cfg(test)]
mod tests;
