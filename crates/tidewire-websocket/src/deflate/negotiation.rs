//! Offers of `permessage-deflate`, and what both sides agree to.
//!
//! Shape: a server reads offers, chooses one and answers; a client makes one offer and reads the answer. Both always
//! end in `server_no_context_takeover` and `client_no_context_takeover`.
//! Failure: an offer with an unknown, repeated or bad-valued parameter is declined; an answer with one ends the handshake.
//! Source: RFC 7692 sections 5 and 7.1.

use crate::handshake::Extension;

/// One valid offer of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The server shall not take its context over.
    pub server_no_context_takeover: bool,
    /// The client will not take its context over.
    pub client_no_context_takeover: bool,
    /// The server's window shall be at most 2 to this power.
    pub server_max_window_bits: Option<u8>,
    /// The client understands a bound on its own window; with a value, it stays within that anyway.
    pub client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    /// What our client offers.
    pub(crate) const OURS: &'static str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    /// `None`: another extension, or an offer to decline.
    pub(crate) fn of(extension: &Extension) -> Option<Self> {
        if !extension.name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut offer = Self::default();
        for (name, value) in &extension.parameters {
            let value = value.as_deref();
            match name.as_str() {
                SERVER_NO_CONTEXT => set_flag(&mut offer.server_no_context_takeover, value)?,
                CLIENT_NO_CONTEXT => set_flag(&mut offer.client_no_context_takeover, value)?,
                SERVER_BITS => set(&mut offer.server_max_window_bits, window_bits(value?)?)?,
                CLIENT_BITS => {
                    let bits = match value {
                        Some(value) => Some(window_bits(value)?),
                        None => None,
                    };
                    set(&mut offer.client_max_window_bits, bits)?;
                }
                _ => return None,
            }
        }
        Some(offer)
    }
}

/// The first offer: every valid one can be kept.
#[must_use]
pub fn choose(offers: &[Offer]) -> Option<Agreed> {
    offers.first().map(|offer| Agreed {
        window_bits: offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX),
        is_bounded: offer.server_max_window_bits.is_some(),
    })
}

/// What both sides agreed to. Neither takes its context over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Of what this side sends.
    window_bits: u8,
    /// The offer named it, so the answer does.
    is_bounded: bool,
}

impl Agreed {
    /// Whether a compressed frame of a payload of so many bytes may be sent here.
    ///
    /// It was made with the largest window. No distance in it is longer than the payload, so a payload that fits
    /// the agreed window was as good as made with it. A longer one goes uncompressed, as each message may.
    #[must_use]
    pub fn fits(self, payload_bytes: usize) -> bool {
        self.window_bits == WINDOW_BITS_MAX || payload_bytes <= 1 << self.window_bits
    }

    /// The value of the server's `Sec-WebSocket-Extensions`.
    ///
    /// `client_no_context_takeover` needs no offer (RFC 7692 section 7.1.1.2), and `client_max_window_bits` no answer
    /// (section 7.1.2.2): the largest window is inflated anyway.
    #[must_use]
    pub fn answer(self) -> String {
        let mut answer = Offer::OURS.to_owned();
        if self.is_bounded {
            answer.push_str(&format!("; {SERVER_BITS}={}", self.window_bits));
        }
        answer
    }

    /// What a server answered to [`Offer::OURS`]. `None`: that was not offered.
    pub(crate) fn of_answer(extension: &Extension) -> Option<Self> {
        let answer = Offer::of(extension)?;
        // RFC 7692 section 7.1.1.1: to accept the offer is to repeat it. Section 7.1.2.2: no bound without an offer.
        let is_kept = answer.server_no_context_takeover && answer.client_max_window_bits.is_none();
        is_kept.then_some(Self {
            window_bits: WINDOW_BITS_MAX,
            is_bounded: false,
        })
    }
}

/// Once, and without a value.
fn set_flag(flag: &mut bool, value: Option<&str>) -> Option<()> {
    let is_first = !std::mem::replace(flag, true);
    (is_first && value.is_none()).then_some(())
}

/// Once.
fn set<T>(parameter: &mut Option<T>, value: T) -> Option<()> {
    parameter.replace(value).is_none().then_some(())
}

/// RFC 7692 section 7.1.2: 8 to 15, in decimal digits without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    (8..=WINDOW_BITS_MAX).find(|bits| bits.to_string() == value)
}

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";
const WINDOW_BITS_MAX: u8 = 15;
