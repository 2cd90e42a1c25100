//! One subscriber on a connection of its own.
//!
//! Shape: connect, poll the link until it ends, pause, again. All that a connection does happens in one poll: wake the
//! machine, send, read, count.
//! Bound: [`READY_TIMEOUT`] from the beginning of a connection to the subscription.
//! Failure: the end of a connection is counted, its reason kept; the next one resumes.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

use super::{Desk, Intake, Room, Standing, add};
use crate::{
    ledger::Arrival,
    link::{Link, Owner},
    marker::Marker,
    protocol::{Exchange, Fault, Signals, Sink},
    tally,
};

/// Connects again and again until the task is aborted.
pub(super) async fn run(room: Rc<Room>, desk: Rc<Desk>, permit: OwnedSemaphorePermit) {
    let mut permit = Some(permit);
    loop {
        let fault = once(&room, &desk, permit.take()).await;
        room.board.fault(&fault);
        add(&room.counter(&desk).reconnects, 1);
        desk.intake.borrow_mut().scanner.reset();
        sleep(room.pause()).await;
    }
}

async fn once(room: &Rc<Room>, desk: &Desk, permit: Option<OwnedSemaphorePermit>) -> Fault {
    let began = room.board.now();
    let mut link = match Link::connect(&desk.target, desk.target.source(desk.source)).await {
        Ok(link) => link,
        Err(fault) => return fault,
    };
    let mut conversation = Conversation {
        room,
        desk,
        signals: Signals::default(),
    };
    let mut connection = Connection {
        out: Vec::new(),
        wake: None,
        deadline: Some(Box::pin(sleep(READY_TIMEOUT))),
        standing: None,
        permit,
        began,
    };
    poll_fn(|cx| connection.poll(cx, &mut link, &mut conversation)).await
}

/// What one connection has beside its link.
struct Connection {
    out: Vec<u8>,
    wake: Option<Pin<Box<Sleep>>>,
    deadline: Option<Pin<Box<Sleep>>>,
    standing: Option<Standing>,
    permit: Option<OwnedSemaphorePermit>,
    began: u64,
}

impl Connection {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        conversation: &mut Conversation<'_>,
    ) -> Poll<Fault> {
        loop {
            if let Some(wake) = &mut self.wake
                && wake.as_mut().poll(cx).is_ready()
            {
                self.wake = None;
                conversation.wake(&mut self.out);
            }
            let ended = link.poll(cx, &mut self.out, conversation);
            let counters = conversation.room.counter(conversation.desk);
            add(&counters.bytes_in, std::mem::take(&mut link.bytes_in));
            add(&counters.bytes_out, std::mem::take(&mut link.bytes_out));
            if let Poll::Ready(fault) = ended {
                return Poll::Ready(fault);
            }
            if let Some(deadline) = &mut self.deadline {
                if conversation.signals.ready {
                    self.deadline = None;
                    self.permit = None;
                    self.standing = Some(conversation.stands(self.began));
                } else if deadline.as_mut().poll(cx).is_ready() {
                    let text = format!("no subscription within {READY_TIMEOUT:?}");
                    return Poll::Ready(Fault::Connection(text));
                }
            }
            add(
                &counters.gaps,
                std::mem::take(&mut conversation.signals.gaps),
            );
            match conversation.signals.wake_after.take() {
                Some(pause) => self.wake = Some(Box::pin(sleep(pause))),
                None => return Poll::Pending,
            }
        }
    }
}

/// A subscriber and where its events are counted.
pub(super) struct Conversation<'a> {
    pub(super) room: &'a Rc<Room>,
    pub(super) desk: &'a Desk,
    pub(super) signals: Signals,
}

