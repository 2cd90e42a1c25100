//! What one session owes its subscriber, and whether it kept to it. The oracle of the simulation.
//! Shape: for each subscribed pattern the place after which it is owed everything; what was delivered; which
//! losses were told. Each cursor that the subscriber gets must be safe: everything owed up to it was
//! delivered, or lost and told.
//! Cost: linear in the events between two cursors, for each pattern.
//!
//! A loss is one of a pattern, counted from the cursor that was asked for: a session that is subscribed to
//! `a.*` and then asks for `a.x` from an older cursor is told what `a.x` lost since, had or not. An event that was
//! told as lost for one pattern is told, though it matches another one too.
//! Where a session conflates, an event is also settled by a newer one of its topic, which it has had or is
//! owed.
//! Source: protocol section 3.

use tidewire_bus::{Batch, Subscribed};
use tidewire_protocol::{Cursor, Epoch, Gap, GapReason, StartAt};

use crate::model::Model;
use crate::universe::{TOPICS, matches, pattern_index, topic_index};
use crate::world::Look;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    is_conflated: bool,
    subscriptions: Vec<Subscription>,
    /// For each pattern of now or before, what need not be delivered.
    told: Vec<(usize, Told)>,
    /// Of a session that conflates: the newest eviction that it has heard of.
    seen: u64,
    /// By place.
    delivered: Vec<bool>,
    /// For each topic, the newest place that was delivered.
    newest: [u64; TOPICS.len()],
    /// The next event comes beyond this place.
    last: u64,
    /// A gap that subscribing found; it comes with the next batch.
    owed_gap: Option<OwedGap>,
}

#[derive(Debug)]
struct Subscription {
    pattern: usize,
    /// It is owed what comes after this place, the one that was asked for,
    from: u64,
    /// but gets only what comes after this one, where something was lost in between.
    since: u64,
    /// Everything up to here was found settled.
    settled: u64,
    /// Evictions up to this number are no loss to it, or were told.
    known: u64,
}

/// What lay after the place and was evicted by then was told as lost.
#[derive(Clone, Copy, Debug)]
struct Told {
    after: u64,
    evictions: u64,
}

#[derive(Debug)]
struct OwedGap {
    /// The cursor and the reason that it is told with.
    asked: Cursor,
    reason: GapReason,
    lost: Vec<(usize, Option<Told>)>,
    /// Cursors of another epoch that were asked for: until it is told they are safe, for whoever resumes
    /// there is told.
    foreign: Vec<Cursor>,
    /// Patterns whose cursor lay in the future, and this cursor. It stays safe for them, for at it they have
    /// asked for nothing before it.
    future: Vec<(usize, Cursor)>,
}

/// One call of `Session::subscribe`.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) patterns: &'a [usize],
    pub(crate) start: StartAt,
    /// The engine's head and epoch when it was called.
    pub(crate) head: u64,
    pub(crate) epoch: Epoch,
}

/// Where patterns begin; the words are those of [`Subscription`].
#[derive(Clone, Copy, Debug)]
struct Begin {
    from: u64,
    since: u64,
    known: u64,
    gone: Option<Told>,
}

impl Begin {
    fn at(place: u64, gone: Option<Told>) -> Self {
        Self {
            from: place,
            since: place,
            known: gone.map_or(0, |gone| gone.evictions),
            gone,
        }
    }
}

impl Call<'_> {
    /// All of its patterns, with nothing in particular to tell.
    fn all(&self) -> Vec<(usize, Option<Told>)> {
        self.patterns
            .iter()
            .map(|&pattern| (pattern, None))
            .collect()
    }

    /// Begins after a place of this log. Gives what was lost since.
    fn resume(
        &self,
        model: &Model,
        after: u64,
        looks: &[Look],
    ) -> (Begin, Vec<(usize, Option<Told>)>) {
        let mut begin = Begin::at(after, None);
        let read = looks.iter().find_map(|look| match look {
            Look::Read {
                evictions,
                continues,
                ..
            } => Some((*evictions, *continues)),
            Look::Seek { .. } => None,
        });
        // Without a look into the engine nothing is told: it must then all be delivered.
        let Some((evictions, continues)) = read else {
            return (begin, Vec::new());
        };
        let has_lost = |pattern: &&usize| model.has_lost(**pattern, after, 0, evictions);
        let told = Told { after, evictions };
        let lost: Vec<_> = self
            .patterns
            .iter()
            .filter(has_lost)
            .map(|&pattern| (pattern, Some(told)))
            .collect();
        if !lost.is_empty() {
            begin.since = continues;
            begin.known = evictions;
        }
        (begin, lost)
    }
}

