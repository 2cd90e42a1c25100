//! An engine that somebody else might write: a vector under a mutex, with the public interface alone.
//! Shape: everything that there was stays in the vector; an event that went is marked. What is too old
//! is looked for whenever the engine is asked for something.
//! Bound: none but the retention's: it is here to be read, not to be used.
//! [`Fault`] names what it can be told to do wrong; a fault changes one line.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tidewire_bus::contract::Setup;
use tidewire_bus::engine::feed::{FeedItem, FeedReceiver, FeedSender, feed};
use tidewire_bus::engine::{Page, Read, Retained, Seek, Sought};
use tidewire_bus::{
    Append, AppendError, Appended, Encoded, Engine, IdempotencyKey, ReadError, Retention,
};
use tidewire_protocol::{Cursor, Epoch, Event, EventBody, Pattern, Topic};

use crate::fault::Fault;

/// What outlives a stop.
#[derive(Debug, Default)]
pub(crate) struct Store {
    events: Vec<Stored>,
    keys: Vec<Key>,
    evictions: u64,
}

#[derive(Debug)]
struct Stored {
    event: Arc<Encoded>,
    body: EventBody,
    /// The number of its eviction.
    gone: Option<u64>,
}

#[derive(Debug)]
struct Key {
    topic: Topic,
    key: IdempotencyKey,
    body: EventBody,
    appended: Appended,
}

#[derive(Debug)]
pub(crate) struct VecEngine {
    epoch: Epoch,
    setup: Setup,
    fault: Option<Fault>,
    /// Std mutex: held for one call, never across an await.
    store: Arc<Mutex<Store>>,
    head: AtomicU64,
    feed: FeedSender,
    receiver: Mutex<Option<FeedReceiver>>,
    stopped: AtomicBool,
}

impl VecEngine {
    pub(crate) fn new(
        epoch: Epoch,
        store: &Arc<Mutex<Store>>,
        setup: Setup,
        fault: Option<Fault>,
    ) -> Self {
        let (sender, receiver) = feed();
        Self {
            epoch,
            setup,
            fault,
            head: AtomicU64::new(store.lock().unwrap().head()),
            store: Arc::clone(store),
            feed: sender,
            receiver: Mutex::new(Some(receiver)),
            stopped: AtomicBool::new(false),
        }
    }

    fn does(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn append_one(
        &self,
        store: &mut Store,
        append: Append,
        items: &mut Vec<FeedItem>,
    ) -> Result<Appended, AppendError> {
        let now_ms = self.setup.clock.now().wall_ms;
        let Append { topic, body, key } = append;
        if let Some(key) = &key
            && let Some(known) = store
                .keys
                .iter()
                .rev()
                .find(|known| self.is_same(known, &topic, key))
            && (self.does(Fault::KeysForEver) || self.in_window(known, now_ms))
            && !self.does(Fault::NoKeys)
        {
            if known.body != body && !self.does(Fault::TakesAnotherPayload) {
                return Err(AppendError::KeyReused);
            }
            let duplicate = !self.does(Fault::DuplicateNotSaid);
            return Ok(Appended {
                duplicate,
                ..known.appended
            });
        }
        let mut place = store.head() + 1;
        if self.does(Fault::PlaceTwice) && place.is_multiple_of(5) {
            place -= 1;
        }
        let id = Cursor::new(self.epoch, place);
        let event = Encoded::new(Event::new(id, topic.clone(), now_ms, &body));
        let appended = Appended {
            id,
            time_ms: now_ms,
            duplicate: false,
        };
        if let Some(key) = key {
            let (topic, body) = (topic.clone(), body.clone());
            store.keys.push(Key {
                topic,
                key,
                body,
                appended,
            });
        }
        store.events.push(Stored {
            event: Arc::clone(&event),
            body,
            gone: None,
        });
        let limits = self.setup.retention.of(&topic);
        while exceeds(store, &topic, &limits, self.does(Fault::KeepsOneMore)) {
            self.evict(store, &topic);
        }
        let mut evicted_to = store.evicted_to(&topic);
        if self.does(Fault::FeedTellsNoLoss) {
            evicted_to = 0;
        }
        if !(self.does(Fault::FeedLeavesOut) && topic.as_str() == "b") {
            items.push(FeedItem::Event { event, evicted_to });
        }
        Ok(appended)
    }

    fn is_same(&self, known: &Key, topic: &Topic, key: &IdempotencyKey) -> bool {
        known.topic == *topic
            && known.key.key == key.key
            && (known.key.publisher == key.publisher || self.does(Fault::KeysOfEverybody))
            && (known.key.element == key.element || self.does(Fault::KeysOfNoElement))
    }

    fn in_window(&self, known: &Key, now_ms: u64) -> bool {
        let age_ms = now_ms - known.appended.time_ms;
        u128::from(age_ms) <= self.setup.idempotency_window.as_millis()
    }

    /// Lets the oldest event of the topic go and gives its place.
    fn evict(&self, store: &mut Store, topic: &Topic) -> Option<u64> {
        let is_last = self.does(Fault::EvictsNewest);
        let place = store.end_of(topic, is_last)?;
        store.evictions += 1;
        let number = store.evictions;
        let is_it = |stored: &&mut Stored| stored.event.place() == place && stored.gone.is_none();
        store.events.iter_mut().find(is_it)?.gone = Some(number);
        Some(place)
    }

    /// The store, without what is too old by now.
    fn with_store<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store.lock().unwrap();
        let now_ms = self.setup.clock.now().wall_ms;
        let is_old = |stored: &&Stored| {
            let max_age = self
                .setup
                .retention
                .of(stored.event.event().topic())
                .max_age;
            let age_ms = u128::from(now_ms - stored.event.event().time_ms());
            max_age.is_some_and(|max_age| age_ms > max_age.as_millis())
        };
        let old = store.retained().filter(is_old);
        let old: Vec<_> = old
            .map(|stored| stored.event.event().topic().clone())
            .collect();
        for topic in old {
            if self.does(Fault::NothingAges) {
                break;
            }
            let evicted_to = self.evict(&mut store, &topic).unwrap();
            if !self.does(Fault::FeedTellsNoAge) {
                self.feed.push([FeedItem::Evicted { topic, evicted_to }]);
            }
        }
        work(&mut store)
    }

