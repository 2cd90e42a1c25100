//! The one who decides what happens next: which future is polled, when the pump and the sweeps run, when the
//! clock moves, who is cut, interrupted or left alone for long, and when the server starts anew.
//! Shape: an executor for a handful of futures, in the main future of a tokio runtime with one thread and
//! paused time. The product's own tasks run only when the scheduler gives the runtime a turn.
//! A future is polled only after it was woken, so that a wake-up that is lost stays lost.
//! Unit: a step is one poll, one turn of the runtime or one other action.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;

use crate::actors::{Client, Gateway, Keyed, Subscriber, forget, publish};
use crate::model::Model;
use crate::setting::Setting;
use crate::universe::{TOPICS, topic};
use crate::world::{NOBODY, World};

pub(crate) struct Scheduler {
    world: Arc<World>,
    setting: Setting,
    gateway: Rc<Gateway>,
    /// Subscribers first, then publishers, then the one who forgets.
    actors: Vec<Actor>,
    clients: Vec<Rc<RefCell<Client>>>,
    keyed: Vec<Keyed>,
}

struct Actor {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
    /// It gets no turn before this step.
    asleep_until: u64,
    interrupt: Rc<Cell<bool>>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scheduler {
    /// Inside a tokio runtime with one thread and paused time.
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let setting = world.setting();
        let mut scheduler = Self {
            world: Arc::clone(world),
            gateway: Gateway::start(world),
            actors: Vec::new(),
            clients: (0..setting.subscribers).map(|_| Rc::default()).collect(),
            keyed: (0..setting.publishers).map(|_| Rc::default()).collect(),
            setting,
        };
        scheduler.actors = (0..scheduler.setting.actors())
            .map(|index| scheduler.actor(index))
            .collect();
        scheduler
    }

    /// The whole run, and the look at what is left after it.
    pub(crate) async fn run(mut self) {
        while self.world.state().step < self.setting.steps {
            self.step().await;
        }
        self.settle().await;
        self.end().await;
    }

    async fn step(&mut self) {
        self.begin_step(NOBODY);
        match self.world.below(10_000) {
            0..20 => self.settle().await,
            20..25 => self.restart().await,
            25..90 => self.move_clock().await,
            90..180 => self.cut(),
            180..330 => self.interrupt(),
            330..370 => self.let_sleep(),
            _ if self.world.chance(self.setting.pump) => self.turn_of_runtime().await,
            _ => {
                let step = self.world.state().step;
                let may = |actor: &Actor| actor.asleep_until <= step;
                if !self.poll_one(0..self.actors.len(), may) {
                    self.turn_of_runtime().await;
                }
            }
        }
    }

    /// The subscribers alone, until each waits: then each must have had everything.
    async fn settle(&mut self) {
        let subscribers = self.clients.len();
        let mut idle = 0;
        let mut steps = 0;
        while idle < 3 {
            self.begin_step(NOBODY);
            steps += 1;
            assert!(steps < SETTLE_STEPS_MAX, "the sessions come to no rest");
            let is_turn = self.world.chance(self.setting.pump);
            if !is_turn && self.poll_one(0..subscribers, |_| true) {
                idle = 0;
            } else {
                self.turn_of_runtime().await;
                let is_idle = self.actors[..subscribers]
                    .iter()
                    .all(|actor| !actor.is_woken());
                idle = if is_idle { idle + 1 } else { 0 };
            }
        }
        for actor in &self.actors[subscribers..] {
            assert!(actor.is_woken(), "a publisher waits for ever");
        }
        for (index, client) in self.clients.iter().enumerate() {
            let client = &mut *client.borrow_mut();
            assert!(
                client.waits,
                "subscriber {index} waits for ever, and not for events"
            );
            let looks = self.world.take_looks(index);
            let mut state = self.world.state();
            state.actor = index;
            client.ledger.assert_is_at_end(&state.model, &looks);
        }
        self.check_engine();
        let mut state = self.world.state();
        state.counts.settled += 1;
        state.note("everybody has had everything");
    }

    /// What the engine and the log say of themselves.
    fn check_engine(&self) {
        for (index, name) in TOPICS.iter().enumerate() {
            let known = self.gateway.bus.topic(&topic(index)).now_or_never();
            let known = known.expect("it answers at once").expect("it can be read");
            let range = known.oldest.zip(known.newest);
            let range = range.map(|(oldest, newest)| (oldest.place, newest.place));
            let expected = self.world.state().model.retained(index);
            assert_eq!((known.retained, range), expected, "{name}");
            let clients = self.clients.iter().map(|client| client.borrow());
            let open = clients.filter(|client| client.is_open);
            let subscribers: usize = open.map(|client| client.ledger.matching(index)).sum();
            assert_eq!(known.subscribers, subscribers, "of {name}");
        }
        let stats = self.gateway.bus.stats();
        let open = self.clients.iter().filter(|client| client.borrow().is_open);
        assert_eq!(stats.sessions, open.count());
        assert_eq!(
            (stats.applied, stats.head),
            (stats.head, self.world.state().model.head())
        );
        assert!(stats.window_events <= self.setting.window_max_events);
        assert!(stats.window_bytes <= self.setting.window_max_bytes);
    }

