//! Every engine passes the one conformance suite.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidewire_bus::contract::{self, Subject};
use tidewire_bus::{DiskConfig, DiskEngine, Engine, MemoryConfig, MemoryEngine, RetentionTable};

struct Memory;

impl Subject for Memory {
    fn open(&mut self, retention: RetentionTable) -> BoxFuture<'_, Arc<dyn Engine>> {
        Box::pin(async move {
            Arc::new(MemoryEngine::new(MemoryConfig::default(), retention)) as Arc<dyn Engine>
        })
    }

    fn reopen(
        &mut self,
        _engine: Arc<dyn Engine>,
        _retention: RetentionTable,
    ) -> BoxFuture<'_, Option<Arc<dyn Engine>>> {
        Box::pin(async { None })
    }
}

struct Disk(tempfile::TempDir);

impl Disk {
    fn engine(&self, retention: RetentionTable) -> Arc<dyn Engine> {
        let engine = DiskEngine::open(self.0.path(), DiskConfig::default(), retention);
        Arc::new(engine.expect("an engine"))
    }
}

impl Subject for Disk {
    fn open(&mut self, retention: RetentionTable) -> BoxFuture<'_, Arc<dyn Engine>> {
        Box::pin(async { self.engine(retention) })
    }

    fn reopen(
        &mut self,
        engine: Arc<dyn Engine>,
        retention: RetentionTable,
    ) -> BoxFuture<'_, Option<Arc<dyn Engine>>> {
        Box::pin(async move {
            engine.stop().await;
            drop(engine);
            Some(self.engine(retention))
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
