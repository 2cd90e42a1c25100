//! A thread that subscribes: its share of every group, on a runtime of its own.
//!
//! Shape: one task owns one connection (or stream). What a subscriber is outlives its connections: a [`Desk`]. Nothing is
//! shared with other threads but the board, which is touched once for each read.
//! Bound: `handshakes` connections that are being made at a time; after a cut all at once.
//! Failure: a connection that ends is made anew after a pause, with its place; the board keeps why.

mod shared;
mod subscription;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinSet, LocalSet},
};

use crate::{
    board::Board,
    gate::Arrivals,
    ledger::Ledger,
    marker::Scanner,
    process,
    protocol::{Carrier, Protocol, Seat, Subscriber},
    tally::Tally,
    target::Target,
};

/// The coordinator's side of a thread.
pub(crate) struct Worker {
    thread: JoinHandle<()>,
    commands: mpsc::UnboundedSender<Command>,
    /// The number of the thread, for its CPU time.
    pub(crate) number: Option<u32>,
}

/// What a thread subscribes.
pub(crate) struct Share {
    /// In the order of the plan; a group may have no seats here.
    pub(crate) groups: Vec<GroupShare>,
    /// The counting part of the gate.
    pub(crate) arrivals: Arrivals,
    /// Connections that are being made at a time.
    pub(crate) handshakes: usize,
    /// Between two connections; zero: as fast as it goes.
    pub(crate) ramp: Duration,
}

/// The seats of one group on one thread.
pub(crate) struct GroupShare {
    pub(crate) protocol: Arc<dyn Protocol>,
    pub(crate) target: Target,
    pub(crate) seats: Vec<ShareSeat>,
}

/// One subscriber to be.
pub(crate) struct ShareSeat {
    pub(crate) seat: Seat,
    /// Its number over all groups, for its address.
    pub(crate) source: usize,
    pub(crate) streams: std::ops::Range<u32>,
}

/// How much was published, for the account.
pub(crate) struct Published {
    /// Events of each stream.
    pub(crate) sent: Vec<u32>,
    /// Numbers of each stream that the server refused.
    pub(crate) refused: Vec<Vec<u32>>,
}

enum Command {
    Cut,
    Finish(Arc<Published>, oneshot::Sender<Vec<Tally>>),
}

/// What all tasks of a thread share.
struct Room {
    board: Arc<Board>,
    tallies: Vec<RefCell<Tally>>,
    arrivals: RefCell<Arrivals>,
    tasks: RefCell<JoinSet<()>>,
    /// For jitter.
    random: Cell<u64>,
}

/// One subscriber, over all its connections.
struct Desk {
    group: usize,
    source: usize,
    target: Target,
    subscriber: RefCell<Box<dyn Subscriber>>,
    intake: RefCell<Intake>,
}

/// What one subscriber has received.
struct Intake {
    scanner: Scanner,
    ledger: Ledger,
    /// It was cut and has not subscribed again.
    is_cut: bool,
    /// What it must have to have caught up after a cut: a number for each of its streams.
    behind: Option<Vec<u32>>,
}

impl Worker {
    /// Starts the thread; it connects at once.
    pub(crate) fn start(board: Arc<Board>, share: Share) -> std::io::Result<Worker> {
        let (commands, orders) = mpsc::unbounded_channel();
        let (told, number) = std::sync::mpsc::channel();
        let thread = thread::Builder::new()
            .name("subscribers".into())
            .spawn(move || {
                let _ = told.send(process::this_thread());
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime needs only a few handles");
                LocalSet::new().block_on(&runtime, work(board, share, orders));
            })?;
        Ok(Worker {
            thread,
            commands,
            number: number.recv().ok().flatten(),
        })
    }

    /// Cuts all connections; they are made anew at once.
    pub(crate) fn cut(&self) {
        let _ = self.commands.send(Command::Cut);
    }

    /// Ends the thread: what it has, for each group.
    pub(crate) fn finish(self, published: Arc<Published>) -> Vec<Tally> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Finish(published, reply));
        let tallies = answer.blocking_recv();
        let ended = self.thread.join();
        match (tallies, ended) {
            (Ok(tallies), Ok(())) => tallies,
            (_, Err(panic)) => std::panic::resume_unwind(panic),
            (Err(_), Ok(())) => Vec::new(),
        }
    }
}