    /// Nothing is left of sessions that have gone.
    async fn end(mut self) {
        self.actors.clear();
        for _ in 0..3 {
            tokio::time::advance(INTERESTS_STAY).await;
            self.turn_of_runtime().await;
        }
        let stats = self.gateway.bus.stats();
        assert_eq!(
            (stats.sessions, stats.interests),
            (0, 0),
            "something is left"
        );
    }

    async fn turn_of_runtime(&self) {
        tokio::task::yield_now().await;
    }

    /// Moves the wall clock, lets the timers fire, and the sweep take what is too old.
    async fn move_clock(&mut self) {
        let by = match self.world.below(10) {
            0 => Duration::from_secs(40),
            _ => Duration::from_millis(self.world.below(4_000)),
        };
        self.world.move_clock(by.as_millis() as u64);
        tokio::time::advance(by.max(SWEEP_INTERVAL)).await;
        for _ in 0..3 {
            self.turn_of_runtime().await;
        }
        let now_ms = self.world.now_ms();
        let mut state = self.world.state();
        state.model.expire(now_ms);
        state.note(&format!("the clock moved by {by:?}"));
    }

    fn cut(&mut self) {
        let index = self.world.below(self.actors.len() as u64) as usize;
        self.world.note(&format!("cut #{index}"));
        if let Some(client) = self.clients.get(index) {
            client.borrow_mut().cut();
        }
        self.actors[index] = self.actor(index);
        self.world.state().counts.cuts += 1;
    }

    fn interrupt(&mut self) {
        let index = self.world.below(self.clients.len() as u64) as usize;
        self.world.note(&format!("interrupt #{index}"));
        self.actors[index].interrupt.set(true);
        self.actors[index].woken.0.store(true, Ordering::Relaxed);
    }

    fn let_sleep(&mut self) {
        let index = self.world.below(self.clients.len() as u64) as usize;
        let long = self.world.below(1_000);
        let until = self.world.state().step + long;
        self.world.note(&format!("#{index} sleeps until {until}"));
        self.actors[index].asleep_until = until;
    }

    /// The process ends and another one begins.
    async fn restart(&mut self) {
        self.world.note("restart");
        if self.world.chance(0.5) {
            self.gateway.bus.stop().await;
        }
        self.actors.clear();
        for client in &self.clients {
            client.borrow_mut().cut();
        }
        self.world.state().model = Model::new(self.setting.rules.clone());
        self.gateway = Gateway::start(&self.world);
        self.actors = (0..self.setting.actors())
            .map(|index| self.actor(index))
            .collect();
        self.world.state().counts.restarts += 1;
    }

    /// A fresh future for one who takes part.
    fn actor(&self, index: usize) -> Actor {
        let gateway = Rc::clone(&self.gateway);
        let interrupt = Rc::new(Cell::new(false));
        let publisher = index.wrapping_sub(self.clients.len());
        let future: Pin<Box<dyn Future<Output = ()>>> =
            if let Some(client) = self.clients.get(index) {
                let subscriber = Subscriber {
                    gateway,
                    client: Rc::clone(client),
                    actor: index,
                    interrupt: Rc::clone(&interrupt),
                };
                Box::pin(subscriber.run())
            } else if let Some(keyed) = self.keyed.get(publisher) {
                Box::pin(publish(gateway, Rc::clone(keyed), index))
            } else {
                Box::pin(forget(gateway))
            };
        Actor {
            future,
            woken: Arc::new(Woken(AtomicBool::new(true))),
            asleep_until: 0,
            interrupt,
        }
    }

    /// Polls one of those that were woken. Gives whether there was one.
    fn poll_one(&mut self, range: std::ops::Range<usize>, may: impl Fn(&Actor) -> bool) -> bool {
        let woken = range.filter(|&index| {
            let actor = &self.actors[index];
            actor.is_woken() && may(actor)
        });
        let woken: Vec<usize> = woken.collect();
        if woken.is_empty() {
            return false;
        }
        let index = woken[self.world.below(woken.len() as u64) as usize];
        self.world.state().actor = index;
        let actor = &mut self.actors[index];
        actor.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&actor.woken));
        let polled = actor.future.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending, "nobody ever ends");
        true
    }

    fn begin_step(&self, actor: usize) {
        let mut state = self.world.state();
        state.step += 1;
        state.actor = actor;
    }
}

impl Actor {
    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }
}

/// A session takes some ten steps to come to rest.
const SETTLE_STEPS_MAX: u64 = 200_000;
/// As long as the memory engine waits between two looks for old events.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Longer than the log waits between two looks for interests that nobody has.
const INTERESTS_STAY: Duration = Duration::from_secs(31);
