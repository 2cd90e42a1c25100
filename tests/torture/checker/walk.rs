//! One subscriber, walked through the log from its first cursor to the head.
//! Shape: for each topic that it wants, the place of the next event that has to come. An event may be left out only
//! when a gap was told since the last one of its topic, and only where retention can have taken it: it lets go
//! of the oldest of a topic, so what is left out are the first ones after the gap.
//! Failure: something missing, out of order, unwanted, or a gap where nothing can have been lost.

use std::collections::HashMap;

use tidewire_client::Transport;
use tidewire_protocol::{Cursor, Epoch, Gap, GapReason, Pattern};

use super::log::{Log, TopicLog, violation};
use super::{Place, Summary, Violation};
use crate::history::{Step, Subscription};

/// Walks one subscriber.
pub(super) fn walk(
    log: &Log<'_>,
    number: usize,
    subscription: &Subscription,
    head: Option<Cursor>,
) -> Result<Summary, Violation> {
    let mut walk = Walk {
        log,
        patterns: &subscription.patterns,
        position: None,
        furthest: None,
        tracks: Vec::new(),
        by_topic: HashMap::new(),
        owed: Owed::Nothing,
        summary: Summary::default(),
        place: Place::Step(number, 0),
    };
    for (index, seen) in subscription.steps.iter().enumerate() {
        walk.place = Place::Step(number, index);
        walk.step(&seen.step)?;
    }
    if let Some(head) = head {
        walk.cursor(head, "the end")?;
    }
    Ok(walk.summary)
}

struct Walk<'a> {
    log: &'a Log<'a>,
    patterns: &'a [Pattern],
    /// The last safe place to resume.
    position: Option<Cursor>,
    /// The newest event that was delivered; what comes at or before it is a repeat.
    furthest: Option<Cursor>,
    tracks: Vec<Track<'a>>,
    by_topic: HashMap<&'a str, usize>,
    owed: Owed,
    summary: Summary,
    place: Place,
}

/// One topic that the subscriber wants.
struct Track<'a> {
    topic: &'a TopicLog,
    /// The index of the place that has to come next.
    next: usize,
    /// A gap was told since the last event of this topic.
    is_open: bool,
}

/// What `hello` said and the next thing has to fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// `resumed` was false although there was a cursor: a gap must come first.
    Gap,
    /// `resumed` was true: what is lost from now on is lost to a slow session.
    NoGap,
}

impl<'a> Walk<'a> {
    fn step(&mut self, step: &Step) -> Result<(), Violation> {
        match step {
            Step::Opened {
                transport,
                asked,
                cursor,
                resumed,
                ..
            } => {
                self.opened(asked, cursor.as_deref(), *resumed)?;
                // Each poll resumes anew: what the second one finds lost is no lie of the first.
                if *transport == Transport::Poll && self.owed == Owed::NoGap {
                    self.owed = Owed::Nothing;
                }
                Ok(())
            }
            Step::Event { id, topic, .. } => self.event(id, topic),
            Step::Gap(gap) => self.gap(gap),
            Step::Cursor(text) => {
                let cursor = self.parse(text)?;
                self.cursor(cursor, "the cursor")
            }
            Step::Ended(_) => {
                self.owed = Owed::Nothing;
                Ok(())
            }
        }
    }