    fn page(&self, store: &Store, read: &Read) -> Page {
        let in_bounds = |stored: &&Stored| {
            let place = stored.event.place();
            let is_before =
                place < read.before || place == read.before && self.does(Fault::BeforeIncluded);
            read.after < place && is_before && matches(&read.patterns, stored)
        };
        let mut found: Vec<_> = store.retained().filter(in_bounds).collect();
        if read.descending {
            found.reverse();
        }
        let mut page = Page {
            evictions: store.evictions,
            at_end: true,
            ..Page::default()
        };
        page.examined = if read.descending {
            read.after
        } else {
            store.head().min(read.before - 1)
        };
        let (mut bytes, mut last) = (0, read.after);
        for stored in found {
            let is_full = page.events.len() >= read.max_events
                && !self.does(Fault::IgnoresMaxEvents)
                || bytes >= read.max_bytes && !self.does(Fault::IgnoresMaxBytes);
            if is_full {
                (page.examined, page.at_end) = (last, self.does(Fault::AlwaysAtEnd));
                if self.does(Fault::ExaminesTooFar) {
                    page.examined = stored.event.place();
                }
                break;
            }
            bytes += stored.event.json().len();
            last = stored.event.place();
            page.events.push(self.encoded(stored));
        }
        if self.does(Fault::NeverAtEnd) {
            page.at_end = false;
        }
        page
    }

    fn encoded(&self, stored: &Stored) -> Arc<Encoded> {
        let event = stored.event.event();
        if self.does(Fault::ChangesEvents) && event.id().place.is_multiple_of(5) {
            let (id, topic) = (event.id(), event.topic().clone());
            return Encoded::new(Event::new(id, topic, event.time_ms() + 1, &stored.body));
        }
        Arc::clone(&stored.event)
    }

    fn lost(&self, store: &Store, read: &Read) -> Vec<Pattern> {
        let is_lost = |pattern: &Pattern, told: u64| {
            let lost = |stored: &Stored| {
                let number = stored
                    .gone
                    .filter(|number| *number > told || self.does(Fault::TellsAgain));
                let is_after = stored.event.place() > read.after || self.does(Fault::TellsOfBefore);
                number.is_some() && is_after && pattern.matches(stored.event.event().topic())
            };
            store.events.iter().any(lost)
        };
        let told = read.told.iter().copied();
        let patterns = read.patterns.iter().zip(told);
        let lost: Vec<_> = patterns
            .filter(|(pattern, told)| is_lost(pattern, *told))
            .collect();
        if self.does(Fault::TellsNoLoss) {
            return Vec::new();
        }
        if self.does(Fault::TellsEveryPattern) && !lost.is_empty() {
            return read.patterns.clone();
        }
        lost.into_iter()
            .map(|(pattern, _)| pattern.clone())
            .collect()
    }
}

impl Engine for VecEngine {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> u64 {
        self.head.load(Ordering::SeqCst)
    }

