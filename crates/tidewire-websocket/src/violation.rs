//! What a peer did that ends the connection.
//!
//! Shape: the close code that goes on the wire, and a sentence for the log.
//! Source: RFC 6455 section 7.4.1.

/// The peer broke the protocol or a bound: the connection ends with this close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (close code {code})")]
pub struct Violation {
    /// 1002, 1007 or 1009.
    pub code: u16,
    /// Why, in words that may be sent as the reason.
    pub what: &'static str,
}

impl Violation {
    /// Protocol error: a frame that may not be, or not here.
    pub const PROTOCOL: u16 = 1002;
    /// Data that does not fit its type: text that is not UTF-8, deflate that does not inflate.
    pub const DATA: u16 = 1007;
    /// A message over the bound.
    pub const TOO_BIG: u16 = 1009;

    pub(crate) const fn protocol(what: &'static str) -> Self {
        Self {
            code: Self::PROTOCOL,
            what,
        }
    }

    pub(crate) const fn data(what: &'static str) -> Self {
        Self {
            code: Self::DATA,
            what,
        }
    }

    pub(crate) const fn too_big(what: &'static str) -> Self {
        Self {
            code: Self::TOO_BIG,
            what,
        }
    }
}
