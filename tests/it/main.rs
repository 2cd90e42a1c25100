//! Behaviours, each once over transport × engine, through the real server over TLS.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod delivery;
mod gaps;
mod idempotency;
mod kill;
mod publish;
mod resume;
mod slow;
