//! Who takes part: subscribers, publishers, and one who forgets. Each is a future that its scheduler may stop
//! polling, or drop, at any await; what a client keeps in such a case lies outside of the future.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tidewire_bus::{
    Append, Batch, Bus, BusConfig, Engine, IdempotencyKey, ReadError, Session, SessionOptions,
};
use tidewire_protocol::{Cursor, EventBody, StartAt};

use crate::engine::Watched;
use crate::ledger::{Call, Ledger};
use crate::universe::{PATTERNS, TOPICS, pattern, topic};
use crate::world::{World, Yield};

/// The server, as long as it lives.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) world: Arc<World>,
    pub(crate) engine: Arc<Watched>,
    pub(crate) bus: Bus,
}

impl Gateway {
    /// A new log in a new epoch. Inside a tokio runtime.
    pub(crate) fn start(world: &Arc<World>) -> Rc<Self> {
        let setting = world.setting();
        let config = BusConfig {
            window_max_events: setting.window_max_events,
            window_max_bytes: setting.window_max_bytes,
            ..BusConfig::default()
        };
        let engine = Arc::new(Watched::new(world));
        let bus = Bus::start(Arc::clone(&engine) as Arc<dyn Engine>, config);
        Rc::new(Self {
            world: Arc::clone(world),
            engine,
            bus,
        })
    }
}

/// What a client keeps when its connection is cut, and what it was given on the present one.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) ledger: Ledger,
    /// The last cursor that it received.
    cursor: Option<Cursor>,
    /// Some that it received before.
    older: Vec<Cursor>,
    patterns: Vec<usize>,
    /// It has a session.
    pub(crate) is_open: bool,
    /// It waits for the session's next batch.
    pub(crate) waits: bool,
}

impl Client {
    /// Its connection is gone.
    pub(crate) fn cut(&mut self) {
        self.is_open = false;
        self.waits = false;
    }
}

pub(crate) struct Subscriber {
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) client: Rc<RefCell<Client>>,
    pub(crate) actor: usize,
    /// Set to make it drop the call that it waits in.
    pub(crate) interrupt: Rc<Cell<bool>>,
}

impl Subscriber {
    /// One session after the other.
    pub(crate) async fn run(self) {
        loop {
            self.pause(4).await;
            self.connect().await;
            self.client.borrow_mut().cut();
        }
    }

    async fn connect(&self) {
        let world = &self.gateway.world;
        let conflate = world.chance(0.1);
        let options = SessionOptions {
            batch_max_events: [1, 2, 5, 512][world.below(4) as usize],
            batch_max_bytes: [60, 1_000, 256 << 10][world.below(3) as usize],
            conflate,
        };
        world.take_looks(self.actor);
        let mut session = self.gateway.bus.open(options);
        world.state().counts.sessions += 1;
        let (patterns, start) = self.begin();
        {
            let mut client = self.client.borrow_mut();
            client.is_open = true;
            client.ledger = Ledger::new(conflate, session.cursor().place);
            if client.cursor.is_none() {
                client.cursor = Some(session.cursor());
            }
        }
        // As over a WebSocket: the patterns may come in more than one frame.
        let parts = if world.chance(0.2) { 2 } else { 1 };
        for part in patterns.chunks(patterns.len().div_ceil(parts)) {
            if self.subscribe(&mut session, part, start).await.is_err() {
                return;
            }
        }
        while self.act(&mut session).await {
            Yield::default().await;
        }
    }

    /// One thing that a client does. Gives whether the connection stays.
    async fn act(&self, session: &mut Session) -> bool {
        let world = &self.gateway.world;
        match world.below(100) {
            0..60 => self.next(session, None).await,
            60..72 => self.next(session, Some(Duration::ZERO)).await,
            72..78 => {
                let wait = Duration::from_secs(world.below(8) + 1);
                self.next(session, Some(wait)).await
            }
            78..84 => {
                let patterns = self.some_patterns(2);
                let start = self.some_start();
                let result = self.subscribe(session, &patterns, start).await;
                // A session whose subscribe has failed goes on with what it had.
                result.is_ok() || world.chance(0.5)
            }
            84..88 => {
                self.unsubscribe(session);
                true
            }
            88..91 => {
                world.note("goes");
                false
            }
            _ => {
                self.pause(6).await;
                true
            }
        }
    }

