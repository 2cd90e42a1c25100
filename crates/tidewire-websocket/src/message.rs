//! What arrives: messages, and the one end.
//!
//! Shape: a message is whole, unmasked, inflated, and its text is UTF-8.
//! Bound: `message_max_bytes` of the codec; 125 bytes for the payload of a ping, a pong and a close.
//! Source: RFC 6455 sections 5.5, 5.6, 7.1.5 and 7.4.

use bytes::Bytes;

use crate::Violation;

/// A message of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Bytes),
    /// Wants a pong with the same bytes; [`Connection`](crate::Connection) has seen to it.
    Ping(Bytes),
    /// Answers a ping, or none.
    Pong(Bytes),
}

/// Nothing comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer's Close frame.
    Closed(Close),
    /// The peer broke the protocol or a bound.
    Violation(Violation),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Why the peer closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Its code; [`Close::NO_CODE`] when the frame had none.
    pub code: u16,
    /// Its reason; mostly empty.
    pub reason: String,
}

impl Close {
    /// Stands for a Close frame without a code. It never goes on the wire.
    pub const NO_CODE: u16 = 1005;

    /// Reads the payload of a Close frame.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            // RFC 6455 section 5.5.1: if there is a body, its first two bytes are the code.
            return match payload {
                [] => Ok(Self {
                    code: Self::NO_CODE,
                    reason: String::new(),
                }),
                _ => Err(Violation::protocol("a close frame of one byte")),
            };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Violation::protocol("a close code that may not be sent"));
        }
        let reason = str::from_utf8(reason)
            .map_err(|_invalid| Violation::data("a close reason that is not UTF-8"))?;
        Ok(Self {
            code,
            reason: reason.to_owned(),
        })
    }

    /// What can be said of a payload that is not whole yet.
    pub(crate) fn check_start(payload: &[u8]) -> Result<(), Violation> {
        match payload {
            [] | [_] => Ok(()),
            [_, _, reason @ ..] => {
                Self::parse(&payload[..2])?;
                match str::from_utf8(reason) {
                    Err(invalid) if invalid.error_len().is_some() => {
                        Err(Violation::data("a close reason that is not UTF-8"))
                    }
                    Ok(_) | Err(_) => Ok(()),
                }
            }
        }
    }
}

/// RFC 6455 section 7.4: 1004 is reserved, 1005, 1006 and 1015 are never sent, other codes below 3000 need the
/// registry, which has gone on to 1014 since; 3000 to 4999 are free.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_without_a_body_has_no_code() {
        assert_eq!(Close::parse(&[]).unwrap().code, Close::NO_CODE);
    }

    #[test]
    fn codes_that_may_not_be_sent_are_protocol_errors() {
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            let violation = Close::parse(&u16::to_be_bytes(code)).unwrap_err();
            assert_eq!(violation.code, Violation::PROTOCOL, "{code}");
        }
        for code in [1000, 1001, 1011, 1012, 1014, 3000, 4999] {
            assert_eq!(Close::parse(&u16::to_be_bytes(code)).unwrap().code, code);
        }
    }

    #[test]
    fn a_bad_reason_is_known_at_its_first_bad_byte() {
        let whole = [0x03, 0xe8, b'a', 0xe2, 0x82, 0xff, b'b'];
        for end in 0..=5 {
            assert_eq!(Close::check_start(&whole[..end]), Ok(()), "{end} bytes");
        }
        assert_eq!(
            Close::check_start(&whole[..6]).unwrap_err().code,
            Violation::DATA
        );
    }
}
