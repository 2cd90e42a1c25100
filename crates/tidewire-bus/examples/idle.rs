//! What an idle session costs in memory: `cargo run --release -p tidewire-bus --example idle`.
//!
//! Unit: bytes of resident memory for each session, its task and its wait included, over 200,000 of them: on one topic
//! together, and each on a topic of its own, whose interest is then part of the figure.

#![allow(clippy::unwrap_used, reason = "an example has no callers")]

use std::mem::{size_of, size_of_val};
use std::sync::Arc;
use std::time::Duration;

use tidewire_bus::{
    Batch, Bus, BusConfig, MemoryConfig, MemoryEngine, RetentionTable, Session, SessionOptions,
};
use tidewire_protocol::{Pattern, StartAt};

const SESSIONS: usize = 200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let engine = MemoryEngine::new(MemoryConfig::default(), RetentionTable::default());
    let bus = Bus::start(Arc::new(engine), BusConfig::default());
    let mut session = bus.open(SessionOptions::default());
    println!("Session: {} bytes", size_of::<Session>());
    println!("Batch: {} bytes", size_of::<Batch>());
    println!("next(): {} bytes", size_of_val(&session.next()));
    let wait = session.next_within(Duration::ZERO);
    println!("next_within(): {} bytes", size_of_val(&wait));
    println!(
        "one topic: {} bytes a session",
        resident(&bus, |_| "one".to_owned()).await
    );
    let own = resident(&bus, |number| format!("own.{number:06}")).await;
    println!("own topics: {own} bytes a session");
}

/// Sessions that wait, until the process ends.
async fn resident(bus: &Bus, topic: impl Fn(usize) -> String) -> usize {
    let before = resident_bytes();
    for number in 0..SESSIONS {
        let mut session = bus.open(SessionOptions::default());
        let patterns = vec![Pattern::parse(&topic(number)).unwrap()];
        session.subscribe(patterns, StartAt::Now).await.unwrap();
        tokio::spawn(async move { session.next().await.map(|batch| batch.cursor) });
    }
    // Each is polled once.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    (resident_bytes() - before) / SESSIONS
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() * 1_024
}
