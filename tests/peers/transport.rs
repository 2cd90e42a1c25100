//! How a subscriber is reached.

/// By the same words for every server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Sse,
    /// SSE as streams of shared HTTP/2 connections; only Tidewire has it.
    Streams,
    Poll,
}

impl Transport {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 4] = [Self::WebSocket, Self::Sse, Self::Streams, Self::Poll];

    /// As `--transport` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Streams => "h2",
            Self::Poll => "poll",
        }
    }

    /// As tables and results show it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::WebSocket => "WebSocket",
            Self::Sse => "SSE",
            Self::Streams => "SSE, HTTP/2",
            Self::Poll => "long-poll",
        }
    }
}