async fn work(board: Arc<Board>, share: Share, mut orders: mpsc::UnboundedReceiver<Command>) {
    let room = Rc::new(Room {
        tallies: share
            .groups
            .iter()
            .map(|_| RefCell::new(Tally::new()))
            .collect(),
        arrivals: RefCell::new(share.arrivals),
        tasks: RefCell::new(JoinSet::new()),
        random: Cell::new(board.now() | 1),
        board,
    });
    let parties = parties(&share.groups);
    drop(share.groups);
    connect(&room, &parties, share.handshakes, share.ramp);
    while let Some(order) = orders.recv().await {
        let mut tasks = room.tasks.take();
        tasks.shutdown().await;
        match order {
            Command::Cut => {
                for desk in parties.iter().flat_map(|party| &party.desks) {
                    let intake = &mut *desk.intake.borrow_mut();
                    intake.scanner.reset();
                    intake.is_cut = true;
                }
                // Everybody comes back at once.
                connect(&room, &parties, Semaphore::MAX_PERMITS, Duration::ZERO);
            }
            Command::Finish(published, reply) => {
                for desk in parties.iter().flat_map(|party| &party.desks) {
                    let tally = &mut *room.tallies[desk.group].borrow_mut();
                    desk.intake.borrow().ledger_to(tally, &published);
                }
                let tallies = room.tallies.iter().map(|tally| tally.replace(Tally::new()));
                let _ = reply.send(tallies.collect());
                return;
            }
        }
    }
}

/// Desks that share a connection; most often one.
#[derive(Clone)]
struct Party {
    desks: Vec<Rc<Desk>>,
    is_shared: bool,
}

/// All parties, the groups mixed so that they connect side by side.
fn parties(groups: &[GroupShare]) -> Vec<Party> {
    let mut parties: Vec<(f64, Party)> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let desks: Vec<Rc<Desk>> = group
            .seats
            .iter()
            .map(|seat| desk(number, group, seat))
            .collect();
        let (size, is_shared) = match group.protocol.carrier() {
            Carrier::Connection => (1, false),
            Carrier::Streams { per_connection } => (per_connection.max(1), true),
        };
        let all = desks.len();
        for (index, desks) in desks.chunks(size).enumerate() {
            let place = (index * size) as f64 / all as f64;
            let desks = desks.to_vec();
            parties.push((place, Party { desks, is_shared }));
        }
    }
    parties.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    parties.into_iter().map(|(_, party)| party).collect()
}

fn desk(number: usize, group: &GroupShare, seat: &ShareSeat) -> Rc<Desk> {
    Rc::new(Desk {
        group: number,
        source: seat.source,
        target: group.target.clone(),
        subscriber: RefCell::new(group.protocol.subscriber(&seat.seat)),
        intake: RefCell::new(Intake {
            scanner: Scanner::default(),
            ledger: Ledger::new(seat.streams.clone()),
            is_cut: false,
            behind: None,
        }),
    })
}

/// One task connects all, in order and not too many at a time; each then lives in a task of its own.
fn connect(room: &Rc<Room>, parties: &[Party], handshakes: usize, ramp: Duration) {
    let parties = parties.to_vec();
    let in_it = Rc::clone(room);
    let handshakes = Arc::new(Semaphore::new(handshakes));
    let connecting = async move {
        let began = Instant::now();
        for (index, party) in parties.into_iter().enumerate() {
            if !ramp.is_zero() {
                let due = began + ramp * index as u32;
                tokio::time::sleep_until(due.into()).await;
            }
            let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
                return;
            };
            let room = Rc::clone(&in_it);
            let mut tasks = in_it.tasks.borrow_mut();
            match party.is_shared {
                true => tasks.spawn_local(shared::run(room, party.desks, permit)),
                false => {
                    let [desk] = party.desks.as_slice() else {
                        continue;
                    };
                    tasks.spawn_local(subscription::run(room, Rc::clone(desk), permit))
                }
            };
        }
    };
    room.tasks.borrow_mut().spawn_local(connecting);
}

impl Room {
    /// A pause before a connection is made anew, from half to one and a half of a quarter second.
    fn pause(&self) -> Duration {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        Duration::from_millis(125 + random % 250)
    }

    fn counter(&self, desk: &Desk) -> &crate::board::GroupBoard {
        &self.board.groups[desk.group]
    }
}

impl Intake {
    fn ledger_to(&self, tally: &mut Tally, published: &Published) {
        tally.repeated += self.ledger.repeated;
        tally.reordered += self.ledger.reordered;
        tally.foreign += self.ledger.foreign;
        for stream in self.ledger.streams() {
            let sent = published.sent[stream as usize];
            tally.lost += self
                .ledger
                .lost(stream, sent, &published.refused[stream as usize]);
        }
    }
}

/// A subscription that stands; counted while it is not dropped.
struct Standing(Rc<Room>, usize);

impl Standing {
    fn new(room: &Rc<Room>, group: usize) -> Standing {
        room.board.groups[group].ready.fetch_add(1, Relaxed);
        Standing(Rc::clone(room), group)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.board.groups[self.1].ready.fetch_sub(1, Relaxed);
    }
}

fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}
