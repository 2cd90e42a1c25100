//! Close reasons: why a session ends, the one table of close codes and of what the client does next.
//!
//! Shape: a reason has a code for the WebSocket close frame and for `bye`, a word, and retry advice. The
//! band of a code gives the advice, so that a client understands codes that are younger than itself.
//! Source: protocol section 3.3; RFC 6455 section 7.4.

use std::fmt;

/// Why a session ends. Nothing else ends one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Both sides are done.
    Done,
    /// The gateway stops, or the page is left.
    GoingAway,
    /// The bytes break RFC 6455.
    ProtocolError,
    /// A binary message, where only text is taken.
    Unsupported,
    /// A text message is not UTF-8.
    BadUtf8,
    /// A message is larger than an event may be plus 16 KiB.
    TooBig,
    /// A frame is not a JSON object.
    BadFrame,
    /// No credentials came in time, or they are wrong.
    Unauthorized,
    /// The credentials do not allow it.
    Forbidden,
    /// An operator ended the session.
    Kicked,
    /// No room for another session.
    OverCapacity,
    /// Too many frames in too short a time.
    RateLimited,
    /// The subscriber did not read for the whole write limit.
    TooSlow,
    /// Two heartbeats without an answer.
    HeartbeatTimeout,
    /// The token expired and was not refreshed.
    TokenExpired,
    /// The node is being drained; another, or the next start, goes on.
    Draining,
}

/// What a client does after a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Do not come back: the same would happen again.
    Never,
    /// Come back after a growing, jittered pause.
    BackOff,
    /// Come back with the cursor; a short jittered wait is enough.
    Resume,
}

impl CloseReason {
    /// The one table.
    const TABLE: [(Self, u16, &'static str); 16] = [
        (Self::Done, 1000, "done"),
        (Self::GoingAway, 1001, "going away"),
        (Self::ProtocolError, 1002, "protocol error"),
        (Self::Unsupported, 1003, "unsupported data"),
        (Self::BadUtf8, 1007, "bad utf-8"),
        (Self::TooBig, 1009, "too big"),
        (Self::BadFrame, 4000, "bad frame"),
        (Self::Unauthorized, 4001, "unauthorized"),
        (Self::Forbidden, 4003, "forbidden"),
        (Self::Kicked, 4004, "kicked"),
        (Self::OverCapacity, 4100, "over capacity"),
        (Self::RateLimited, 4101, "rate limited"),
        (Self::TooSlow, 4200, "too slow"),
        (Self::HeartbeatTimeout, 4201, "heartbeat timeout"),
        (Self::TokenExpired, 4202, "token expired"),
        (Self::Draining, 4203, "draining"),
    ];

    /// All reasons, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    /// The code in the close frame and in `bye`.
    #[must_use]
    pub fn code(self) -> u16 {
        self.row().1
    }

    /// The words beside the code.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.row().2
    }

    /// What the client does next.
    #[must_use]
    pub fn retry(self) -> Retry {
        Retry::from_code(self.code())
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        let row = Self::TABLE.iter().find(|row| row.1 == code);
        row.map(|row| row.0)
    }

    fn row(self) -> &'static (Self, u16, &'static str) {
        // The table has the order of the enum; a test holds them together.
        &Self::TABLE[self as usize]
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Retry {
    /// The advice for any close code, known or not.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        match code {
            // RFC 6455 section 7.4.1: 1008 and 1010 are the client's to mend, like the others here.
            1000 | 1002 | 1003 | 1007..=1010 | 4000..=4099 => Self::Never,
            4100..=4199 => Self::BackOff,
            1001 | 4200..=4299 => Self::Resume,
            // 1005, 1006, 1011 to 1015 and what is not ours: the line was cut or something in
            // between failed. The cursor is still good, the other side perhaps not at once.
            _ => Self::BackOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_order_of_the_enum_and_each_code_once() {
        for (index, reason) in CloseReason::all().enumerate() {
            assert_eq!(reason as usize, index);
            assert_eq!(CloseReason::from_code(reason.code()), Some(reason));
            // RFC 6455 section 5.5: a close frame holds 125 bytes, two of them the code.
            assert!(reason.reason().len() <= 123);
        }
        assert_eq!(CloseReason::from_code(4002), None);
    }

    #[test]
    fn the_band_says_what_to_do() {
        for (code, retry) in [
            (1000, Retry::Never),
            (1001, Retry::Resume),
            (1006, Retry::BackOff),
            (1009, Retry::Never),
            (1011, Retry::BackOff),
            (4000, Retry::Never),
            (4099, Retry::Never),
            (4100, Retry::BackOff),
            (4199, Retry::BackOff),
            (4200, Retry::Resume),
            (4299, Retry::Resume),
            (0, Retry::BackOff),
            (u16::MAX, Retry::BackOff),
        ] {
            assert_eq!(Retry::from_code(code), retry, "{code}");
        }
        assert_eq!(CloseReason::Draining.retry(), Retry::Resume);
    }
}
