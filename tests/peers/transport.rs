//! How a subscriber is reached.

/// The three that the table compares, by the same words for every server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Sse,
    Poll,
}

impl Transport {
    /// As tables and results show it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::WebSocket => "WebSocket",
            Self::Sse => "SSE",
            Self::Poll => "long-poll",
        }
    }
}
