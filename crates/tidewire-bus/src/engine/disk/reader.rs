//! Reads pages out of one snapshot of the store.
//! Shape: a few topics are read by their index and merged; many are read by going through the log.
//! Bound: the page's own, [`FEW_TOPICS`] merged at once, [`SCAN_MAX`] events looked at for one page.
//! Failure: everything of a page is of one snapshot, so no event falls between it and its losses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Bound;

use fjall::{Readable, Snapshot};
use tidewire_protocol::{Cursor, Event, Pattern, Topic};

use super::record::{self, Damaged, Entry, Meta, StoredEvent, TopicRecord};
use super::store::{Store, StoreError};
use crate::encoded::Encoded;
use crate::engine::{Page, Read, Retained, Search, Sought};

/// The store at one moment.
pub(super) struct Reader<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    meta: Meta,
}

/// Topics with events to read.
enum Matched {
    Few(Vec<TopicRecord>),
    /// More than are worth a merge.
    Many,
}

impl<'a> Reader<'a> {
    /// `head`: what stands beyond it is not acknowledged yet.
    pub(super) fn new(store: &'a Store, head: u64) -> Result<Self, StoreError> {
        let snapshot = store.db.snapshot();
        let mut meta = store.meta(&snapshot)?;
        meta.head = meta.head.min(head);
        Ok(Self {
            store,
            snapshot,
            meta,
        })
    }

    pub(super) fn read(&self, read: &Read) -> Result<Page, StoreError> {
        let (matched, lost) = self.matched(&read.patterns, read.after, &read.told)?;
        let mut page = Page {
            examined: if read.descending {
                read.after
            } else {
                self.meta.head.min(read.before - 1)
            },
            lost,
            evictions: self.meta.evictions,
            at_end: true,
            ..Page::default()
        };
        let mut bytes = 0;
        let mut last = read.after;
        let mut push = |page: &mut Page, place, stored: StoredEvent| {
            if page.events.len() >= read.max_events || bytes >= read.max_bytes {
                return false;
            }
            let id = Cursor::new(self.store.epoch, place);
            let event = Event::new(id, stored.topic, stored.time_ms, &stored.body);
            bytes += event.json().len();
            page.events.push(Encoded::new(event));
            true
        };
        match matched {
            Matched::Few(topics) => {
                for place in self.merged(&topics, read.after, read.before, read.descending) {
                    let place = place?;
                    if !push(&mut page, place, self.stored(place)?) {
                        page.at_end = false;
                        break;
                    }
                    last = place;
                }
            }
            Matched::Many => {
                let scanned = self.scanned(read.after, read.before, read.descending);
                for (looked_at, found) in scanned.enumerate() {
                    let (place, value) = found?;
                    let is_full = looked_at >= SCAN_MAX
                        || matches_any(&read.patterns, &value)?
                            && !push(&mut page, place, StoredEvent::parse(&value)?);
                    if is_full {
                        page.at_end = false;
                        break;
                    }
                    last = place;
                }
            }
        }
        if !page.at_end {
            page.examined = last;
        }
        Ok(page)
    }

    /// Goes on with a search: one bounded part of it.
    pub(super) fn seek(&self, search: &mut Search) -> Result<Option<Sought>, StoreError> {
        let nothing_is_new = vec![u64::MAX; search.patterns.len()];
        let (matched, _) = self.matched(&search.patterns, 0, &nothing_is_new)?;
        match matched {
            Matched::Few(topics) => {
                let (after, before) = (search.after, search.before);
                let places = self.merged(&topics, after, before, search.descending);
                for place in places.take(search.wanted) {
                    search.found = Some(place?);
                }
            }
            Matched::Many => {
                let scanned = self.scanned(search.after, search.before, search.descending);
                for (looked_at, event) in scanned.enumerate() {
                    if looked_at >= SCAN_MAX {
                        return Ok(None);
                    }
                    let (place, value) = event?;
                    if search.look_at(place, matches_any(&search.patterns, &value)?) {
                        break;
                    }
                }
            }
        }
        Ok(Some(search.sought(self.meta.head, self.meta.evictions)))
    }

    pub(super) fn topic(&self, topic: &Topic) -> Result<Retained, StoreError> {
        let record = self.record(topic)?.unwrap_or_default();
        Ok(Retained {
            events: record.events,
            range: (record.events > 0).then_some((record.oldest, record.newest)),
        })
    }

    fn record(&self, topic: &Topic) -> Result<Option<TopicRecord>, StoreError> {
        let key = record::topic_key(topic.as_str());
        let value = self.snapshot.get(&self.store.state, key)?;
        Ok(value.map(|value| TopicRecord::parse(&value)).transpose()?)
    }

