//! One publisher on its connection.
//!
//! Shape: one poll reads answers, takes what is due, sends it.
//! Bound: the publisher's depth of unanswered events; [`BATCH_MAX`] before the connection is looked at again.
//! Failure: see the module above.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{
    PublishTally,
    clock::{Clock, Events},
};
use crate::{
    board::Board,
    link::{Link, Owner},
    marker::{Marker, Payload},
    plan::{Load, Pace},
    protocol::{Answers, Dispatch, Fault, Publisher},
    tally,
    target::Target,
};

/// One publisher.
pub(super) struct Task {
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
    pub(super) fn new(board: &Arc<Board>, clock: &Arc<Clock>, load: &Load, index: usize) -> Task {
        Task {
            board: Arc::clone(board),
            clock: Arc::clone(clock),
            load: load.clone(),
            index,
            payload: Payload::new(load.payload_bytes, load.seed + index as u64),
            count: 0,
            waiting: VecDeque::new(),
            repeat: VecDeque::new(),
            tally: PublishTally::new(),
        }
    }

    pub(super) async fn run(
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

/// Events that are sent before the connection is looked at again.
const BATCH_MAX: usize = 64;
/// Publishers come from addresses far behind those of subscribers, one each.
const PUBLISHER_SOURCES: usize = 60_000 * PUBLISHER_SOURCE_STEP;
const PUBLISHER_SOURCE_STEP: usize = 500;