    async fn next(&self, session: &mut Session, within: Option<Duration>) -> bool {
        let world = &self.gateway.world;
        self.client.borrow_mut().waits = true;
        let next = async {
            match within {
                None => session.next().await.map(Some),
                Some(wait) => session.next_within(wait).await,
            }
        };
        let result = interruptible(&self.interrupt, next).await;
        self.client.borrow_mut().waits = false;
        match result {
            Some(Ok(Some(batch))) => self.receive(session, &batch),
            Some(Err(ReadError { .. })) => true,
            // The time was over, or the call was dropped: a heartbeat gives the cursor.
            Some(Ok(None)) | None => {
                let cursor = session.cursor();
                world.note(&format!("heartbeat at {}", cursor.place));
                let state = world.state();
                let client = &mut *self.client.borrow_mut();
                let epoch = self.gateway.engine.epoch();
                client.ledger.assert_safe(&state.model, epoch, cursor);
                client.cursor = Some(cursor);
                true
            }
        }
    }

    /// Gives whether it received all of it.
    fn receive(&self, session: &Session, batch: &Batch) -> bool {
        let world = &self.gateway.world;
        let count = batch.events.len();
        let received = if world.chance(0.05) && batch.skipped == 0 {
            world.below(count as u64 + 1) as usize
        } else {
            count
        };
        let looks = world.take_looks(self.actor);
        assert_eq!(batch.cursor, session.cursor());
        let mut state = world.state();
        let first = batch.events.first().map(|event| event.place());
        let gap = batch.gap.as_ref();
        state.note(&format!(
            "{received} of {count} events, first {first:?}, cursor {}, gap {:?}",
            batch.cursor.place,
            gap.map(|gap| (&gap.topics, gap.reason))
        ));
        state.counts.batches += 1;
        state.counts.events += received as u64;
        if let Some(gap) = gap {
            state.counts.gaps[gap.reason as usize] += 1;
        }
        let client = &mut *self.client.borrow_mut();
        let step = state.step;
        let ledger = &mut client.ledger;
        let cursor = ledger.received(&state.model, step, &looks, batch, received);
        if let Some(cursor) = cursor {
            client.cursor = Some(cursor);
            if client.older.len() < OLDER_MAX {
                client.older.push(cursor);
            } else {
                let slot = cursor.place as usize % OLDER_MAX;
                client.older[slot] = cursor;
            }
        }
        received == count
    }

    async fn subscribe(
        &self,
        session: &mut Session,
        patterns: &[usize],
        start: StartAt,
    ) -> Result<(), ReadError> {
        let world = &self.gateway.world;
        let call = Call {
            patterns,
            start,
            head: world.state().model.head(),
            epoch: self.gateway.engine.epoch(),
        };
        // Whatever it read before concerns what was subscribed then.
        let before = world.take_looks(self.actor);
        self.client
            .borrow_mut()
            .ledger
            .looked(&world.state().model, &before);
        let parsed = patterns.iter().map(|&index| pattern(index)).collect();
        let answer = session.subscribe(parsed, start).await;
        let looks = world.take_looks(self.actor);
        let names: Vec<_> = patterns.iter().map(|&index| PATTERNS[index]).collect();
        let place = |start| match start {
            StartAt::After(cursor) if cursor.epoch != call.epoch => "elsewhere".into(),
            StartAt::After(cursor) => format!("after {}", cursor.place),
            start => format!("{start:?}"),
        };
        let answer =
            answer.inspect_err(|_| world.note(&format!("failed to subscribe {names:?}")))?;
        let mut state = world.state();
        state.note(&format!(
            "subscribed {names:?} {}, cursor {}, resumed {}",
            place(start),
            answer.cursor.place,
            answer.resumed
        ));
        let client = &mut *self.client.borrow_mut();
        let ledger = &mut client.ledger;
        ledger.subscribed(&state.model, &call, &looks, &answer);
        client.cursor = Some(answer.cursor);
        for &index in patterns {
            if !client.patterns.contains(&index) {
                client.patterns.push(index);
            }
        }
        Ok(())
    }

    fn unsubscribe(&self, session: &mut Session) {
        let world = &self.gateway.world;
        let client = &mut *self.client.borrow_mut();
        if client.patterns.is_empty() {
            return;
        }
        let index = world.below(client.patterns.len() as u64) as usize;
        let index = client.patterns.swap_remove(index);
        let looks = world.take_looks(self.actor);
        client.ledger.looked(&world.state().model, &looks);
        session.unsubscribe(&[pattern(index)]);
        client.ledger.unsubscribed(index);
        world.note(&format!("unsubscribed {}", PATTERNS[index]));
    }

    /// What a new connection subscribes: mostly what the one before had, after the last cursor received.
    fn begin(&self) -> (Vec<usize>, StartAt) {
        let world = &self.gateway.world;
        let start = match self.client.borrow().cursor {
            Some(cursor) if world.chance(0.85) => Some(StartAt::After(cursor)),
            _ => None,
        };
        let start = start.unwrap_or_else(|| self.some_start());
        let had = std::mem::take(&mut self.client.borrow_mut().patterns);
        if had.is_empty() || world.chance(0.2) {
            (self.some_patterns(4), start)
        } else {
            (had, start)
        }
    }

