//! WebSocket at the limit: RFC 6455 and RFC 7692 over bytes, for both roles, and a thin shell over an upgraded connection.
//!
//! The nouns, in the order in which to read:
//! - [`handshake`]: the opening, on the types of `http`; HTTP/1.1 Upgrade and HTTP/2 extended CONNECT;
//! - [`frame`]: headers and whole frames; a frame is encoded once and shared by thousands of sockets as [`bytes::Bytes`];
//! - [`deflate`]: `permessage-deflate` without context: what was compressed once fits every socket that agreed to it;
//! - [`Codec`]: bytes in, [`Message`]s out, or an [`End`]; strict, bounded, without I/O;
//! - [`Connection`]: the codec over any `AsyncRead + AsyncWrite`; it owns no buffer while nothing moves.
//!
//! Invariants: all but [`Connection`] does no I/O, reads no clock and spawns nothing. Nothing from the network panics.
//! Between messages neither the codec nor the connection holds a buffer.
//!
//! The crate exists because no library takes a frame that is already encoded (or compressed) and shared.

mod codec;
mod connection;
pub mod deflate;
pub mod frame;
pub mod handshake;
mod mask;
mod message;
mod violation;

pub use codec::{Codec, Decoded, Role, Settings};
pub use connection::{Connection, Ended};
pub use message::{Close, End, Message};
pub use violation::Violation;
