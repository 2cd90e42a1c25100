//! Full speed with a bounded number of events outstanding: event n is sent when event n−K has reached every subscriber.
//!
//! Shape: for each stream a ring of K slots. A worker counts arrivals in a ring of its own and touches the shared slot once
//! for each event, when the last of its subscribers has it. A publisher looks at the slot that its next event would take.
//! Bound: K events of a stream. Failure: what a subscriber skipped counts as arrived, so that a lost event is counted as
//! lost and does not stop the run.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::task::AtomicWaker;

/// The shared part.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    outstanding: u32,
    streams: Vec<Stream>,
    /// One for each publisher.
    pub(crate) wakers: Vec<AtomicWaker>,
}

#[derive(Debug)]
struct Stream {
    /// Workers that have subscribers of it.
    workers: u32,
    /// Workers whose subscribers all have the event of the slot.
    done: Box<[AtomicU32]>,
}

/// One worker's part.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    streams: Vec<Local>,
}

#[derive(Debug, Default)]
struct Local {
    subscribers: u32,
    arrived: Box<[u32]>,
}

impl Gate {
    /// A gate that nothing waits at, for a run by schedule.
    pub(crate) fn open(publishers: usize) -> Gate {
        Gate {
            outstanding: 0,
            streams: Vec::new(),
            wakers: (0..publishers).map(|_| AtomicWaker::new()).collect(),
        }
    }

    /// `workers[stream]` is how many workers have subscribers of it.
    pub(crate) fn new(outstanding: u32, workers: &[u32], publishers: usize) -> Gate {
        let stream = |workers: &u32| Stream {
            workers: *workers,
            done: (0..outstanding).map(|_| AtomicU32::new(*workers)).collect(),
        };
        Gate {
            outstanding,
            streams: workers.iter().map(stream).collect(),
            ..Gate::open(publishers)
        }
    }

    /// Takes the slot of the next event of a stream, if the one before it in this slot has arrived everywhere.
    pub(crate) fn try_send(&self, stream: u32, number: u32) -> bool {
        let stream = &self.streams[stream as usize];
        let slot = &stream.done[(number % self.outstanding) as usize];
        let workers = stream.workers;
        slot.compare_exchange(workers, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The counting part of a worker; `subscribers[stream]` are its own. Empty for a run by schedule.
    pub(crate) fn arrivals(&self, subscribers: &[u32]) -> Arrivals {
        let local = |subscribers: &u32| Local {
            subscribers: *subscribers,
            arrived: (0..self.outstanding).map(|_| 0).collect(),
        };
        match self.outstanding {
            0 => Arrivals::default(),
            _ => Arrivals {
                streams: subscribers.iter().map(local).collect(),
            },
        }
    }

    fn wake(&self, stream: u32) {
        // A stream belongs to one publisher.
        if let Some(waker) = self.wakers.get(stream as usize % self.wakers.len().max(1)) {
            waker.wake();
        }
    }
}

impl Arrivals {
    /// A subscriber has the events `from..=to` of a stream, or will never have them.
    pub(crate) fn count(&mut self, gate: &Gate, stream: u32, from: u32, to: u32) {
        let Some(local) = self.streams.get_mut(stream as usize) else {
            return;
        };
        // No more than the ring can be outstanding; a larger number is no event of ours.
        let from = from.max(to.saturating_sub(gate.outstanding - 1));
        for number in from..=to {
            let slot = (number % gate.outstanding) as usize;
            local.arrived[slot] += 1;
            if local.arrived[slot] < local.subscribers {
                continue;
            }
            local.arrived[slot] = 0;
            let shared = &gate.streams[stream as usize];
            let done = shared.done[slot].fetch_add(1, Ordering::AcqRel) + 1;
            if done >= shared.workers {
                gate.wake(stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_when_the_one_k_before_it_has_reached_all() {
        let gate = Gate::new(2, &[2], 1);
        let mut first = gate.arrivals(&[2]);
        let mut second = gate.arrivals(&[1]);
        assert!(gate.try_send(0, 0) && gate.try_send(0, 1));
        assert!(!gate.try_send(0, 2));
        first.count(&gate, 0, 0, 0);
        second.count(&gate, 0, 0, 0);
        assert!(!gate.try_send(0, 2), "one subscriber lacks event 0");
        first.count(&gate, 0, 0, 0);
        assert!(gate.try_send(0, 2));
        assert!(!gate.try_send(0, 3), "event 1 is still on its way");
    }

    #[test]
    fn what_was_skipped_does_not_stop_the_run() {
        let gate = Gate::new(2, &[1], 1);
        let mut arrivals = gate.arrivals(&[1]);
        assert!(gate.try_send(0, 0) && gate.try_send(0, 1));
        arrivals.count(&gate, 0, 0, 1);
        assert!(gate.try_send(0, 2) && gate.try_send(0, 3));
    }

    #[test]
    fn a_stream_without_subscribers_is_never_held() {
        let gate = Gate::new(1, &[0], 1);
        assert!((0..10).all(|number| gate.try_send(0, number)));
    }
}
