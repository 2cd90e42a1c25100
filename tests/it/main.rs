//! Behaviours, each once over transport × engine, through the real server over TLS.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod conflation;
mod delivery;
mod failed_sync;
mod gaps;
mod idempotency;
mod kill;
mod proxy;
mod publish;
mod resume;
mod slow;