    fn opened(
        &mut self,
        asked: &str,
        cursor: Option<&str>,
        resumed: bool,
    ) -> Result<(), Violation> {
        self.summary.connections += 1;
        self.settle()?;
        let cursor = cursor.map(|text| self.parse(text)).transpose()?;
        self.owed = Owed::Nothing;
        match asked {
            "now" => match cursor {
                Some(cursor) => self.seek(cursor),
                None => return violation(self.place, "no cursor, although it began with now"),
            },
            "start" => {
                // Whatever is not retained any more is no loss to it: it asked for the oldest.
                self.tracks.clear();
                self.position = None;
                if let Some(cursor) = cursor {
                    self.seek(Cursor::new(cursor.epoch, 0));
                    self.open_all();
                    self.cursor(cursor, "the cursor of hello")?;
                }
            }
            asked => {
                let asked = self.parse(asked)?;
                self.seek(asked);
                self.owed = if resumed { Owed::NoGap } else { Owed::Gap };
                // Of another epoch it is told by the gap that follows.
                if let Some(cursor) = cursor.filter(|cursor| cursor.epoch == asked.epoch) {
                    self.cursor(cursor, "the cursor of hello")?;
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, id: &str, topic: &str) -> Result<(), Violation> {
        let Some(&(_, id)) = self.log.ids.get(id) else {
            return violation(self.place, format!("{id:?} is the id of no event"));
        };
        self.event_at(id, topic)
    }

    fn event_at(&mut self, id: Cursor, topic: &str) -> Result<(), Violation> {
        if self.owed == Owed::Gap {
            let what = "the session was not resumed, and no gap came before its first event";
            return violation(self.place, what);
        }
        self.owed = Owed::Nothing;
        let Some(position) = self.position else {
            // It began with the oldest event, and this is the first thing that it hears.
            self.seek(Cursor::new(id.epoch, 0));
            self.open_all();
            return self.event_at(id, topic);
        };
        self.same_epoch(id, position)?;
        if id.place <= position.place {
            let what = format!("{id} comes after {position}: it goes back");
            return violation(self.place, what);
        }
        let Some(&track) = self.by_topic.get(topic) else {
            return violation(self.place, format!("nobody asked for {topic}"));
        };
        self.deliver_up_to(track, id.place - 1)?;
        let track = &mut self.tracks[track];
        if track.topic.places.get(track.next) != Some(&id.place) {
            return violation(self.place, format!("{id} does not stand in {topic}"));
        }
        track.next += 1;
        track.is_open = false;
        self.position = Some(id);
        self.summary.delivered += 1;
        let is_new = self
            .furthest
            .is_none_or(|furthest| furthest.epoch != id.epoch || furthest.place < id.place);
        if is_new {
            self.furthest = Some(id);
        } else {
            self.summary.repeated += 1;
        }
        Ok(())
    }

    fn cursor(&mut self, cursor: Cursor, name: &str) -> Result<(), Violation> {
        let Some(position) = self.position else {
            self.seek(Cursor::new(cursor.epoch, 0));
            self.open_all();
            return self.cursor(cursor, name);
        };
        self.same_epoch(cursor, position)?;
        if cursor.place < position.place {
            // The head at the end may lie behind what was published since.
            if name == "the end" {
                return self.settle();
            }
            let what = format!("{name} goes back: {cursor} after {position}");
            return violation(self.place, what);
        }
        self.position = Some(cursor);
        self.settle()
    }

    /// Everything up to the position was delivered, of every topic.
    fn settle(&mut self) -> Result<(), Violation> {
        let Some(position) = self.position else {
            return Ok(());
        };
        for track in 0..self.tracks.len() {
            self.deliver_up_to(track, position.place)?;
        }
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Violation> {
        self.summary.gaps += 1;
        let (after, cursor) = (self.parse(&gap.after)?, self.parse(&gap.cursor)?);
        let owed = std::mem::replace(&mut self.owed, Owed::Nothing);
        if owed == Owed::NoGap && gap.reason != GapReason::Slow {
            return violation(self.place, "the session was resumed, and then told a gap");
        }
        let wanted = |topic: &String| {
            let mut patterns = self.patterns.iter();
            patterns.any(|pattern| pattern.to_string() == *topic)
        };
        if gap.topics.is_empty() || !gap.topics.iter().all(wanted) {
            return violation(self.place, "a gap of patterns that nobody asked for");
        }
        match gap.reason {
            GapReason::Evicted | GapReason::Slow => self.evicted(gap, after, cursor),
            GapReason::Epoch | GapReason::Unknown if self.log.rules.is_durable => {
                let what = format!("a gap {}: the log was kept", gap.reason);
                violation(self.place, what)
            }
            GapReason::Epoch | GapReason::Unknown => {
                self.seek(Cursor::new(cursor.epoch, 0));
                self.open_all();
                if gap.reason == GapReason::Unknown {
                    self.seek(cursor);
                }
                self.cursor(cursor, "the cursor of the gap")
            }
        }
    }

    fn evicted(&mut self, gap: &Gap, after: Cursor, cursor: Cursor) -> Result<(), Violation> {
        // What stands before the place that the gap names is not excused by it.
        self.cursor(after, "the gap's after")?;
        let patterns: Vec<Pattern> = gap
            .topics
            .iter()
            .flat_map(|text| Pattern::parse(text))
            .collect();
        let concerns = |topic| patterns.iter().any(|pattern| pattern.matches(topic));
        let keep = self.log.rules.tight_max_events;
        let mut lost = false;
        for track in &mut self.tracks {
            if !track.topic.is_tight || !concerns(&track.topic.topic) {
                continue;
            }
            track.is_open = true;
            lost |= track.next + keep < track.topic.places.len();
        }
        let unsettled = |topic| self.log.rules.tight.matches(topic) && concerns(topic);
        if !lost && !self.log.unsettled.iter().any(unsettled) {
            return violation(self.place, "a gap where nothing was lost");
        }
        self.cursor(cursor, "the cursor of the gap")
    }

    /// Everything of the topic up to the place was delivered, or is excused.
    fn deliver_up_to(&mut self, track: usize, place: u64) -> Result<(), Violation> {
        let keep = self.log.rules.tight_max_events;
        let epoch = self.position.map(|position| position.epoch);
        let track = &mut self.tracks[track];
        let places = &track.topic.places;
        while let Some(&missing) = places.get(track.next).filter(|next| **next <= place) {
            let missing =
                epoch.map_or_else(String::new, |epoch| Cursor::new(epoch, missing).to_string());
            let newer = places.len() - 1 - track.next;
            let topic = &track.topic.topic;
            if !track.topic.is_tight {
                let what = format!("{missing} of {topic} was not delivered");
                return violation(self.place, what);
            }
            if !track.is_open {
                let what = format!("{missing} of {topic} was lost, and no gap told so");
                return violation(self.place, what);
            }
            if newer < keep {
                let what = format!("{missing} of {topic} is in a gap, but was retained");
                return violation(self.place, what);
            }
            track.next += 1;
            self.summary.lost += 1;
        }
        Ok(())
    }

    /// Goes on after a place, in whatever epoch.
    fn seek(&mut self, cursor: Cursor) {
        if self.tracks.is_empty() || self.position.is_none_or(|at| at.epoch != cursor.epoch) {
            self.enter(cursor.epoch);
        }
        for track in &mut self.tracks {
            let places = &track.topic.places;
            track.next = places.partition_point(|place| *place <= cursor.place);
            track.is_open = false;
        }
        self.position = Some(cursor);
    }

    fn enter(&mut self, epoch: Epoch) {
        let topics = self.log.epochs.get(&epoch);
        let wanted = |topic: &&TopicLog| {
            let mut patterns = self.patterns.iter();
            patterns.any(|pattern| pattern.matches(&topic.topic))
        };
        let topics = topics.into_iter().flatten().map(|(_, topic)| topic);
        self.tracks = topics
            .filter(wanted)
            .map(|topic| Track {
                topic,
                next: 0,
                is_open: false,
            })
            .collect();
        let names = self.tracks.iter().map(|track| track.topic.topic.as_str());
        self.by_topic = names.zip(0..).collect();
    }

    fn open_all(&mut self) {
        for track in &mut self.tracks {
            track.is_open = true;
        }
    }

    fn same_epoch(&self, cursor: Cursor, position: Cursor) -> Result<(), Violation> {
        if cursor.epoch == position.epoch {
            return Ok(());
        }
        let what = format!("{cursor} after {position}: another epoch, and no gap told so");
        violation(self.place, what)
    }

    fn parse(&self, text: &str) -> Result<Cursor, Violation> {
        match Cursor::parse(text) {
            Ok(cursor) => Ok(cursor),
            Err(_) => violation(self.place, format!("{text:?} is no cursor")),
        }
    }
}
