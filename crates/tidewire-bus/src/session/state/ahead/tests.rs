//! Goal: whatever is subscribed, evicted and appended between and during the reads, a conflating session
//! gets the newest event of each topic in log order, everything it is owed is delivered, skipped or told as
//! lost, once, and every cursor on the way is safe.
//! Method: random steps over a naive log with a window and retention, looks as the shell makes them, and
//! for each read what it must give, worked out the slow way. `model` is the log.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidewire_protocol::{Cursor, Epoch};

use super::super::State;
use super::*;
use crate::session::Batch;
use model::{Model, PATTERNS, TOPICS, matches, pattern, places};

/// Of the log.
#[derive(Clone, Copy, Debug)]
enum Change {
    Append(usize),
    /// So many of the oldest retained events of a topic.
    Evict(usize, usize),
}

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    Subscribe { patterns: Vec<usize>, back: u64 },
    Unsubscribe(usize),
    Read(Sizes),
}

/// Of one read.
#[derive(Clone, Debug)]
struct Sizes {
    batch_max_events: usize,
    batch_max_bytes: usize,
    look_max_events: usize,
    reach: Reach,
    /// What happens after each of its looks.
    between: Vec<Change>,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..TOPICS.len()).prop_map(Change::Append),
        1 => (0..TOPICS.len(), 1..4_usize).prop_map(|(topic, count)| Change::Evict(topic, count)),
    ]
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let bytes = || prop_oneof![3 => Just(usize::MAX), 1 => 0..400_usize];
    let reach = (2..40_usize, 1..12_usize, bytes()).prop_map(|(events, looks, bytes)| Reach {
        max_events: events,
        max_looks: looks,
        max_kept_bytes: bytes,
    });
    // Evicted while it is read: what was seen may be gone before it is delivered.
    let evict = (0..TOPICS.len()).prop_map(|topic| Change::Evict(topic, 1));
    let between = prop::collection::vec(prop_oneof![change(), evict], 0..4);
    (1..6_usize, bytes(), 1..6_usize, reach, between).prop_map(
        |(batch_max_events, batch_max_bytes, look_max_events, reach, between)| Sizes {
            batch_max_events,
            batch_max_bytes,
            look_max_events,
            reach,
            between,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => change().prop_map(Step::Change),
        2 => (prop::collection::vec(0..PATTERNS.len(), 1..3), 0..30_u64)
            .prop_map(|(patterns, back)| Step::Subscribe { patterns, back }),
        1 => (0..PATTERNS.len()).prop_map(Step::Unsubscribe),
        3 => sizes().prop_map(Step::Read),
    ]
}

/// One session, and what has become of every event that it was owed.
struct Subscriber {
    model: Model,
    state: State,
    /// From where on each pattern that is subscribed is owed everything.
    since: BTreeMap<usize, u64>,
    delivered: BTreeSet<u64>,
    skipped: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    /// Announced as lost by a gap. The window may still bring some of them.
    told: BTreeSet<u64>,
}

