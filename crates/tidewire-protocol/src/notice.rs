//! What the gateway tells a session beside events and gaps: hello, heartbeat, goodbye.
//!
//! Shape: the same members in a WebSocket frame (with `op` in front) and in an SSE block.
//! Unit: milliseconds.
//! Source: protocol sections 3.1 and 3.3.

use serde::{Deserialize, Serialize};

use crate::{
    CloseReason,
    text::{is_false, is_zero},
};

/// The first thing on a stream: a cursor before any event, so that a cut loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who this session is, for logs and the console.
    pub session: String,
    /// A safe place to resume.
    pub cursor: String,
    /// Whether a cursor was given and nothing was lost since.
    pub resumed: bool,
    /// After how much silence a heartbeat comes.
    pub heartbeat_ms: u64,
}

/// Sent in silence, so that both sides know that the line is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hb {
    /// A safe place to resume.
    pub cursor: String,
    /// How many events conflation left out since the last one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Whether the node has lost its engine.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

impl Hb {
    /// A heartbeat that says no more than where the session is.
    #[must_use]
    pub fn at(cursor: impl Into<String>) -> Self {
        Self {
            cursor: cursor.into(),
            skipped: 0,
            stale: false,
        }
    }
}

/// The last thing on a stream that the gateway ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// The close code, whatever the transport.
    pub code: u16,
    /// The words beside it.
    #[serde(default)]
    pub reason: String,
    /// When to come back, where one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

impl Bye {
    /// The goodbye for a reason; the pause is the caller's, jittered.
    #[must_use]
    pub fn new(reason: CloseReason, retry_ms: Option<u64>) -> Self {
        Self {
            code: reason.code(),
            reason: reason.reason().to_owned(),
            retry_ms,
        }
    }
}
