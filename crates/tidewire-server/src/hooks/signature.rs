//! The proof that a question comes from this gateway.
//!
//! Shape: `t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 under `hooks.secret` of the time, a dot and the body.
//! Unit: whole seconds since the Unix epoch. A backend compares them with its clock, so that a recorded question is of no
//! use later; each attempt is signed anew.
//! Failure: none; a key of any length works.
//! Source: RFC 2104; protocol document, "Hooks".

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header that carries it.
pub(super) const HEADER: &str = "tidewire-signature";

/// The value of the header for this body at this time.
pub(super) fn sign(secret: &[u8], seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut value = format!("t={seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        write!(value, "{byte:02x}").expect("a String takes every write");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a backend in another language comes to the same. Method: the vector was made with Python's `hmac`.
    #[test]
    fn the_signature_is_the_one_that_another_implementation_makes() {
        let body =
            br#"{"hook":"connect","transport":"sse","address":"192.0.2.7","topics":["orders.>"]}"#;
        assert_eq!(
            sign(b"whsec-0123456789abcdef", 1_795_235_358, body),
            "t=1795235358,v1=48848fa24215d6a7f0c512164259cd5b27c1b22716898fa38bbf4f99102cc4da"
        );
    }
}