impl Subscriber {
    fn new() -> Self {
        Self {
            model: Model::default(),
            state: State::new(Epoch::parse("test").unwrap(), 0),
            since: BTreeMap::new(),
            delivered: BTreeSet::new(),
            skipped: BTreeSet::new(),
            lost: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    fn is_accounted(&self, place: u64) -> bool {
        let sets = [&self.delivered, &self.skipped, &self.lost];
        sets.iter().any(|set| set.contains(&place))
    }

    /// What a read for this is owed.
    fn owed(&self, want: &Want) -> Vec<Arc<Encoded>> {
        let is_owed = |event: &&Arc<Encoded>| {
            let place = event.place();
            let is_wanted = place > want.after && place <= want.to;
            is_wanted && matches(&want.patterns, event) && !self.is_accounted(place)
        };
        self.model.log.iter().filter(is_owed).cloned().collect()
    }

    /// What of it the looks have brought.
    fn visible(&self, want: &Want, seen: &BTreeSet<u64>) -> Vec<Arc<Encoded>> {
        let mut owed = self.owed(want);
        owed.retain(|event| seen.contains(&event.place()));
        owed
    }

    /// One read as the shell makes it. Gives whether another one may find more.
    fn read(&mut self, sizes: &Sizes) -> Result<bool, TestCaseError> {
        let want = self.state.want();
        let evicted = self.model.evicted();
        let mut seen = BTreeSet::new();
        let mut examined = want.after;
        let mut looks = 0;
        let mut told = want.told.clone();
        let mut from_engine = BTreeSet::new();
        let mut ahead = self.state.look_ahead(sizes.reach);
        loop {
            let next = ahead.want();
            prop_assert_eq!((&next.patterns, next.to), (&want.patterns, want.to));
            prop_assert_eq!((next.after, &next.told), (examined, &told));
            let got = self.model.look(&next, sizes.look_max_events);
            // A later look that finds a loss belongs to the next read.
            if looks == 0 || got.lost.is_empty() {
                seen.extend(places(&got.events));
                if got.evictions.is_some() {
                    from_engine.extend(places(&got.events));
                }
                examined = got.examined.min(want.to).max(examined);
            }
            if let (0, Some(evictions)) = (looks, got.evictions) {
                told.fill(evictions);
            }
            looks += 1;
            if !self.state.look_on(&mut ahead, got) {
                break;
            }
            let mut kept = newest(&self.visible(&want, &seen));
            kept.retain(|event| from_engine.contains(&event.place()));
            let kept_bytes: usize = kept.iter().map(|event| event.json().len()).sum();
            prop_assert!(kept_bytes < sizes.reach.max_kept_bytes);
            if let Some(change) = sizes.between.get(looks - 1) {
                self.model.change(change);
            }
        }
        prop_assert!(looks <= sizes.reach.max_looks);
        let (read, got) = ahead.finish(sizes.batch_max_events, sizes.batch_max_bytes);
        let (at_end, more) = (got.at_end, got.more);
        let (owed, visible) = (self.owed(&want), self.visible(&want, &seen));
        let batch = self.state.absorb(&read, got);

        let (expected, place) = expected(&visible, examined, sizes);
        prop_assert!(place == examined || (more && !at_end), "there is more");
        let events = batch.as_ref().map_or(&[][..], |batch| &batch.events);
        prop_assert_eq!(places(events), places(&expected));
        for event in &expected {
            self.delivered.insert(event.place());
        }
        let mut skipped = places(&visible);
        skipped.retain(|at| *at <= place && !self.delivered.contains(at));
        prop_assert_eq!(
            batch.as_ref().map_or(0, |batch| batch.skipped),
            skipped.len() as u64
        );
        self.skipped.extend(skipped);

        self.check_losses(&want, batch.as_ref(), &evicted, &visible)?;
        let unseen = owed.iter().filter(|event| !seen.contains(&event.place()));
        for at in places(unseen).into_iter().filter(|at| *at <= place) {
            prop_assert!(self.told.contains(&at), "{} was lost and not told", at);
            self.lost.insert(at);
        }
        let cuts = places(&expected).into_iter().chain([place]);
        for cut in cuts {
            self.check_cut(cut, &visible)?;
        }
        prop_assert_eq!(self.state.want().after, place, "the next read begins there");
        Ok(batch.is_some() || !at_end || examined >= want.to)
    }

    /// A gap comes before the events, and only where something was lost.
    fn check_losses(
        &mut self,
        want: &Want,
        batch: Option<&Batch>,
        evicted: &BTreeSet<u64>,
        visible: &[Arc<Encoded>],
    ) -> Result<(), TestCaseError> {
        let Some(gap) = batch.and_then(|batch| batch.gap.as_ref()) else {
            return Ok(());
        };
        let patterns: Vec<_> = gap.topics.iter().map(|topic| pattern(topic)).collect();
        let is_lost = |event: &&Arc<Encoded>| {
            let at = event.place();
            at > want.after && evicted.contains(&at) && matches(&patterns, event)
        };
        let lost = places(self.model.log.iter().filter(is_lost));
        prop_assert!(!lost.is_empty(), "a gap without a loss");
        self.told.extend(lost);
        let continues = Cursor::parse(&gap.cursor).unwrap().place;
        let first = batch.and_then(|batch| batch.events.first());
        prop_assert!(first.is_none_or(|event| event.place() > continues));
        // Whoever is cut between the gap and the next event resumes there.
        self.check_cut(continues, visible)
    }

    /// Whoever is cut just after this place and resumes there misses no topic's newest event.
    fn check_cut(&self, cut: u64, visible: &[Arc<Encoded>]) -> Result<(), TestCaseError> {
        for event in visible.iter().filter(|event| event.place() <= cut) {
            let topic = event.event().topic();
            let is_safe = visible.iter().any(|newer| {
                newer.event().topic() == topic
                    && newer.place() >= event.place()
                    && (newer.place() > cut || self.delivered.contains(&newer.place()))
            });
            prop_assert!(is_safe, "{} was passed at {}", event.place(), cut);
        }
        Ok(())
    }
}

/// The newest event of each topic.
fn newest(visible: &[Arc<Encoded>]) -> Vec<Arc<Encoded>> {
    let newest: BTreeMap<&str, u64> = visible
        .iter()
        .map(|event| (event.event().topic().as_str(), event.place()))
        .collect();
    let mut kept = visible.to_vec();
    kept.retain(|event| newest[event.event().topic().as_str()] == event.place());
    kept
}

/// As many of them as fit into a batch, and where the session stands then.
fn expected(visible: &[Arc<Encoded>], examined: u64, sizes: &Sizes) -> (Vec<Arc<Encoded>>, u64) {
    let kept = newest(visible);
    let mut bytes = 0;
    let mut batch = Vec::new();
    for event in &kept {
        let is_full = batch.len() >= sizes.batch_max_events || bytes >= sizes.batch_max_bytes;
        if is_full && !batch.is_empty() {
            break;
        }
        bytes += event.json().len();
        batch.push(Arc::clone(event));
    }
    let place = if batch.len() < kept.len() {
        batch[batch.len() - 1].place()
    } else {
        examined
    };
    (batch, place)
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut subscriber = Subscriber::new();
    for step in steps {
        match step {
            Step::Change(change) => subscriber.model.change(&change),
            Step::Subscribe { patterns, back } => {
                let after = subscriber.model.head().saturating_sub(back);
                let named = patterns.iter().map(|&index| pattern(PATTERNS[index]));
                let named: Vec<_> = named.collect();
                subscriber.state.subscribe(&named, after, 0, None);
                for index in patterns {
                    let since = subscriber.since.entry(index).or_insert(after);
                    *since = after.min(*since);
                }
            }
            Step::Unsubscribe(index) => {
                subscriber.since.remove(&index);
                subscriber.state.unsubscribe(&pattern(PATTERNS[index]));
            }
            Step::Read(sizes) => {
                subscriber.read(&sizes)?;
            }
        }
    }
    let last = Sizes {
        batch_max_events: 3,
        batch_max_bytes: usize::MAX,
        look_max_events: 4,
        reach: Reach::FAR,
        between: Vec::new(),
    };
    while subscriber.read(&last)? {}
    all_is_accounted(&subscriber)
}

/// At the end of the log: no event between the cracks, and the last value of every topic.
fn all_is_accounted(subscriber: &Subscriber) -> Result<(), TestCaseError> {
    let mut newest = BTreeMap::new();
    for (&index, &since) in &subscriber.since {
        let named = [pattern(PATTERNS[index])];
        for event in &subscriber.model.log {
            let place = event.place();
            if place > since && matches(&named, event) {
                prop_assert!(subscriber.is_accounted(place), "{} is nowhere", place);
                newest.insert(event.event().topic().clone(), place);
            }
        }
    }
    for (topic, place) in newest {
        // A skipped one would be in no other set.
        let has_come = subscriber.delivered.contains(&place) || subscriber.lost.contains(&place);
        prop_assert!(has_come, "{} was the last of {}", place, topic);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_newest_of_each_topic_comes_and_the_rest_is_told(steps in prop::collection::vec(step(), 0..120)) {
        run(steps)?;
    }
}

fn read(subscriber: &mut Subscriber, batch_max_events: usize) -> (Vec<u64>, u64) {
    let mut ahead = subscriber.state.look_ahead(Reach::FAR);
    let mut goes_on = true;
    while goes_on {
        let got = subscriber.model.look(&ahead.want(), 4);
        goes_on = subscriber.state.look_on(&mut ahead, got);
    }
    let (want, got) = ahead.finish(batch_max_events, usize::MAX);
    let batch = subscriber.state.absorb(&want, got);
    batch.map_or((Vec::new(), 0), |batch| {
        (places(&batch.events), batch.skipped)
    })
}

/// Goal: what is caught up is conflated by itself. Method: the same topic before and after the place where
/// an added pattern joins the others.
#[test]
fn a_catch_up_is_not_conflated_with_what_follows_the_join() {
    let mut subscriber = Subscriber::new();
    // a.x, b.x, a.y, b.x, a.x, and the added pattern joins after the fourth.
    for topic in [0, 2, 1, 2] {
        subscriber.model.change(&Change::Append(topic));
    }
    subscriber.state.subscribe(&[pattern("a.*")], 4, 0, None);
    subscriber.model.change(&Change::Append(2));
    subscriber.model.change(&Change::Append(0));
    subscriber.state.subscribe(&[pattern("b.x")], 0, 0, None);
    assert_eq!(read(&mut subscriber, 10), (vec![4], 1));
    assert_eq!(read(&mut subscriber, 10), (vec![5, 6], 0));
}

/// Goal: a log of many topics is not looked through again for each batch of it. Method: count the looks.
#[test]
fn a_session_that_sees_much_more_than_fits_looks_near_until_it_has_caught_up() {
    let mut state = State::new(Epoch::parse("test").unwrap(), 0);
    state.subscribe(&[pattern(">")], 0, 0, None);
    let log: Vec<_> = (1..=4_000)
        .map(|place| crate::testing::event(&format!("t.{place}"), place))
        .collect();
    let (mut seen, mut batches) = (0, 0);
    while state.want().after < 4_000 {
        let mut ahead = state.look_ahead(Reach::FAR);
        loop {
            let after = ahead.want().after as usize;
            let events = log[after..].iter().take(50).cloned().collect::<Vec<_>>();
            seen += events.len();
            let examined = events.last().map_or(4_000, |event| event.place());
            let at_end = examined == 4_000;
            let got = Got {
                events: events.into(),
                examined,
                at_end,
                more: !at_end,
                ..Got::default()
            };
            if !state.look_on(&mut ahead, got) {
                break;
            }
        }
        let (want, got) = ahead.finish(50, usize::MAX);
        assert_eq!(state.absorb(&want, got).unwrap().events.len(), 50);
        batches += 1;
    }
    assert_eq!(batches, 80);
    assert!(seen < 10 * 4_000, "{seen} looked at for 4,000 delivered");
}

/// Goal: what supersedes an event may lie beyond the batch. Method: three topics, two events a batch.
#[test]
fn what_is_cut_off_is_found_again_and_counted_once() {
    let mut subscriber = Subscriber::new();
    subscriber.state.subscribe(&[pattern(">")], 0, 0, None);
    for topic in [0, 1, 0, 2, 1, 2, 0] {
        subscriber.model.change(&Change::Append(topic));
    }
    // Kept: 5, 6 and 7. Up to 6 there are four that have a newer one.
    assert_eq!(read(&mut subscriber, 2), (vec![5, 6], 4));
    subscriber.model.change(&Change::Append(0));
    assert_eq!(read(&mut subscriber, 2), (vec![8], 1));
    assert_eq!(read(&mut subscriber, 2), (vec![], 0));
}