impl Conversation<'_> {
    fn wake(&mut self, out: &mut Vec<u8>) {
        let mut counter = Counter::new(self.room, self.desk);
        let mut exchange = Exchange::new(&mut counter, out, &mut self.signals);
        self.desk.subscriber.borrow_mut().wake(&mut exchange);
    }

    /// The subscription stands. After a cut: what it has to catch up with.
    pub(super) fn stands(&self, began: u64) -> Standing {
        let room = self.room;
        let now = room.board.now();
        let tally = &mut room.tallies[self.desk.group].borrow_mut();
        tally::record(&mut tally.connect, now.saturating_sub(began));
        let cut_at = room.board.cut_at.load(Relaxed);
        let intake = &mut *self.desk.intake.borrow_mut();
        if std::mem::take(&mut intake.is_cut) {
            let streams = intake.ledger.streams();
            let sent = streams.map(|stream| room.board.sent[stream as usize].load(Relaxed));
            intake.behind = Some(sent.collect());
            if intake.has_caught_up() {
                tally::record(&mut tally.catch_up, now.saturating_sub(cut_at));
                add(&room.counter(self.desk).caught_up, 1);
            }
        }
        Standing::new(room, self.desk.group)
    }
}

impl Owner for Conversation<'_> {
    fn opened(&mut self, out: &mut Vec<u8>) {
        let mut counter = Counter::new(self.room, self.desk);
        let mut exchange = Exchange::new(&mut counter, out, &mut self.signals);
        self.desk.subscriber.borrow_mut().open(&mut exchange);
    }

    fn received(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut counter = Counter::new(self.room, self.desk);
        let mut exchange = Exchange::new(&mut counter, out, &mut self.signals);
        let result = self
            .desk
            .subscriber
            .borrow_mut()
            .receive(bytes, &mut exchange);
        let delivered = counter.delivered;
        add(&self.room.counter(self.desk).delivered, delivered);
        result
    }
}

/// Where payloads are counted.
struct Counter<'a> {
    room: &'a Room,
    desk: &'a Desk,
    now: u64,
    delivered: u64,
}

impl<'a> Counter<'a> {
    fn new(room: &'a Room, desk: &'a Desk) -> Counter<'a> {
        Counter {
            room,
            desk,
            now: room.board.now(),
            delivered: 0,
        }
    }
}

impl Sink for Counter<'_> {
    fn payload(&mut self, bytes: &[u8]) {
        let board = &self.room.board;
        let Intake {
            scanner,
            ledger,
            behind,
            ..
        } = &mut *self.desk.intake.borrow_mut();
        let tally = &mut *self.room.tallies[self.desk.group].borrow_mut();
        let arrivals = &mut *self.room.arrivals.borrow_mut();
        scanner.scan(bytes, |marker| {
            let Ok(Marker {
                stamp,
                number,
                stream,
            }) = marker
            else {
                tally.damaged += 1;
                return;
            };
            match ledger.take(stream, number) {
                Arrival::New { skipped } => {
                    arrivals.count(&board.gate, stream, number - skipped, number)
                }
                Arrival::Late => {}
                Arrival::Repeated | Arrival::Foreign => return,
            }
            self.delivered += 1;
            if board.measures(stamp) {
                tally::record(&mut tally.latency, self.now.saturating_sub(stamp));
            }
        });
        if behind.is_some() && caught_up(behind, ledger) {
            let cut_at = board.cut_at.load(Relaxed);
            tally::record(&mut tally.catch_up, self.now.saturating_sub(cut_at));
            add(&self.room.counter(self.desk).caught_up, 1);
        }
    }
}

impl Intake {
    fn has_caught_up(&mut self) -> bool {
        caught_up(&mut self.behind, &self.ledger)
    }
}

/// Whether all that was published before the subscription stood again is there; then it is not asked any more.
fn caught_up(behind: &mut Option<Vec<u32>>, ledger: &crate::ledger::Ledger) -> bool {
    let Some(numbers) = behind else {
        return false;
    };
    let has_all = ledger
        .streams()
        .zip(numbers.iter())
        .all(|(stream, number)| ledger.next(stream) >= *number);
    if has_all {
        *behind = None;
    }
    has_all
}

/// Longer than any server's own limit for a handshake.
pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(30);
