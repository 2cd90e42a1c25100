//! The publishers: one thread, a connection each, by schedule or as fast as the gate lets them.
//!
//! Shape: a clock thread sleeps until each event is due and wakes its publisher; so a stamp is exact although timers of the
//! runtime are not. A publisher that is late sends what is due with the stamps that it should have had.
//! Bound: what a publisher may have unanswered is its own (`Publisher::depth`). Failure: one that refuses is asked again for
//! the same event where one is sent at a time; in a stream the event is given up and not expected. A broken connection ends
//! the run.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::{Sleep, sleep};

use crate::{
    board::Board,
    link::{Link, Owner},
    marker::{Marker, Payload},
    plan::{Load, Pace, Plan},
    process,
    protocol::{Answers, Dispatch, Fault, Publisher, PublisherSeat},
    tally::{self, histogram},
    target::Target,
};

/// The coordinator's side.
pub(crate) struct Publishers {
    thread: JoinHandle<Result<PublishTally, Fault>>,
    clock: Arc<Clock>,
    pub(crate) number: Option<u32>,
}

/// What was published.
#[derive(Debug)]
pub(crate) struct PublishTally {
    /// Events that were acknowledged.
    pub(crate) accepted: u64,
    /// Refusals; one event may be refused several times.
    pub(crate) refused: u64,
    /// Events that were given up: stream and number.
    pub(crate) given_up: Vec<(u32, u32)>,
    /// From the time when an event should have been sent to the time when it was, of the measured part.
    pub(crate) late: Histogram<u64>,
    /// From sending to the answer, of the measured part.
    pub(crate) answered: Histogram<u64>,
}

/// How far the schedule is.
#[derive(Debug)]
struct Clock {
    /// When it began, in nanoseconds since the run did; 0: not yet.
    began: AtomicU64,
    /// Events that are due, over all publishers.
    due: AtomicU64,
}

impl Publishers {
    /// Connects; nothing is published before [`Publishers::begin`].
    pub(crate) fn start(board: &Arc<Board>, plan: &Plan) -> std::io::Result<Publishers> {
        let clock = Arc::new(Clock {
            began: AtomicU64::new(0),
            due: AtomicU64::new(0),
        });
        let seat = |index| PublisherSeat {
            index,
            authority: plan.publish_to.authority.clone(),
        };
        let one = |index| Task {
            board: Arc::clone(board),
            clock: Arc::clone(&clock),
            load: plan.load.clone(),
            index,
            payload: Payload::new(plan.load.payload_bytes, plan.load.seed + index as u64),
            count: 0,
            waiting: VecDeque::new(),
            repeat: VecDeque::new(),
            tally: PublishTally::new(),
        };
        let tasks: Vec<Task> = (0..plan.load.publishers).map(one).collect();
        let seats: Vec<PublisherSeat> = (0..plan.load.publishers).map(seat).collect();
        let target = plan.publish_to.clone();
        let publishing = Arc::clone(&plan.publishing);
        let (told, number) = std::sync::mpsc::channel();
        let thread = thread::Builder::new()
            .name("publishers".into())
            .spawn(move || {
                let _ = told.send(process::this_thread());
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime needs only a few handles");
                let all = tasks
                    .into_iter()
                    .zip(&seats)
                    .map(|(task, seat)| task.run(&target, publishing.publisher(seat)));
                let tallies = runtime.block_on(try_join_all(all))?;
                Ok(tallies
                    .into_iter()
                    .fold(PublishTally::new(), PublishTally::joined))
            })?;
        Ok(Publishers {
            thread,
            clock,
            number: number.recv().ok().flatten(),
        })
    }

    /// Begins to publish at this time, for so long.
    pub(crate) fn begin(&self, board: &Arc<Board>, load: &Load, at: u64, length: Duration) {
        self.clock.began.store(at, Release);
        match load.pace {
            Pace::Rate(rate) => {
                let events = Events::new(rate * load.topics as f64, at);
                let total = events.before(length);
                let (board, clock) = (Arc::clone(board), Arc::clone(&self.clock));
                thread::spawn(move || clock.tick(&board, events, total));
            }
            Pace::Outstanding(_) => wake_all(board),
        }
    }

