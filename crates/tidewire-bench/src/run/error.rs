//! Why a run gives no report: the plan's fault, the machine's, or the server's.

use std::time::Duration;

use crate::{plan::BadPlan, protocol::Fault};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The plan cannot work.
    #[error(transparent)]
    Plan(#[from] BadPlan),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// More connections than files may be open.
    #[error("{wanted} connections need more open files than {max}: raise the limit with ulimit -n")]
    OpenFiles {
        /// Connections, and some.
        wanted: u64,
        /// The limit.
        max: u64,
    },
    /// Not all could subscribe.
    #[error("{connected} of {subscribers} subscribed within {waited:?}; {reasons}")]
    Connect {
        /// Those that did.
        connected: u64,
        /// All.
        subscribers: u64,
        /// How long.
        waited: Duration,
        /// Why the others did not.
        reasons: String,
    },
    /// A publisher could not begin, or its connection broke.
    #[error("publishing ended: {0}")]
    Publish(Fault),
}
