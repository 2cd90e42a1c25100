//! What new handshakes are done with: rustls' configuration, which may change while the listeners run.
//!
//! Shape: one `Arc` behind a lock. A connection takes it once, at its handshake, and keeps it: a change concerns only those
//! who come later.
//! Failure: none. What cannot be used never gets in here.
//! Source: hazards part 2 row 17.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

/// The configuration of the next handshake. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Handshakes {
    /// Std lock: held for one clone of an `Arc`, never across an await.
    next: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Handshakes {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self {
            next: Arc::new(RwLock::new(config)),
        }
    }

    /// For one handshake.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let next = self.next.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&next)
    }

    /// For all that begin from now on. What was remembered for resuming goes with the old one, so nobody comes back in under
    /// rules that are no longer in force.
    pub(super) fn change(&self, config: Arc<ServerConfig>) {
        *self.next.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}
