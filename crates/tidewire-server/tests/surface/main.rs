//! The server as a client meets it: over TLS, on port 0, with the memory engine.
//!
//! Only what belongs to this crate alone: routes, headers, deadlines, caps, close codes, the drain. What the whole gateway
//! promises is shown by the workspace's own test package.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gateway;
mod http;
mod raw;
mod stop;
mod streams;
mod tls;
mod websocket;
