//! The publishers: one thread, a connection each, by schedule or as fast as the gate lets them.
//!
//! Shape: a clock thread sleeps until each event is due and wakes its publisher; so a stamp is exact although timers of the
//! runtime are not. A publisher that is late sends what is due with the stamps that it should have had.
//! Bound: what a publisher may have unanswered is its own (`Publisher::depth`). Failure: one that refuses is asked again for
//! the same event where one is sent at a time; in a stream the event is given up and not expected. A broken connection ends
//! the run.

mod clock;
mod task;

use std::{
    sync::{Arc, atomic::Ordering::Release},
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use self::{
    clock::{Clock, Events},
    task::Task,
};
use crate::{
    board::Board,
    plan::{Load, Pace, Plan},
    process,
    protocol::{Fault, PublisherSeat},
    tally::histogram,
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

impl Publishers {
    /// Connects; nothing is published before [`Publishers::begin`].
    pub(crate) fn start(board: &Arc<Board>, plan: &Plan) -> std::io::Result<Publishers> {
        let clock = Arc::new(Clock::new());
        let seat = |index| PublisherSeat {
            index,
            authority: plan.publish_to.authority.clone(),
        };
        let one = |index| Task::new(board, &clock, &plan.load, index);
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
        self.clock.begin(at);
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
