//! A cursor: a place in the log, as text that clients do not look into.
//!
//! Shape: `epoch-<n><digits>`; `n` is the number of digits as one base-36 character, so that the ids of
//! one epoch sort as text in log order. `k3f9-41042` is place 1042 of epoch `k3f9`.
//! Unit: places count from 0, which lies before the first event.
//! Bound: 38 bytes, of the 64 that the wire allows. Each place has exactly one text.
//! Failure: any other text is a [`CursorError`], never a guess.
//! Source: protocol sections 1, 2 and 3.

use std::{fmt, str::FromStr};

use crate::text::serde_as_text;

/// What changes when the log's history is not a continuation of the old one: 1 to 16 of `0-9 a-z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// The text, then zeros: equal epochs are equal arrays.
    text: [u8; Self::MAX_BYTES],
    length: u8,
}

impl Epoch {
    /// The longest epoch, in bytes.
    pub const MAX_BYTES: usize = 16;

    /// Reads an epoch.
    ///
    /// # Errors
    /// The text is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let bytes = text.as_bytes();
        let fits = (1..=Self::MAX_BYTES).contains(&bytes.len());
        if !fits
            || !bytes
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
        {
            return Err(CursorError);
        }
        let mut epoch = Self {
            text: [0; Self::MAX_BYTES],
            length: 0,
        };
        for (place, byte) in epoch.text.iter_mut().zip(bytes) {
            *place = *byte;
            epoch.length += 1;
        }
        Ok(epoch)
    }

    /// The epoch as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = &self.text[..usize::from(self.length)];
        std::str::from_utf8(text).expect("an epoch holds only ASCII")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.as_str())
    }
}

impl FromStr for Epoch {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        Self::parse(text)
    }
}

serde_as_text!(Epoch);

/// A place in the log: everything at or before it has been seen.
///
/// There is no order between cursors, because places of two epochs cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which history the place belongs to.
    pub epoch: Epoch,
    /// How many events the log had given places to, this one included.
    pub place: u64,
}

impl Cursor {
    /// The longest text that the wire allows, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The place in the epoch.
    #[must_use]
    pub fn new(epoch: Epoch, place: u64) -> Self {
        Self { epoch, place }
    }

    /// Reads a cursor in its one form.
    ///
    /// # Errors
    /// The text is not what [`Display`](fmt::Display) writes for some cursor.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (epoch, rest) = text.split_once('-').ok_or(CursorError)?;
        let epoch = Epoch::parse(epoch)?;
        let (&count, digits) = rest.as_bytes().split_first().ok_or(CursorError)?;
        let wanted = PLACE_DIGITS
            .iter()
            .position(|&mark| mark == count)
            .ok_or(CursorError)?;
        // Without leading zeros each place has one text, and equal cursors are equal texts.
        let canonical = digits.len() == wanted + 1 && (digits[0] != b'0' || digits.len() == 1);
        if !canonical || !digits.iter().all(u8::is_ascii_digit) {
            return Err(CursorError);
        }
        let mut place = 0_u64;
        for digit in digits {
            place = place
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(digit - b'0')))
                .ok_or(CursorError)?;
        }
        Ok(Self { epoch, place })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.place.checked_ilog10().unwrap_or(0) as usize;
        let count = char::from(PLACE_DIGITS[digits]);
        write!(f, "{}-{count}{}", self.epoch, self.place)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        Self::parse(text)
    }
}

serde_as_text!(Cursor);

/// Where a subscriber wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartAt {
    /// At the head: only what is published from here on.
    Now,
    /// At the oldest retained event.
    Start,
    /// After this place.
    After(Cursor),
    /// With the newest N retained matching events; 0 is `Now`.
    Last(u32),
}

impl StartAt {
    /// The largest N of `last`.
    pub const LAST_MAX: u32 = 1000;

