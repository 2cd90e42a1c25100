//! A pattern of a configured right, in which `{sub}` stands for whoever asks.
//!
//! Shape: read once with the configuration; [`GrantPattern::for_subject`] puts a subject in.
//! Bound: those of a pattern, with the subject in it.
//! Failure: a subject that is no single level of a topic gives no right. It could be `*`, and the right everybody's.
//! Source: protocol section 7.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use tidewire_protocol::{Pattern, Topic, TopicError};

/// A topic or pattern that a right is for; `{sub}` in it stands for the subject, as in `inbox.{sub}.>`.
#[derive(Clone, PartialEq, Eq)]
pub struct GrantPattern(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Plain(Pattern),
    OfSubject(Box<str>),
}

impl GrantPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none, whatever the subject.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if !text.contains(SUBJECT) {
            return Pattern::parse(text).map(Self::from);
        }
        Pattern::parse(&text.replace(SUBJECT, "s"))?;
        Ok(Self(Kind::OfSubject(text.into())))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Plain(pattern) => pattern.as_str(),
            Kind::OfSubject(text) => text,
        }
    }

    /// The pattern for this subject; `None` where there can be none.
    pub(crate) fn for_subject(&self, subject: &str) -> Option<Pattern> {
        match &self.0 {
            Kind::Plain(pattern) => Some(pattern.clone()),
            Kind::OfSubject(text) if is_level(subject) => {
                Pattern::parse(&text.replace(SUBJECT, subject)).ok()
            }
            Kind::OfSubject(_) => None,
        }
    }
}

/// Whether it is one exact level of a topic, and not one of the gateway's own names.
fn is_level(subject: &str) -> bool {
    !subject.contains('.') && !subject.starts_with('$') && Topic::parse(subject).is_ok()
}

impl From<Pattern> for GrantPattern {
    fn from(pattern: Pattern) -> Self {
        Self(Kind::Plain(pattern))
    }
}

impl fmt::Debug for GrantPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantPattern({})", self.as_str())
    }
}

impl Serialize for GrantPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for GrantPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// What stands for the subject. No topic can have it: braces are not in the alphabet.
const SUBJECT: &str = "{sub}";

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str, subject: &str) -> Option<String> {
        let pattern = GrantPattern::parse(text).unwrap().for_subject(subject);
        pattern.map(|pattern| pattern.as_str().to_owned())
    }

    #[test]
    fn the_subject_stands_wherever_its_mark_does() {
        assert_eq!(given("inbox.{sub}.>", "u1").unwrap(), "inbox.u1.>");
        assert_eq!(given("{sub}.user-{sub}", "u1").unwrap(), "u1.user-u1");
        assert_eq!(given("orders.*", "anything.at all").unwrap(), "orders.*");
    }

    #[test]
    fn a_subject_that_is_no_level_gives_nothing() {
        for bad in ["*", ">", "a.b", ".", "", "$a", "a b", "é", "{sub}"] {
            assert_eq!(given("inbox.{sub}.>", bad), None, "{bad:?}");
        }
        let long = "a".repeat(200);
        assert_eq!(given("inbox.{sub}", &long), None);
    }

    #[test]
    fn what_is_no_pattern_with_any_subject_is_refused() {
        for bad in ["inbox.{sub}*", "{sub}.>.a", "{sub}..a", "{SUB}", "{sub", ""] {
            assert!(GrantPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
