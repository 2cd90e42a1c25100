//! Tidewire's wire contract as pure data and codecs.
//!
//! The nouns, in the order in which to read: [`Topic`] and [`Pattern`] name streams, [`Cursor`] is a
//! place in the log, [`Event`] is one datum with its one encoding, [`Gap`] tells of loss, [`Problem`] and
//! [`CloseReason`] are the two tables of what goes wrong. Upon these stand what comes in,
//! [`SubscribeQuery`], [`PublishRequest`] and [`ClientFrame`], and what goes out: [`encode_poll`],
//! [`ServerFrame`] and [`event_stream`].
//!
//! **Invariant:** no I/O, no clock, no task, no randomness. Nothing from the network panics: what does
//! not fit is an error value that names the mistake.
//!
//! Source: `PROTOCOL.md` in this crate, with the golden fixtures beside it.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")
)]

mod close;
mod cursor;
mod elements;
mod event;
pub mod event_stream;
mod frame;
mod gap;
mod notice;
mod pattern;
mod payload;
mod poll;
mod problem;
mod publish;
mod query;
mod server_frame;
mod subscribe;
mod text;
mod topic;

pub use close::{CloseReason, Retry};
pub use cursor::{Cursor, CursorError, Epoch, StartAt};
pub use event::{
    Event, EventBody, EventData, EventParts, EventType, EventTypeError, ReceivedEvent,
};
pub use frame::{ClientFrame, FrameError, REF_MAX_BYTES};
pub use gap::{Gap, GapReason};
pub use notice::{Bye, Hb, Hello};
pub use pattern::Pattern;
pub use payload::{Payload, PayloadError};
pub use poll::{ReceivedPoll, encode_poll};
pub use problem::{Code, Problem, UnknownCode};
pub use publish::{
    KEY_MAX_BYTES, OneOrMany, Publish, PublishAnswer, PublishElement, PublishRequest,
    idempotency_key,
};
pub use query::QueryError;
pub use server_frame::{ReceivedError, ReceivedFrame, ReceivedOk, ServerFrame};
pub use subscribe::{HistoryQuery, SubscribeQuery};
pub use topic::{Topic, TopicError};
