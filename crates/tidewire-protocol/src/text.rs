//! Types that are text on the wire: one way to write and read them with serde.
//!
//! Shape: a macro for types with `Display` and `FromStr`, and a few helpers for borrowed JSON members.
//! Failure: text that does not parse is a serde error with the parser's own message.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use serde::{Deserialize, Deserializer, de::Visitor};
use serde_json::value::RawValue;

use crate::{Code, Problem};

/// Serialize by `Display`, deserialize by `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

/// A JSON string that borrows from its source where it has no escapes, also inside an `Option`.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A member that is present stays present: without this, `"data":null` would read as no `data`.
pub(crate) fn present<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// As [`present`], for members that outlive their source.
pub(crate) fn present_boxed<'de, D>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error>
where
    D: Deserializer<'de>,
{
    <Box<RawValue>>::deserialize(deserializer).map(Some)
}

/// A member that must be a string.
pub(crate) fn string<'a>(name: &str, raw: &'a RawValue) -> Result<Cow<'a, str>, Problem> {
    let text: Result<Text<'a>, _> = serde_json::from_str(raw.get());
    text.map(|text| text.0).map_err(|_| {
        Problem::new(
            Code::BadRequest,
            format!("\"{name}\" takes a string of Unicode text"),
        )
    })
}

/// The text of a JSON string; `None` for any other JSON value.
///
/// JSON can hold half a surrogate pair (`"\ud800"`), text cannot: it becomes U+FFFD, as in a browser.
pub(crate) fn json_string_lossy(json: &str) -> Option<String> {
    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }

    if !json.starts_with('"') {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    // As bytes, serde_json gives half a pair in the three bytes of generalized UTF-8: ED A0..BF xx.
    let bytes = reader.deserialize_bytes(Bytes).ok()?;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // Of those three bytes only the first begins a sequence; one replacement for all of them.
        if chunk.invalid().first() == Some(&0xed) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Some(text)
}

/// For members that are left out when they say nothing.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde wants"
)]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}

/// For members that are left out when they count nothing.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde wants"
)]
pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Foreign text for an error message: escaped to ASCII and cut, so that it can forge nothing in a log.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(SHOWN_MAX_CHARACTERS) {
        write!(shown, "{}", character.escape_default()).expect("a String takes every write");
    }
    if characters.next().is_some() {
        shown.push_str("...");
    }
    shown
}

/// Long enough to recognize a level, short enough for one line of a log.
const SHOWN_MAX_CHARACTERS: usize = 40;
