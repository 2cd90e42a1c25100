//! A load generator for realtime gateways: the same load, the same clock and the same counts for every server.
//!
//! Read in this order:
//! - [`protocol`]: what differs from server to server, as traits over bytes; [`tidewire`] implements them, with the helpers
//!   [`http1`], [`websocket`] and [`event_stream`].
//! - [`marker`] and [`ledger`]: how an arrival is recognised in a stream of bytes and what is counted of it.
//! - [`target`]: where a server is.
//!
//! One arrow downward: the crate knows no part of the server under load.

pub mod event_stream;
pub mod http1;
pub mod ledger;
mod link;
pub mod marker;
pub mod protocol;
pub mod target;
pub mod tidewire;
pub mod websocket;