impl Ledger {
    pub(crate) fn new(is_conflated: bool, head: u64) -> Self {
        Self {
            is_conflated,
            last: head,
            ..Self::default()
        }
    }

    /// A subscription was answered; `looks` is what it had from the engine.
    pub(crate) fn subscribed(
        &mut self,
        model: &Model,
        call: &Call<'_>,
        looks: &[Look],
        answer: &Subscribed,
    ) {
        let sought = || {
            let seek = looks.iter().find_map(|look| match look {
                Look::Seek { after, evictions } => Some((*after, *evictions)),
                Look::Read { .. } => None,
            });
            let (after, evictions) = seek.expect("the engine was asked where to begin");
            // What was gone already then is not owed.
            let gone = Told { after, evictions };
            Begin::at(after, Some(gone))
        };
        let mut gap = None;
        let begin = match call.start {
            StartAt::Now | StartAt::Last(0) => Begin::at(call.head, None),
            StartAt::Start | StartAt::Last(_) => sought(),
            StartAt::After(asked) if asked.epoch != call.epoch => {
                gap = Some((asked, GapReason::Epoch, call.all()));
                sought()
            }
            StartAt::After(asked) if asked.place > call.head => {
                gap = Some((asked, GapReason::Unknown, call.all()));
                Begin::at(call.head, None)
            }
            StartAt::After(asked) => {
                let (begin, lost) = call.resume(model, asked.place, looks);
                if !lost.is_empty() {
                    gap = Some((asked, GapReason::Evicted, lost));
                }
                begin
            }
        };
        let is_resumed = matches!(call.start, StartAt::After(_)) && gap.is_none();
        assert_eq!(answer.resumed, is_resumed, "resumed, {call:?}, {gap:?}");
        self.see(looks);
        if let Some((asked, reason, lost)) = gap {
            let owed = self.owed_gap.get_or_insert(OwedGap {
                asked,
                reason,
                lost: Vec::new(),
                foreign: Vec::new(),
                future: Vec::new(),
            });
            match reason {
                GapReason::Epoch => owed.foreign.push(asked),
                GapReason::Unknown => {
                    let patterns = call.patterns.iter();
                    owed.future
                        .extend(patterns.map(|&pattern| (pattern, asked)));
                }
                GapReason::Evicted | GapReason::Slow => {}
            }
            owed.lost.extend(lost);
        }
        for &pattern in call.patterns {
            self.subscribe(pattern, begin);
        }
        self.assert_safe(model, call.epoch, answer.cursor);
    }

    /// A cursor that the subscriber was given outside of a batch.
    pub(crate) fn assert_safe(&self, model: &Model, epoch: Epoch, cursor: Cursor) {
        // Whoever resumes at a cursor of another epoch is told so.
        if cursor.epoch != epoch {
            let is_asked = |owed: &OwedGap| owed.foreign.contains(&cursor);
            assert!(
                self.owed_gap.as_ref().is_some_and(is_asked),
                "{cursor} is of another epoch"
            );
            return;
        }
        let future = self.owed_gap.as_ref().map_or(&[][..], |owed| &owed.future);
        let asks_for_less = |mine: &&Subscription| !future.contains(&(mine.pattern, cursor));
        for mine in self.subscriptions.iter().filter(asks_for_less) {
            self.assert_is_settled(model, mine, cursor.place);
        }
    }

    fn subscribe(&mut self, pattern: usize, begin: Begin) {
        self.last = self.last.min(begin.from);
        self.told.extend(begin.gone.map(|gone| (pattern, gone)));
        let mut mine = self.subscriptions.iter_mut();
        let Some(mine) = mine.find(|mine| mine.pattern == pattern) else {
            self.subscriptions.push(Subscription {
                pattern,
                from: begin.from,
                since: begin.since,
                settled: begin.from,
                known: begin.known,
            });
            return;
        };
        // It is subscribed already; only what comes before is new.
        if begin.since < mine.since {
            mine.from = mine.from.min(begin.from);
            mine.since = begin.since;
            mine.settled = mine.settled.min(begin.from);
            mine.known = begin.known;
        }
    }

    pub(crate) fn unsubscribed(&mut self, pattern: usize) {
        self.subscriptions.retain(|mine| mine.pattern != pattern);
    }