    /// Nothing more is published; waits for what is not answered yet.
    pub(crate) fn finish(self, board: &Board) -> Result<PublishTally, Fault> {
        board.stop.store(true, Release);
        wake_all(board);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Whether they have ended by themselves, which is a fault.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

fn wake_all(board: &Board) {
    for waker in &board.gate.wakers {
        waker.wake();
    }
}

/// When each event should be sent.
#[derive(Debug, Clone, Copy)]
struct Events {
    per_second: f64,
    began: u64,
}

impl Events {
    fn new(per_second: f64, began: u64) -> Events {
        Events { per_second, began }
    }

    fn time(self, number: u64) -> u64 {
        self.began + (number as f64 * 1e9 / self.per_second) as u64
    }

    fn before(self, length: Duration) -> u64 {
        (length.as_secs_f64() * self.per_second).round() as u64
    }
}

impl Clock {
    /// Sleeps from event to event; catches up when it was late.
    fn tick(&self, board: &Board, events: Events, total: u64) {
        let publishers = board.gate.wakers.len() as u64;
        for number in 0..total {
            let due = board.instant(events.time(number));
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait);
            }
            if board.stop.load(Acquire) {
                return;
            }
            self.due.store(number + 1, Release);
            board.gate.wakers[(number % publishers) as usize].wake();
        }
    }
}

/// One publisher.
struct Task {
    board: Arc<Board>,
    clock: Arc<Clock>,
    load: Load,
    index: usize,
    payload: Payload,
    /// Events that it has taken.
    count: u64,
    /// Sent and not answered, oldest first.
    waiting: VecDeque<Sent>,
    /// Refused and to be sent again.
    repeat: VecDeque<Sent>,
    tally: PublishTally,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    topic: usize,
    marker: Marker,
    at: u64,
}

impl Task {
    async fn run(
        mut self,
        target: &Target,
        publisher: Box<dyn Publisher>,
    ) -> Result<PublishTally, Fault> {
        let source = target.source(PUBLISHER_SOURCES + self.index * PUBLISHER_SOURCE_STEP);
        let mut link = Link::connect(target, source).await?;
        let mut desk = Desk {
            publisher,
            answers: Answers::default(),
        };
        let mut connection = Connection::default();
        poll_fn(|cx| self.poll(cx, &mut link, &mut desk, &mut connection)).await?;
        Ok(self.tally)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        desk: &mut Desk,
        connection: &mut Connection,
    ) -> Poll<Result<(), Fault>> {
        self.board.gate.wakers[self.index].register(cx.waker());
        loop {
            if let Poll::Ready(fault) = link.poll(cx, &mut connection.out, desk) {
                return Poll::Ready(Err(fault));
            }
            if desk.answers.ready && !connection.is_ready {
                connection.is_ready = true;
                self.board.publishers_ready.fetch_add(1, Relaxed);
            }
            if let Some(pause) = self.settle(desk) {
                connection.pause = Some(Box::pin(sleep(pause)));
            }
            if let Some(pause) = &mut connection.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                connection.pause = None;
            }
            if !connection.is_ready {
                return Poll::Pending;
            }
            let depth = desk.publisher.depth();
            let mut sent = 0;
            while self.waiting.len() < depth && sent < BATCH_MAX {
                let Some(event) = self.next() else { break };
                self.send(event, desk, &mut connection.out);
                sent += 1;
            }
            // Where nothing is acknowledged, sending is the answer.
            self.settle(desk);
            if sent == 0 {
                let is_over = self.board.stop.load(Acquire) && self.waiting.is_empty();
                return if is_over {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Pending
                };
            }
        }
    }

    /// The next event that may be sent now.
    fn next(&mut self) -> Option<Sent> {
        if let Some(again) = self.repeat.pop_front() {
            return Some(again);
        }
        let began = self.clock.began.load(Acquire);
        if began == 0 || self.board.stop.load(Acquire) {
            return None;
        }
        let publishers = self.load.publishers as u64;
        let (topic, stamp) = match self.load.pace {
            Pace::Rate(rate) => {
                let number = self.count * publishers + self.index as u64;
                if number >= self.clock.due.load(Acquire) {
                    return None;
                }
                let events = Events::new(rate * self.load.topics as f64, began);
                (number % self.load.topics as u64, events.time(number))
            }
            Pace::Outstanding(_) => {
                let topic = self.count % self.load.topics as u64;
                let stream = self.stream(topic as usize);
                let number = self.board.sent[stream as usize].load(Relaxed);
                if !self.board.gate.try_send(stream, number) {
                    return None;
                }
                (topic, self.board.now())
            }
        };
        self.count += 1;
        let topic = topic as usize;
        let stream = self.stream(topic);
        let number = self.board.sent[stream as usize].fetch_add(1, Relaxed);
        let marker = Marker {
            stamp,
            number,
            stream,
        };
        Some(Sent {
            topic,
            marker,
            at: 0,
        })
    }

    fn stream(&self, topic: usize) -> u32 {
        (topic * self.load.publishers + self.index) as u32
    }

    fn send(&mut self, event: Sent, desk: &mut Desk, out: &mut Vec<u8>) {
        let at = self.board.now();
        let topic = self.load.topic(event.topic);
        let mut dispatch = Dispatch::new(out, &mut desk.answers);
        let payload = self.payload.of(event.marker);
        desk.publisher.publish(&topic, payload, &mut dispatch);
        if self.board.measures(event.marker.stamp) {
            tally::record(&mut self.tally.late, at.saturating_sub(event.marker.stamp));
        }
        self.waiting.push_back(Sent { at, ..event });
    }

    /// Takes the answers that have come. The answer is a pause that a refusal asked for.
    fn settle(&mut self, desk: &mut Desk) -> Option<Duration> {
        if desk.answers.outcomes.is_empty() {
            return None;
        }
        let now = self.board.now();
        for (taken, count) in desk.answers.outcomes.drain(..) {
            for _ in 0..count {
                let Some(sent) = self.waiting.pop_front() else {
                    break;
                };
                if taken {
                    self.tally.accepted += 1;
                    if self.board.measures(sent.marker.stamp) {
                        tally::record(&mut self.tally.answered, now.saturating_sub(sent.at));
                    }
                    continue;
                }
                self.tally.refused += 1;
                if desk.publisher.depth() == 1 && !self.board.stop.load(Acquire) {
                    self.repeat.push_back(sent);
                } else {
                    self.tally
                        .given_up
                        .push((sent.marker.stream, sent.marker.number));
                }
            }
        }
        desk.answers.retry_after.take()
    }
}

