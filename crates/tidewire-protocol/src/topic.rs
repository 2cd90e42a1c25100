//! A topic: the name of a stream of events.
//!
//! Shape: levels separated by `.`, each one or more of `A-Z a-z 0-9 _ - : @ = ~`. Parsed once, valid
//! ever after; a clone shares the text.
//! Unit: bytes of ASCII, so one byte is one character.
//! Bound: [`Topic::MAX_BYTES`].
//! Failure: [`TopicError`] names the level that does not fit. Nothing is normalised or repaired.
//! Source: protocol section 1.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::text::{serde_as_text, shown};

/// The name of a stream of events, such as `orders.eu.42`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The longest topic and the longest pattern, in bytes.
    pub const MAX_BYTES: usize = 200;

    /// Reads a topic; nothing is normalised.
    ///
    /// # Errors
    /// The first level that breaks a rule, or the length.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_length(text)?;
        for (index, level) in text.split('.').enumerate() {
            if level == "*" || level == ">" {
                return Err(TopicError::Wildcard {
                    number: index + 1,
                    level: level.to_owned(),
                });
            }
            check_level(level, index)?;
        }
        Ok(Self(text.into()))
    }

    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels from left to right; there is at least one.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.0.split('.')
    }

    /// Whether the name begins with `$`: the gateway's own, where nobody may publish.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.0)
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::parse(text)
    }
}

serde_as_text!(Topic);

/// Why a text is no topic or no pattern: the caller's mistake, not to be repeated.
///
/// The level is shown escaped and shortened; `number` counts levels from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// No text at all.
    #[error(
        "a topic is not empty; it has levels separated by \".\", each one or more of {ALPHABET}"
    )]
    Empty,
    /// More than [`Topic::MAX_BYTES`].
    #[error("\"{start}\" has {bytes} bytes; a topic has at most {max}", max = Topic::MAX_BYTES)]
    TooLong {
        /// The length that was found.
        bytes: usize,
        /// How the name begins.
        start: String,
    },
    /// Two dots in a row, or a dot at an end.
    #[error("level {number} \"\" is empty; a level is one or more of {ALPHABET}")]
    EmptyLevel {
        /// Which level.
        number: usize,
    },
    /// A character outside the alphabet, or `$` elsewhere than in front of the first level.
    #[error(
        "level {number} \"{level}\" does not fit; a level is one or more of {ALPHABET} (\"$\" only in front of the whole name)"
    )]
    BadLevel {
        /// Which level.
        number: usize,
        /// The level itself.
        level: String,
    },
    /// `*` or `>` where one exact topic is wanted.
    #[error("level {number} \"{level}\" is a wildcard; here is one exact topic wanted")]
    Wildcard {
        /// Which level.
        number: usize,
        /// `*` or `>`.
        level: String,
    },
    /// `>` before the last level of a pattern.
    #[error("level {number} \">\" stands before others; \">\" may only be the last level")]
    TailNotLast {
        /// Which level.
        number: usize,
    },
}

/// The bounds that topics and patterns share.
pub(crate) fn check_length(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > Topic::MAX_BYTES {
        return Err(TopicError::TooLong {
            bytes: text.len(),
            start: shown(text),
        });
    }
    Ok(())
}

/// One level that is no wildcard.
pub(crate) fn check_level(level: &str, index: usize) -> Result<(), TopicError> {
    let number = index + 1;
    if level.is_empty() {
        return Err(TopicError::EmptyLevel { number });
    }
    let name = match level.strip_prefix('$') {
        Some(rest) if index == 0 => rest,
        _ => level,
    };
    if name.is_empty() || !name.bytes().all(is_level_byte) {
        return Err(TopicError::BadLevel {
            number,
            level: shown(level),
        });
    }
    Ok(())
}

fn is_level_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'@' | b'=' | b'~')
}

const ALPHABET: &str = "A-Z a-z 0-9 _ - : @ = ~";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_levels_of_the_alphabet() {
        for text in ["a", "orders.eu.42", "A-Z_a:b@c=d~e.0", "$presence.a.b", "-"] {
            let topic = Topic::parse(text).unwrap();
            assert_eq!(topic.as_str(), text);
            assert_eq!(topic.is_reserved(), text.starts_with('$'));
        }
        assert_eq!(Topic::parse("a.b.c").unwrap().levels().count(), 3);
    }

    #[test]
    fn anything_else_is_refused_and_the_level_is_named() {
        let cases = [
            ("", "not empty"),
            (".", "level 1 \"\""),
            ("a..b", "level 2 \"\""),
            ("a.", "level 2 \"\""),
            ("a/../b", "level 1 \"a/\""),
            ("a.%2e", "level 2 \"%2e\""),
            ("a.b c", "level 2 \"b c\""),
            ("a.\u{e9}", "level 2 \"\\u{e9}\""),
            ("a.e\u{301}", "level 2 \"e\\u{301}\""),
            ("a\0", "level 1 \"a\\u{0}\""),
            ("a.*", "level 2 \"*\" is a wildcard"),
            (">", "level 1 \">\" is a wildcard"),
            ("a.b>", "level 2 \"b>\""),
            ("$", "level 1 \"$\""),
            ("$$a", "level 1 \"$$a\""),
            ("a.$b", "level 2 \"$b\""),
            ("a$", "level 1 \"a$\""),
        ];
        for (text, part) in cases {
            let message = Topic::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }

    #[test]
    fn the_longest_topic_has_200_bytes() {
        assert!(Topic::parse(&"a".repeat(200)).is_ok());
        let error = Topic::parse(&"a".repeat(201)).unwrap_err();
        assert!(error.to_string().contains("201 bytes"), "{error}");
        // A message stays short whatever was sent.
        let error = Topic::parse(&"\u{1}".repeat(65536)).unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
    }

    #[test]
    fn serde_reads_only_valid_topics() {
        let topic: Topic = serde_json::from_str("\"a.b\"").unwrap();
        assert_eq!(serde_json::to_string(&topic).unwrap(), "\"a.b\"");
        assert!(serde_json::from_str::<Topic>("\"a..b\"").is_err());
    }
}
