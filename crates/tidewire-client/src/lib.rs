//! The Rust client of a Tidewire gateway: publishes, subscribes over any transport, falls back, resumes.
//!
//! Read in this order: `client.rs` (the way in), `publish.rs`, `subscription.rs` (the loop), `connection.rs` (its
//! states, I/O-free) with `fallback.rs`, `backoff.rs` and `seen.rs`; `request.rs` and `transport.rs` with one file for
//! each transport; `gateway.rs` and `tls.rs` (how to reach and whom to trust); `error.rs` (what went wrong, and whether
//! to try again).
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use tidewire_client::{Client, Item, NewEvent};
//!
//! let client = Client::builder("https://localhost:8443").insecure(true).build()?;
//! client.publish(&NewEvent::json("orders.eu.42", &7)?).await?;
//! let mut orders = client.subscribe(["orders.>"]).last(10).open();
//! while let Some(item) = orders.next().await {
//!     if let Item::Event(event) = item? {
//!         println!("{}", event.json);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
mod client;
mod connection;
mod error;
mod fallback;
mod gateway;
mod publish;
mod request;
mod seen;
mod subscription;
mod tls;
mod transport;

pub use backoff::Backoff;
pub use client::{Client, ClientBuilder};
pub use connection::Item;
pub use error::ClientError;
pub use publish::NewEvent;
pub use request::{Request, Start};
pub use subscription::{Subscription, SubscriptionBuilder};
pub use tidewire_protocol::{
    Code, Gap, GapReason, Problem, PublishAnswer, PublishElement, ReceivedEvent, Retry,
};
pub use transport::{Connection, Frame, Opened, Transport, TransportChoice};