#[derive(Default)]
struct Connection {
    out: Vec<u8>,
    pause: Option<Pin<Box<Sleep>>>,
    is_ready: bool,
}

struct Desk {
    publisher: Box<dyn Publisher>,
    answers: Answers,
}

impl Owner for Desk {
    fn opened(&mut self, out: &mut Vec<u8>) {
        self.publisher
            .open(&mut Dispatch::new(out, &mut self.answers));
    }

    fn received(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut dispatch = Dispatch::new(out, &mut self.answers);
        self.publisher.receive(bytes, &mut dispatch)
    }
}

impl PublishTally {
    pub(crate) fn new() -> PublishTally {
        PublishTally {
            accepted: 0,
            refused: 0,
            given_up: Vec::new(),
            late: histogram(),
            answered: histogram(),
        }
    }

    fn joined(mut self, other: PublishTally) -> PublishTally {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.given_up.extend(other.given_up);
        for (mine, theirs) in [
            (&mut self.late, &other.late),
            (&mut self.answered, &other.answered),
        ] {
            mine.add(theirs).expect("all have the same bounds");
        }
        self
    }
}

/// Events that are sent before the connection is looked at again.
const BATCH_MAX: usize = 64;
/// Publishers come from addresses far behind those of subscribers, one each.
const PUBLISHER_SOURCES: usize = 60_000 * PUBLISHER_SOURCE_STEP;
const PUBLISHER_SOURCE_STEP: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_has_no_drift() {
        let events = Events::new(3.0, 1_000);
        assert_eq!(events.time(0), 1_000);
        assert_eq!(events.time(3), 1_000_001_000);
        assert_eq!(events.time(3_000_000), 1_000_000_000_001_000);
        assert_eq!(events.before(Duration::from_secs(2)), 6);
    }
}