    /// A batch was given in this step, and the subscriber received so many of its events before it was
    /// cut, if it was. Gives the cursor that it then has, if it got one.
    pub(crate) fn received(
        &mut self,
        model: &Model,
        step: u64,
        looks: &[Look],
        batch: &Batch,
        received: usize,
    ) -> Option<Cursor> {
        let epoch = batch.cursor.epoch;
        let mut cursor = self.receive_gap(model, looks, batch);
        // The events are of the last page if the session has just got one, else of the window.
        let read_at = match looks.last() {
            Some(Look::Read { made, given, .. }) if *given == step => *made,
            _ => step,
        };
        for (index, event) in batch.events.iter().enumerate() {
            let place = event.place();
            assert_eq!(event.event().id(), Cursor::new(epoch, place));
            assert!(place > self.last, "{place} comes after {}", self.last);
            assert!(place <= model.head(), "{place} was never appended");
            let sent = model.sent(place);
            let (topic, time_ms) = (topic_index(event.event().topic()), event.event().time_ms());
            assert_eq!((topic, time_ms), (sent.topic, sent.time_ms), "at {place}");
            assert!(event.json().ends_with(&sent.body), "payload at {place}");
            let is_owed = |mine: &Subscription| place > mine.from && matches(mine.pattern, topic);
            assert!(
                self.subscriptions.iter().any(is_owed),
                "{place} of {} is not subscribed",
                TOPICS[topic]
            );
            assert!(!self.has(place), "{place} comes again");
            // One that conflates may have looked at it while it went on looking.
            assert!(
                self.is_conflated || sent.forgotten.is_none_or(|forgotten| forgotten >= read_at),
                "{place} was forgotten before it was read"
            );
            assert!(
                !self.is_conflated
                    || batch.events[index + 1..]
                        .iter()
                        .all(|later| later.event().topic() != event.event().topic()),
                "{place} is not the newest of its topic in this batch"
            );
            if index >= received {
                continue;
            }
            if self.delivered.len() <= place as usize {
                self.delivered.resize(model.head() as usize + 1, false);
            }
            self.delivered[place as usize] = true;
            self.newest[topic] = self.newest[topic].max(place);
            self.last = place;
            if !self.is_conflated {
                self.assert_settled(model, place);
                cursor = Some(event.event().id());
            }
        }
        let last = batch.events.last().map_or(0, |event| event.place());
        assert!(
            batch.cursor.place >= last,
            "the cursor is behind the events"
        );
        assert!(
            batch.cursor.place <= model.head(),
            "the cursor is in the future"
        );
        assert!(self.is_conflated || batch.skipped == 0);
        if received == batch.events.len() {
            self.assert_settled(model, batch.cursor.place);
            cursor = Some(batch.cursor);
        }
        cursor
    }

    /// Takes in the batch's gap, which must tell exactly what was lost. Gives its cursor.
    fn receive_gap(&mut self, model: &Model, looks: &[Look], batch: &Batch) -> Option<Cursor> {
        if self.is_conflated {
            return self.receive_conflated_gap(model, looks, batch);
        }
        let (told, found) = self.losses(model, looks);
        let Some(gap) = &batch.gap else {
            assert!(told.is_empty(), "a gap was not told: {told:?}");
            return None;
        };
        let mut topics: Vec<usize> = gap.topics.iter().map(|text| pattern_index(text)).collect();
        let mut lost: Vec<usize> = told.iter().map(|(pattern, _)| *pattern).collect();
        topics.sort_unstable();
        lost.sort_unstable();
        lost.dedup();
        assert_eq!(topics, lost, "{gap:?} is not what was lost");
        let (asked, reason) = found.expect("something was lost");
        let asked_text = asked.map(|asked| asked.to_string());
        assert!(asked_text.is_none_or(|asked| asked == gap.after), "{gap:?}");
        assert_eq!(gap.reason, reason);
        let told = told.into_iter();
        self.told
            .extend(told.filter_map(|(pattern, told)| Some((pattern, told?))));
        Some(self.continues(model, gap, batch))
    }

    /// A session that conflates looks ahead of what it delivers, and may tell a loss later than it found
    /// it. So each pattern that is named must have lost something; whether everything was told comes out
    /// where it is owed.
    fn receive_conflated_gap(
        &mut self,
        model: &Model,
        looks: &[Look],
        batch: &Batch,
    ) -> Option<Cursor> {
        self.see(looks);
        let owed = self.owed_gap.take();
        let Some(gap) = &batch.gap else {
            assert!(owed.is_none(), "a gap was not told: {owed:?}");
            return None;
        };
        let named: Vec<usize> = gap.topics.iter().map(|text| pattern_index(text)).collect();
        let mut owed = owed.iter().flat_map(|owed| &owed.lost);
        for &pattern in &named {
            let is_owed = owed.clone().any(|(owed, _)| *owed == pattern);
            let mut mine = self.subscriptions.iter();
            let Some(mine) = mine.find(|mine| mine.pattern == pattern) else {
                assert!(is_owed, "{gap:?} names what is not subscribed");
                continue;
            };
            let told = Told {
                after: mine.from,
                evictions: self.seen,
            };
            let has_lost = model.has_lost(pattern, told.after, 0, told.evictions);
            assert!(has_lost || is_owed, "{gap:?} names what lost nothing");
            self.told.push((pattern, told));
        }
        assert!(owed.all(|(pattern, _)| named.contains(pattern)), "{gap:?}");
        Some(self.continues(model, gap, batch))
    }

