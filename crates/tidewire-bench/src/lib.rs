//! A load generator for realtime gateways: the same load, the same clock and the same counts for every server.
//!
//! Read in this order:
//! - [`plan`] says what happens, [`run()`] makes it happen, [`report`] is what comes out.
//! - [`protocol`]: what differs from server to server, as traits over bytes; [`tidewire`] implements them, with the helpers
//!   [`http1`], [`websocket`] and [`event_stream`].
//! - [`marker`] and [`ledger`]: how an arrival is recognised in a stream of bytes and what is counted of it.
//! - `worker` subscribes, `publish` publishes, `link` is one connection, `gate` bounds what is on its way at full speed.
//! - [`target`]: where a server is. [`process`]: what it uses.
//!
//! One arrow downward: the crate knows no part of the server under load.

mod board;
pub mod event_stream;
mod gate;
pub mod http1;
pub mod ledger;
mod link;
pub mod marker;
pub mod plan;
pub mod process;
pub mod protocol;
mod publish;
pub mod report;
mod run;
mod tally;
pub mod target;
pub mod tidewire;
pub mod websocket;
mod worker;

pub use run::{Progress, RunError, run};
