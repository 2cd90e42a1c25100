//! Tidewire's one log. Every subscriber is a cursor over it.
//!
//! Read in this order: [`engine`] orders events and keeps them, `log` holds the newest in memory
//! and knows whom each concerns (`interest`), [`Session`] is one subscriber, [`Bus`] ties them.

mod bus;
mod clock;
#[cfg(feature = "testing")]
pub mod contract;
mod encoded;
pub mod engine;
mod epoch;
mod events;
mod idempotency;
mod interest;
mod lock;
mod log;
mod retention;
mod session;
mod sync;
#[cfg(test)]
mod testing;

pub use bus::{Bus, BusConfig, BusStats, FLUSH_INTERVAL_MAX, HistoryPage, HistoryRead, TopicInfo};
pub use clock::{Clock, Now};
pub use encoded::{Encoded, Form};
pub use engine::disk::{DiskConfig, DiskEngine, Durability, OpenError};
pub use engine::memory::{MemoryConfig, MemoryEngine};
pub use engine::{Append, AppendError, Appended, Engine, IdempotencyKey, ReadError};
pub use events::Events;
pub use idempotency::DEFAULT_WINDOW as IDEMPOTENCY_WINDOW;
pub use retention::{Retention, RetentionRule, RetentionTable};
pub use session::{Batch, Session, SessionOptions, Subscribed};