    /// The newest eviction that the session has heard of.
    fn see(&mut self, looks: &[Look]) {
        for look in looks {
            let (Look::Read { evictions, .. } | Look::Seek { evictions, .. }) = look;
            self.seen = self.seen.max(*evictions);
        }
    }

    /// Where the gap says that delivery continues: before the next event, and safe to resume.
    fn continues(&self, model: &Model, gap: &Gap, batch: &Batch) -> Cursor {
        let cursor = Cursor::parse(&gap.cursor).unwrap();
        assert_eq!(cursor.epoch, batch.cursor.epoch, "{gap:?}");
        let first = batch.events.first().map(|event| event.place());
        assert!(
            first.is_none_or(|first| cursor.place < first),
            "delivery continues with {first:?}, before {gap:?}"
        );
        for mine in &self.subscriptions {
            self.assert_is_settled(model, mine, cursor.place);
        }
        cursor
    }

    /// What a gap has to tell now, and the cursor and the reason that it has.
    #[expect(
        clippy::type_complexity,
        reason = "two answers of one look at the same lists"
    )]
    fn losses(
        &mut self,
        model: &Model,
        looks: &[Look],
    ) -> (
        Vec<(usize, Option<Told>)>,
        Option<(Option<Cursor>, GapReason)>,
    ) {
        let owed = self.owed_gap.take();
        let mut found = owed.as_ref().map(|owed| (Some(owed.asked), owed.reason));
        let mut lost = owed.map_or(Vec::new(), |owed| owed.lost);
        for look in looks {
            let Look::Read {
                patterns,
                after,
                evictions,
                ..
            } = look
            else {
                continue;
            };
            for mine in &mut self.subscriptions {
                if !patterns.contains(&mine.pattern) {
                    continue;
                }
                if model.has_lost(mine.pattern, *after, mine.known, *evictions) {
                    let told = Told {
                        after: *after,
                        evictions: *evictions,
                    };
                    lost.push((mine.pattern, Some(told)));
                    found.get_or_insert((None, GapReason::Slow));
                }
                mine.known = *evictions;
            }
        }
        (lost, found)
    }

    /// What it has had from the engine without anything to deliver in it: it lost nothing there.
    pub(crate) fn looked(&mut self, model: &Model, looks: &[Look]) {
        if self.is_conflated {
            self.see(looks);
            return;
        }
        let owed = self.owed_gap.take();
        let (lost, _) = self.losses(model, looks);
        assert!(lost.is_empty(), "a gap was not told: {lost:?}");
        self.owed_gap = owed;
    }

    /// How many of its patterns match a topic.
    pub(crate) fn matching(&self, topic: usize) -> usize {
        let mine = self.subscriptions.iter();
        mine.filter(|mine| matches(mine.pattern, topic)).count()
    }

    /// The session waits, although nothing more will come: it must have had everything.
    pub(crate) fn assert_is_at_end(&mut self, model: &Model, looks: &[Look]) {
        assert!(self.owed_gap.is_none(), "it waits with a gap untold");
        self.looked(model, looks);
        self.assert_settled(model, model.head());
    }

    /// Everything that is owed up to this place was delivered, or told as lost.
    pub(crate) fn assert_settled(&mut self, model: &Model, to: u64) {
        for mine in &self.subscriptions {
            self.assert_is_settled(model, mine, to);
        }
        for mine in &mut self.subscriptions {
            mine.settled = mine.settled.max(to);
        }
    }

    fn assert_is_settled(&self, model: &Model, mine: &Subscription, to: u64) {
        for place in mine.settled + 1..=to.min(model.head()) {
            let sent = model.sent(place);
            if !matches(mine.pattern, sent.topic) || self.has(place) {
                continue;
            }
            let is_told = sent.gone.is_some_and(|gone| {
                let covers = |(pattern, told): &(usize, Told)| {
                    told.after < place && gone <= told.evictions && matches(*pattern, sent.topic)
                };
                self.told.iter().rev().any(covers)
            });
            let newer = self.newest[sent.topic] > place || model.newest(sent.topic) > to;
            let is_newer_had = self.is_conflated && newer;
            assert!(
                is_told || is_newer_had,
                "{place} of {} was neither delivered nor told, and {to} is called safe; {mine:?}, {:?}",
                TOPICS[sent.topic],
                sent.gone
            );
        }
    }

    fn has(&self, place: u64) -> bool {
        self.delivered.get(place as usize).is_some_and(|had| *had)
    }
}