    /// The topics that match and have events after this place, and the patterns that lost some.
    fn matched(
        &self,
        patterns: &[Pattern],
        after: u64,
        told: &[u64],
    ) -> Result<(Matched, Vec<Pattern>), StoreError> {
        let mut few = Some(Vec::new());
        let mut lost = Vec::new();
        for (pattern, &told) in patterns.iter().zip(told) {
            let may_have_lost = self.meta.evicted_to > after && self.meta.evictions > told;
            if few.is_none() && !may_have_lost {
                continue;
            }
            let has_lost = if let Some(records) = self.records(pattern)? {
                let gone = |one: &TopicRecord| one.evicted_to > after && one.eviction > told;
                let has_lost = records.iter().any(gone);
                let wanted = records.into_iter();
                let wanted = wanted.filter(|one| one.events > 0 && one.newest > after);
                few = few.map(|few: Vec<_>| few.into_iter().chain(wanted).collect());
                has_lost
            } else {
                few = None;
                may_have_lost && self.has_lost(pattern, after, told)?
            };
            if has_lost {
                lost.push(pattern.clone());
            }
        }
        if let Some(topics) = &mut few {
            topics.sort_unstable_by_key(|topic| topic.number);
            topics.dedup();
        }
        let few = few.filter(|topics| topics.len() <= FEW_TOPICS);
        Ok((few.map_or(Matched::Many, Matched::Few), lost))
    }

    /// What is known of the topics that match; `None` where there are too many to look through.
    fn records(&self, pattern: &Pattern) -> Result<Option<Vec<TopicRecord>>, StoreError> {
        if let Some(topic) = pattern.as_topic() {
            return Ok(Some(self.record(topic)?.into_iter().collect()));
        }
        let prefix = record::topic_key(&literal_prefix(pattern));
        let rows = self.snapshot.prefix(&self.store.state, prefix);
        let mut records = Vec::new();
        for (row, guard) in rows.enumerate() {
            if row >= TOPICS_MAX {
                return Ok(None);
            }
            let (key, value) = guard.into_inner()?;
            if pattern.matches(&record::parse_topic_key(&key)?) {
                records.push(TopicRecord::parse(&value)?);
            }
        }
        Ok(Some(records))
    }

    /// Whether a topic that matches lost an event after this place: looks through those alone that lost
    /// one, and ends with the first.
    fn has_lost(&self, pattern: &Pattern, after: u64, told: u64) -> Result<bool, StoreError> {
        let from = Bound::Excluded(record::evicted_key(after));
        let to = Bound::Included(record::evicted_key(u64::MAX));
        for guard in self.snapshot.range(&self.store.state, (from, to)) {
            let (eviction, topic) = record::parse_evicted(&guard.value()?)?;
            if eviction > told && pattern.matches(&topic) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn stored(&self, place: u64) -> Result<StoredEvent, StoreError> {
        let value = self.snapshot.get(&self.store.events, place.to_be_bytes())?;
        Ok(StoredEvent::parse(&value.ok_or(Damaged("events"))?)?)
    }

    /// The places of these topics' events between the bounds, in one order.
    fn merged(&self, topics: &[TopicRecord], after: u64, before: u64, descending: bool) -> Merge {
        let before = before.min(self.meta.head + 1);
        let streams = topics.iter().map(|topic| {
            let after = after.max(topic.evicted_to);
            let from = Entry::key(topic.number, after);
            let to = Entry::key(topic.number, before.max(after + 1));
            let range = self.snapshot.range(
                &self.store.state,
                (Bound::Excluded(from), Bound::Excluded(to)),
            );
            let place = |guard: fjall::Guard| Ok(Entry::place(&guard.key()?)?);
            if descending {
                Box::new(range.rev().map(place)) as Places
            } else {
                Box::new(range.map(place)) as Places
            }
        });
        Merge::new(streams, descending)
    }

    /// Every event between the bounds.
    fn scanned(
        &self,
        after: u64,
        before: u64,
        descending: bool,
    ) -> impl Iterator<Item = Result<(u64, fjall::UserValue), StoreError>> {
        let before = before.min(self.meta.head + 1);
        let bounds = (
            Bound::Excluded(after.to_be_bytes()),
            Bound::Excluded(before.max(after + 1).to_be_bytes()),
        );
        let range = self.snapshot.range(&self.store.events, bounds);
        let range: Box<dyn Iterator<Item = fjall::Guard>> = if descending {
            Box::new(range.rev())
        } else {
            Box::new(range)
        };
        range.map(|guard| {
            let (key, value) = guard.into_inner()?;
            Ok((record::parse_number(&key, "events")?, value))
        })
    }
}

fn matches_any(patterns: &[Pattern], stored: &[u8]) -> Result<bool, StoreError> {
    let topic = StoredEvent::topic(stored)?;
    let topic = Topic::parse(topic).map_err(|_| Damaged("events"))?;
    Ok(patterns.iter().any(|pattern| pattern.matches(&topic)))
}

/// The levels before the first wildcard: every topic that matches begins with them.
fn literal_prefix(pattern: &Pattern) -> String {
    let literal = pattern
        .levels()
        .take_while(|level| !matches!(*level, "*" | ">"));
    literal.flat_map(|level| [level, "."]).collect()
}

type Places = Box<dyn Iterator<Item = Result<u64, StoreError>>>;

/// Merges streams of places, each in order, into one in order.
struct Merge {
    /// The next place of each stream, the first one on top. `Reverse` or its mirror by `flip`.
    heap: BinaryHeap<(Reverse<u64>, usize)>,
    streams: Vec<Places>,
    /// All ones to turn the order round, else zero.
    flip: u64,
    failed: Option<StoreError>,
}

impl Merge {
    fn new(streams: impl Iterator<Item = Places>, descending: bool) -> Self {
        let mut merge = Self {
            heap: BinaryHeap::new(),
            streams: streams.collect(),
            flip: if descending { u64::MAX } else { 0 },
            failed: None,
        };
        for stream in 0..merge.streams.len() {
            match merge.streams[stream].next() {
                Some(Ok(place)) => merge.heap.push((Reverse(place ^ merge.flip), stream)),
                Some(Err(error)) => merge.failed = Some(error),
                None => {}
            }
        }
        merge
    }
}

impl Iterator for Merge {
    type Item = Result<u64, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.heap.clear();
            return Some(Err(error));
        }
        let mut top = self.heap.peek_mut()?;
        let (Reverse(place), stream) = *top;
        match self.streams[stream].next() {
            Some(Ok(next)) => *top = (Reverse(next ^ self.flip), stream),
            Some(Err(error)) => {
                self.failed = Some(error);
                PeekMut::pop(top);
            }
            None => {
                PeekMut::pop(top);
            }
        }
        Some(Ok(place ^ self.flip))
    }
}

