//! Every engine passes the one conformance suite.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidewire_bus::contract::{self, Setup, Subject};
use tidewire_bus::{DiskConfig, DiskEngine, Engine, MemoryConfig, MemoryEngine};

struct Memory;

impl Subject for Memory {
    fn open(&mut self, setup: Setup) -> BoxFuture<'_, Arc<dyn Engine>> {
        let config = MemoryConfig {
            idempotency_window: setup.idempotency_window,
            clock: setup.clock,
            ..MemoryConfig::default()
        };
        Box::pin(async { Arc::new(MemoryEngine::new(config, setup.retention)) as Arc<dyn Engine> })
    }

    fn reopen(
        &mut self,
        engine: Arc<dyn Engine>,
        _setup: Setup,
    ) -> BoxFuture<'_, Option<Arc<dyn Engine>>> {
        Box::pin(async move {
            engine.stop().await;
            None
        })
    }
}

struct Disk(tempfile::TempDir);

impl Disk {
    fn engine(&self, setup: Setup) -> Arc<dyn Engine> {
        let config = DiskConfig {
            idempotency_window: setup.idempotency_window,
            clock: setup.clock,
            // So that a batch of the suite fills several of them.
            commit_max_events: 100,
            ..DiskConfig::default()
        };
        let engine = DiskEngine::open(self.0.path(), config, setup.retention);
        Arc::new(engine.expect("an engine"))
    }
}

impl Subject for Disk {
    fn open(&mut self, setup: Setup) -> BoxFuture<'_, Arc<dyn Engine>> {
        Box::pin(async { self.engine(setup) })
    }

    fn reopen(
        &mut self,
        engine: Arc<dyn Engine>,
        setup: Setup,
    ) -> BoxFuture<'_, Option<Arc<dyn Engine>>> {
        Box::pin(async move {
            engine.stop().await;
            drop(engine);
            Some(self.engine(setup))
        })
    }
}

/// `TIDEWIRE_CASES` sets the number of random sequences.
fn cases(default: u32) -> u32 {
    let cases = std::env::var("TIDEWIRE_CASES").ok();
    cases
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

#[test]
fn the_memory_engine_keeps_the_contract() {
    contract::holds(cases(400), || Memory);
}

#[test]
fn the_disk_engine_keeps_the_contract() {
    contract::holds(cases(100), || Disk(tempfile::tempdir().expect("a folder")));
}