    /// Reads the value of `after`: a cursor, `now` or `start`.
    ///
    /// # Errors
    /// None of the three.
    pub fn from_after(text: &str) -> Result<Self, CursorError> {
        match text {
            "now" => Ok(Self::Now),
            "start" => Ok(Self::Start),
            cursor => Cursor::parse(cursor).map(Self::After),
        }
    }
}

/// The text is no cursor that this gateway could have given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a cursor: take one from an event's id, a hello, a heartbeat or a poll answer as it is"
)]
pub struct CursorError;

/// The mark for one digit, for two, … for the twenty of the largest place.
const PLACE_DIGITS: &[u8; 20] = b"123456789abcdefghijk";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(text: &str) -> Result<Cursor, CursorError> {
        Cursor::parse(text)
    }

    #[test]
    fn the_digit_count_stands_in_front() {
        let epoch = Epoch::parse("k3f9").unwrap();
        for (place, text) in [
            (0, "k3f9-10"),
            (7, "k3f9-17"),
            (10, "k3f9-210"),
            (1042, "k3f9-41042"),
            (1_000_000_000, "k3f9-a1000000000"),
            (u64::MAX, "k3f9-k18446744073709551615"),
        ] {
            assert_eq!(Cursor::new(epoch, place).to_string(), text);
            assert_eq!(cursor(text), Ok(Cursor::new(epoch, place)));
        }
    }

    #[test]
    fn other_texts_are_no_cursors() {
        for text in [
            "",
            "-",
            "k3f9",
            "k3f9-",
            "-10",
            "k3f9-1",
            "k3f9-0",
            "k3f9-00",
            "k3f9-201",
            "k3f9-2",
            "k3f9-11042",
            "k3f9-51042",
            "K3f9-10",
            "k3f9--10",
            "k3f9-10 ",
            " k3f9-10",
            "k3f9-1+",
            "k3f9-k18446744073709551616",
            "k3f9-k99999999999999999999",
            "now",
            "a b-10",
            "abcdefghijklmnopq-10",
            "k3f9-1\u{661}",
        ] {
            assert_eq!(cursor(text), Err(CursorError), "{text:?}");
        }
    }

    #[test]
    fn after_is_a_cursor_or_a_word() {
        assert_eq!(StartAt::from_after("now"), Ok(StartAt::Now));
        assert_eq!(StartAt::from_after("start"), Ok(StartAt::Start));
        let place = cursor("e-15").unwrap();
        assert_eq!(StartAt::from_after("e-15"), Ok(StartAt::After(place)));
        assert_eq!(StartAt::from_after("Now"), Err(CursorError));
        assert_eq!(StartAt::from_after(""), Err(CursorError));
    }

    fn any_place() -> impl Strategy<Value = u64> {
        // Every number of digits alike: plain random numbers nearly all have nineteen or twenty.
        prop_oneof![
            any::<u64>(),
            (0_u32..64, any::<u64>()).prop_map(|(shift, n)| n >> shift)
        ]
    }

    proptest! {
        #[test]
        fn every_cursor_comes_back(epoch in "[0-9a-z]{1,16}", place in any_place()) {
            let whole = Cursor::new(Epoch::parse(&epoch).unwrap(), place);
            let text = whole.to_string();
            prop_assert!(text.len() <= Cursor::MAX_BYTES);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            prop_assert_eq!(cursor(&text), Ok(whole));
            let json = serde_json::to_string(&whole).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), whole);
        }

        #[test]
        fn text_order_is_log_order(a in any_place(), b in any_place()) {
            let epoch = Epoch::parse("k3f9").unwrap();
            let (x, y) = (Cursor::new(epoch, a).to_string(), Cursor::new(epoch, b).to_string());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }

        #[test]
        fn what_parses_is_canonical(text in "\\PC{0,40}") {
            if let Ok(parsed) = cursor(&text) {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }

        #[test]
        fn one_changed_byte_is_refused_or_another_canonical_cursor(
            place in any_place(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = Cursor::new(Epoch::parse("0z").unwrap(), place).to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes)
                && let Ok(parsed) = cursor(&text)
            {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }
    }
}