/// Topics whose indexes are merged for one page.
const FEW_TOPICS: usize = 256;
/// Topics that are looked through for one pattern before the log is read instead.
const TOPICS_MAX: usize = 4_096;
/// Events that are looked at for one page when the log is read.
const SCAN_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::disk::{DiskConfig, DiskEngine};
    use crate::engine::{Append, Engine, Seek};
    use crate::retention::RetentionTable;
    use crate::testing::body;

    /// Goal: what is written and not yet acknowledged is read by nobody, in either direction, by index or by
    /// going through the log.
    #[tokio::test]
    async fn nothing_is_read_beyond_the_head() {
        let folder = tempfile::tempdir().unwrap();
        let config = DiskConfig::default();
        let engine = DiskEngine::open(folder.path(), config.clone(), RetentionTable::default());
        let engine = engine.unwrap();
        let event = |data| Append {
            topic: Topic::parse(&format!("t.{data}")).unwrap(),
            body: body(data),
            key: None,
        };
        // More topics than are merged.
        for part in 0..6 {
            let batch = (part * 100..(part + 1) * 100).map(event);
            engine.append(batch.collect()).await;
        }
        engine.stop().await;
        let (store, _mark) = Store::open(folder.path(), &config).unwrap();
        let reader = Reader::new(&store, 7).unwrap();
        for (pattern, last) in [(">", 7), ("t.6", 7), ("t.7", 0)] {
            let patterns = vec![Pattern::parse(pattern).unwrap()];
            for descending in [false, true] {
                let page = reader.read(&Read {
                    patterns: patterns.clone(),
                    after: 0,
                    before: u64::MAX,
                    descending,
                    told: vec![0],
                    max_events: 1_000,
                    max_bytes: usize::MAX,
                });
                let page = page.unwrap();
                let newest = page.events.iter().map(|event| event.place()).max();
                assert_eq!(newest.unwrap_or(0), last, "{pattern}");
                assert!(page.at_end && page.examined <= 7);
            }
            let mut search = Search::new(patterns, Seek::Newest(1));
            let sought = reader.seek(&mut search).unwrap().unwrap();
            assert_eq!(sought.after, if last == 0 { 7 } else { 6 }, "{pattern}");
        }
    }

    fn merged(streams: &[&[u64]], descending: bool) -> Vec<u64> {
        let streams: Vec<Vec<u64>> = streams.iter().map(|stream| stream.to_vec()).collect();
        let streams = streams.into_iter().map(move |mut places| {
            if descending {
                places.reverse();
            }
            Box::new(places.into_iter().map(Ok)) as Places
        });
        Merge::new(streams, descending)
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn a_merge_gives_one_order_of_several_topics_in_both_directions() {
        let streams: [&[u64]; 4] = [&[1, 5, 9], &[], &[2, 3, 10], &[4]];
        assert_eq!(merged(&streams, false), [1, 2, 3, 4, 5, 9, 10]);
        assert_eq!(merged(&streams, true), [10, 9, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_pattern_is_looked_up_by_the_levels_before_its_first_wildcard() {
        let prefix = |text| literal_prefix(&Pattern::parse(text).unwrap());
        assert_eq!(prefix("orders.eu.*"), "orders.eu.");
        assert_eq!(prefix("orders.*.x"), "orders.");
        assert_eq!(prefix(">"), "");
    }
}
