//! A pattern: which topics a subscriber asks for, or a right covers.
//!
//! Shape: a topic in which a whole level may be `*` (any one level) or, last only, `>` (one or more
//! levels). Parsed once; a clone shares the text.
//! Bound: [`Topic::MAX_BYTES`].
//! Failure: [`TopicError`], as for topics.
//! Source: protocol sections 1 and 7. A wildcard at the first level never matches a name with `$`.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use crate::{
    Topic, TopicError,
    text::serde_as_text,
    topic::{check_length, check_level},
};

/// A topic or a topic with wildcards, such as `orders.*.42` or `orders.>`.
#[derive(Clone)]
pub struct Pattern(Kind);

#[derive(Clone)]
enum Kind {
    Exact(Topic),
    Wild(Arc<str>),
}

impl Pattern {
    /// Reads a pattern; nothing is normalised.
    ///
    /// # Errors
    /// The first level that breaks a rule, or the length.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_length(text)?;
        let last = text.split('.').count() - 1;
        let mut wild = false;
        for (index, level) in text.split('.').enumerate() {
            match level {
                ">" if index < last => return Err(TopicError::TailNotLast { number: index + 1 }),
                "*" | ">" => wild = true,
                _ => check_level(level, index)?,
            }
        }
        if wild {
            return Ok(Self(Kind::Wild(text.into())));
        }
        Topic::parse(text).map(Self::from)
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Exact(topic) => topic.as_str(),
            Kind::Wild(text) => text,
        }
    }

    /// The levels from left to right, wildcards as `*` and `>`.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.as_str().split('.')
    }

    /// The one topic that it matches, when it has no wildcard.
    #[must_use]
    pub fn as_topic(&self) -> Option<&Topic> {
        match &self.0 {
            Kind::Exact(topic) => Some(topic),
            Kind::Wild(_) => None,
        }
    }

    /// Whether the topic's events belong to it.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        match &self.0 {
            Kind::Exact(exact) => exact == topic,
            // A topic is the pattern that matches only itself, so one rule serves both questions.
            Kind::Wild(_) => covers_levels(self.levels(), topic.levels()),
        }
    }

    /// Whether it matches everything that the other can match.
    ///
    /// Rights stand on this. It compares level by level; where only the length bound keeps the other
    /// from matching more, the answer is the careful one: no.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers_levels(self.levels(), other.levels())
    }
}

fn covers_levels<'a>(
    mut wide: impl Iterator<Item = &'a str>,
    narrow: impl Iterator<Item = &'a str>,
) -> bool {
    for (index, level) in narrow.enumerate() {
        // The gateway's own names are reached only by naming them.
        let hidden = index == 0 && level.starts_with('$');
        match wide.next() {
            None => return false,
            Some(">") => return !hidden,
            Some("*") if hidden || level == ">" => return false,
            Some("*") => {}
            Some(exact) if exact != level => return false,
            Some(_) => {}
        }
    }
    wide.next().is_none()
}

impl From<Topic> for Pattern {
    fn from(topic: Topic) -> Self {
        Self(Kind::Exact(topic))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.as_str())
    }
}

impl FromStr for Pattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::parse(text)
    }
}

serde_as_text!(Pattern);

#[cfg(test)]
mod tests;