    fn some_patterns(&self, max: u64) -> Vec<usize> {
        let world = &self.gateway.world;
        let count = world.below(max) + 1;
        let mut patterns: Vec<usize> = (0..count)
            .map(|_| world.below(PATTERNS.len() as u64) as usize)
            .collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }

    fn some_start(&self) -> StartAt {
        let world = &self.gateway.world;
        let client = self.client.borrow();
        let after = |cursor: Option<Cursor>| cursor.map_or(StartAt::Now, StartAt::After);
        match world.below(10) {
            0 | 1 => StartAt::Now,
            2 => StartAt::Start,
            3 => StartAt::Last(world.below(6) as u32),
            4 => {
                let (epoch, head) = (self.gateway.engine.epoch(), self.gateway.engine.head());
                StartAt::After(Cursor::new(epoch, head + 1 + world.below(20)))
            }
            5 | 6 if !client.older.is_empty() => {
                let index = world.below(client.older.len() as u64) as usize;
                after(Some(client.older[index]))
            }
            _ => after(client.cursor),
        }
    }

    async fn pause(&self, max: u64) {
        for _ in 0..self.gateway.world.below(max) {
            Yield::default().await;
        }
    }
}

/// Keyed publishes of one publisher that may be repeated: topic, key, payload.
pub(crate) type Keyed = Rc<RefCell<Vec<(usize, String, Bytes)>>>;

pub(crate) async fn publish(gateway: Rc<Gateway>, keyed: Keyed, actor: usize) {
    let world = &gateway.world;
    loop {
        for _ in 0..world.below(world.setting().pause) {
            Yield::default().await;
        }
        let count = world.below(4) + 1;
        let batch: Vec<_> = (0..count)
            .map(|_| next_event(world, &keyed, actor))
            .collect();
        let answers = gateway.bus.append(batch).await;
        assert_eq!(answers.len() as u64, count, "one answer for each");
    }
}

fn next_event(world: &World, keyed: &Keyed, actor: usize) -> Append {
    let number = {
        let mut state = world.state();
        state.payloads += 1;
        state.payloads
    };
    let padding = "x".repeat([0, 0, 10, 100][world.below(4) as usize]);
    let body = Bytes::from(format!(",\"data\":[{number},\"{padding}\"]}}"));
    let known = &mut *keyed.borrow_mut();
    let (index, key, body) = match world.below(10) {
        0 | 1 if !known.is_empty() => {
            let again = known[world.below(known.len() as u64) as usize].clone();
            // Now and then the key comes with another payload.
            let body = if world.chance(0.2) { body } else { again.2 };
            (again.0, Some(again.1), body)
        }
        2 => {
            let index = world.below(TOPICS.len() as u64) as usize;
            let key = (index, number.to_string(), body.clone());
            known.truncate(KEYED_MAX);
            known.insert(0, key);
            (index, Some(number.to_string()), body)
        }
        _ => (world.below(TOPICS.len() as u64) as usize, None, body),
    };
    Append {
        topic: topic(index),
        body: EventBody::from_stored(body),
        key: key.map(|key| IdempotencyKey {
            publisher: format!("publisher {actor}"),
            key,
            element: None,
        }),
    }
}

pub(crate) async fn forget(gateway: Rc<Gateway>) {
    let world = &gateway.world;
    loop {
        for _ in 0..world.below(world.setting().pause * 10) {
            Yield::default().await;
        }
        let index = world.below(TOPICS.len() as u64) as usize;
        gateway.bus.forget(&topic(index)).await.unwrap();
        let mut state = world.state();
        let step = state.step;
        let to = state.last_forgotten;
        state.model.forgotten(index, to, step);
        state.counts.forgets += 1;
    }
}

/// Waits for it, unless the flag is set: then it is dropped.
fn interruptible<F: Future>(flag: &Rc<Cell<bool>>, future: F) -> Interruptible<F> {
    Interruptible {
        flag: Rc::clone(flag),
        future: Box::pin(future),
    }
}

struct Interruptible<F> {
    flag: Rc<Cell<bool>>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Interruptible<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.flag.take() {
            return Poll::Ready(None);
        }
        self.future.as_mut().poll(context).map(Some)
    }
}

/// Cursors of earlier times that a client comes back to.
const OLDER_MAX: usize = 6;
/// Keys of earlier publishes that a publisher comes back to.
const KEYED_MAX: usize = 8;
