//! The bounds that count whom they refuse, by name.
//!
//! Shape: one word for each, the key of `[limits]` without its table; it is the label of `tidewire_refused_total`.
//! Bound: this enum is all that the label can be.
//! Source: hazards part 1 rows 21 and 26.

/// A bound at which somebody was refused, cut or told to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    ConnectionsPerAddress,
    ConnectionsTotal,
    SessionsPerAddress,
    SessionsTotal,
    SessionsPerSubject,
    PublishesPerSecond,
    FramesPerSecond,
    Http2ControlFramesPerSecond,
    EventMaxBytes,
    BatchMaxBytes,
    HandshakeTimeout,
    HeaderTimeout,
    BodyTimeout,
    WriteTimeout,
    AuthTimeout,
}

impl Limit {
    /// The key of `[limits]`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ConnectionsTotal => "connections_total",
            Self::SessionsPerAddress => "sessions_per_address",
            Self::SessionsTotal => "sessions_total",
            Self::SessionsPerSubject => "sessions_per_subject",
            Self::PublishesPerSecond => "publishes_per_second",
            Self::FramesPerSecond => "frames_per_second",
            Self::Http2ControlFramesPerSecond => "http2_control_frames_per_second",
            Self::EventMaxBytes => "event_max_bytes",
            Self::BatchMaxBytes => "batch_max_bytes",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::AuthTimeout => "auth_timeout",
        }
    }
}
