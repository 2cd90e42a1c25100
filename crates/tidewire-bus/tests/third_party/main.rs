//! The conformance suite from outside: an engine of somebody else passes it, and none with a fault does.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod engine;
mod fault;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use engine::{Store, VecEngine};
use fault::Fault;
use futures_util::future::BoxFuture;
use tidewire_bus::Engine;
use tidewire_bus::contract::{self, Setup, Subject};
use tidewire_protocol::Epoch;

/// The vector, on a shelf while the engine is closed.
#[derive(Default)]
struct Shelf {
    store: Arc<Mutex<Store>>,
    /// How often a new log was begun.
    logs: u32,
    /// What is on the shelf does not outlive a stop.
    is_fleeting: bool,
    fault: Option<Fault>,
}

impl Shelf {
    fn engine(&self, setup: Setup) -> Arc<dyn Engine> {
        let epoch = Epoch::parse(&format!("log{}", self.logs)).unwrap();
        Arc::new(VecEngine::new(epoch, &self.store, setup, self.fault))
    }
}

impl Subject for Shelf {
    fn open(&mut self, setup: Setup) -> BoxFuture<'_, Arc<dyn Engine>> {
        self.store = Arc::default();
        if self.fault != Some(Fault::SameEpochAnew) {
            self.logs += 1;
        }
        Box::pin(async { self.engine(setup) })
    }

    fn reopen(
        &mut self,
        engine: Arc<dyn Engine>,
        setup: Setup,
    ) -> BoxFuture<'_, Option<Arc<dyn Engine>>> {
        Box::pin(async move {
            engine.stop().await;
            if self.is_fleeting {
                return None;
            }
            match self.fault {
                Some(Fault::KeysLostAtStop) => self.store.lock().unwrap().forget_keys(),
                Some(Fault::OtherEpochAgain) => self.logs += 1,
                _ => {}
            }
            Some(self.engine(setup))
        })
    }
}

/// Goal: a third party needs nothing but the public interface. Method: an engine that keeps what it had
/// when it is opened again, and one that does not.
#[test]
fn an_engine_of_somebody_else_keeps_the_contract() {
    for is_fleeting in [false, true] {
        contract::holds(100, || Shelf {
            is_fleeting,
            ..Shelf::default()
        });
    }
}

/// Goal: the suite can fail. Method: the same engine with one fault at a time; the suite refuses it, and
/// says what is wrong.
#[test]
fn every_fault_is_found() {
    let verdicts = std::thread::scope(|scope| {
        let tried = Fault::ALL.map(|(fault, words)| {
            let verdict = scope.spawn(move || {
                let subject = || Shelf {
                    fault: Some(fault),
                    is_fleeting: fault == Fault::SameEpochAnew,
                    ..Shelf::default()
                };
                let verdict = catch_unwind(AssertUnwindSafe(|| contract::holds(200, subject)));
                verdict
                    .err()
                    .map(|panic| *panic.downcast::<String>().unwrap())
            });
            (fault, words, verdict)
        });
        tried.map(|(fault, words, verdict)| (fault, words, verdict.join().unwrap()))
    });
    let mut passed = Vec::new();
    for (fault, words, verdict) in verdicts {
        // Before the sequence.
        let said = verdict
            .as_deref()
            .and_then(|said| said.split("minimal").next());
        eprintln!("{fault:?}: {said:?}");
        if said.is_none_or(|said| !words.iter().any(|word| said.contains(word))) {
            passed.push(fault);
        }
    }
    assert_eq!(passed, [], "faults that were not found for what they are");
}