    fn append(&self, mut batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>> {
        Box::pin(async move {
            let reservation = self.feed.reserve(batch.len()).await;
            if self.stopped.load(Ordering::SeqCst) && !self.does(Fault::TakesAfterStop) {
                let refused = AppendError::Unavailable {
                    retry_after: std::time::Duration::from_secs(1),
                    reason: "stopped".into(),
                };
                return vec![Err(refused); batch.len()];
            }
            let turn = self.does(Fault::TurnsBatches);
            if turn {
                batch.reverse();
            }
            let mut answers = self.with_store(|store| {
                let mut items = Vec::new();
                let append = |append| self.append_one(store, append, &mut items);
                let answers: Vec<_> = batch.into_iter().map(append).collect();
                reservation.used(items.len());
                if self.does(Fault::FeedOutOfOrder) {
                    items.reverse();
                }
                if self.does(Fault::FeedTwice) {
                    items.extend(items.last().cloned());
                }
                self.feed.push(items);
                self.head.fetch_max(
                    store.head() - u64::from(self.does(Fault::HeadLags)),
                    Ordering::SeqCst,
                );
                answers
            });
            if turn {
                answers.reverse();
            }
            answers
        })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            if self.does(Fault::PagesInTwoSteps) {
                let lost = self.with_store(|store| self.lost(store, &read));
                tokio::task::yield_now().await;
                return Ok(Page {
                    lost,
                    ..self.with_store(|store| self.page(store, &read))
                });
            }
            let page = |store: &mut Store| {
                let lost = self.lost(store, &read);
                Page {
                    lost,
                    ..self.page(store, &read)
                }
            };
            Ok(self.with_store(page))
        })
    }

    fn seek(
        &self,
        mut patterns: Vec<Pattern>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<Sought, ReadError>> {
        if self.does(Fault::SeeksOnePattern) {
            patterns.truncate(1);
        }
        Box::pin(async move {
            Ok(self.with_store(|store| {
                let found: Vec<_> = store
                    .retained()
                    .filter(|stored| matches(&patterns, stored))
                    .collect();
                let first = match seek {
                    Seek::Oldest => 0,
                    Seek::Newest(count) => found.len().saturating_sub(count),
                };
                let after = found
                    .get(first)
                    .map_or(store.head(), |stored| stored.event.place() - 1);
                Sought {
                    after,
                    evictions: store.evictions,
                }
            }))
        })
    }

    fn topic(&self, topic: Topic) -> BoxFuture<'_, Result<Retained, ReadError>> {
        Box::pin(async move {
            Ok(self.with_store(|store| {
                let all = self.does(Fault::CountsWhatIsGone);
                let is_kept = |stored: &&Stored| all || stored.gone.is_none();
                let events = store.events.iter().filter(is_kept);
                let places = events.filter(|stored| *stored.event.event().topic() == topic);
                let places: Vec<_> = places.map(|stored| stored.event.place()).collect();
                let range = places.first().copied().zip(places.last().copied());
                Retained {
                    events: places.len() as u64,
                    range,
                }
            }))
        })
    }

    fn forget(&self, topic: Topic) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.with_store(|store| {
                let spared = usize::from(self.does(Fault::ForgetsNotAll));
                while store.kept(&topic).nth(spared).is_some() {
                    self.evict(store, &topic).unwrap();
                }
                let is_gone = |stored: &&Stored| {
                    *stored.event.event().topic() == topic && stored.gone.is_some()
                };
                let gone = store.events.iter().filter(is_gone);
                let evicted_to = gone.map(|stored| stored.event.place()).max().unwrap_or(0);
                if evicted_to > 0 && !self.does(Fault::FeedTellsNoForgetting) {
                    self.feed.push([FeedItem::Forgotten { topic, evicted_to }]);
                }
            });
            Ok(())
        })
    }

    fn feed(&self) -> Option<FeedReceiver> {
        if self.does(Fault::ManyFeeds) {
            return Some(feed().1);
        }
        self.receiver.lock().unwrap().take()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.stopped.store(true, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

impl Store {
    pub(crate) fn forget_keys(&mut self) {
        self.keys.clear();
    }

    fn head(&self) -> u64 {
        self.events.last().map_or(0, |stored| stored.event.place())
    }

    fn retained(&self) -> impl DoubleEndedIterator<Item = &Stored> {
        self.events.iter().filter(|stored| stored.gone.is_none())
    }

    fn kept(&self, topic: &Topic) -> impl DoubleEndedIterator<Item = &Stored> {
        self.retained()
            .filter(move |stored| stored.event.event().topic() == topic)
    }

    /// The place of its oldest event, or of its newest.
    fn end_of(&self, topic: &Topic, is_last: bool) -> Option<u64> {
        let mut kept = self.kept(topic);
        let end = if is_last {
            kept.next_back()
        } else {
            kept.next()
        };
        end.map(|stored| stored.event.place())
    }

    fn evicted_to(&self, topic: &Topic) -> u64 {
        let gone =
            |stored: &&Stored| stored.gone.is_some() && stored.event.event().topic() == topic;
        self.events
            .iter()
            .rev()
            .find(gone)
            .map_or(0, |stored| stored.event.place())
    }
}

fn exceeds(store: &Store, topic: &Topic, limits: &Retention, spares_one: bool) -> bool {
    let events = store.kept(topic).count() as u64 - u64::from(spares_one);
    let bytes: usize = store
        .kept(topic)
        .map(|stored| stored.body.as_bytes().len())
        .sum();
    limits.max_events.is_some_and(|max| events > max)
        || limits.max_bytes.is_some_and(|max| bytes as u64 > max)
}

fn matches(patterns: &[Pattern], stored: &Stored) -> bool {
    let topic = stored.event.event().topic();
    patterns.iter().any(|pattern| pattern.matches(topic))
}
