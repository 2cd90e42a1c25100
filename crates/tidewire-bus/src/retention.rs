//! How long events are kept, per topic.
//! Shape: a list of rules; the first one whose pattern matches the topic applies, else the default.
//! Unit: events, bytes of encoded event, age since the event got its place.
//! Bound: the default is bounded in all three, so a log never grows for ever by itself.
//! Failure: what exceeds a bound is evicted, oldest first; whoever still needed it is told a gap.
//! Source: protocol sections 3, 8 and 10.

use std::time::Duration;

use tidewire_protocol::{Pattern, Topic};

/// The bounds of one topic. `None` means that this bound is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The newest events that are kept, as a count.
    pub max_events: Option<u64>,
    /// The newest events that are kept, by the bytes of their payload members.
    pub max_bytes: Option<u64>,
    /// How long an event is kept after it got its place.
    pub max_age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_events: Some(100_000),
            max_bytes: Some(64 << 20),
            max_age: Some(Duration::from_secs(24 * 60 * 60)),
        }
    }
}

impl Retention {
    /// Whether a topic that keeps so many events and bytes has to let its oldest one go.
    #[must_use]
    pub(crate) fn exceeded(&self, events: u64, bytes: u64) -> bool {
        self.max_events.is_some_and(|max| events > max)
            || self.max_bytes.is_some_and(|max| bytes > max)
    }

    /// When an event of this time is too old, in milliseconds since the Unix epoch.
    #[must_use]
    pub(crate) fn deadline_ms(&self, time_ms: u64) -> Option<u64> {
        let max_age_ms = u64::try_from(self.max_age?.as_millis()).unwrap_or(u64::MAX);
        Some(time_ms.saturating_add(max_age_ms))
    }
}

/// One entry of the configuration's `[[retention]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// Topics to which the rule applies.
    pub topics: Pattern,
    /// Their bounds.
    pub limits: Retention,
}

/// Every rule, in the order of the configuration, and what applies where none matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionTable {
    rules: Vec<RetentionRule>,
    default: Retention,
}

impl RetentionTable {
    /// The first rule whose pattern matches applies.
    #[must_use]
    pub fn new(rules: Vec<RetentionRule>, default: Retention) -> Self {
        Self { rules, default }
    }

    /// The bounds of this topic.
    #[must_use]
    pub fn of(&self, topic: &Topic) -> Retention {
        let rule = self.rules.iter().find(|rule| rule.topics.matches(topic));
        rule.map_or(self.default, |rule| rule.limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_rule_applies_and_else_the_default() {
        let keep = |events| Retention {
            max_events: Some(events),
            max_bytes: None,
            max_age: None,
        };
        let rule = |topics: &str, events| RetentionRule {
            topics: Pattern::parse(topics).unwrap(),
            limits: keep(events),
        };
        let table = RetentionTable::new(vec![rule("a.b", 1), rule("a.*", 2)], keep(3));
        let of = |topic| table.of(&Topic::parse(topic).unwrap()).max_events;
        assert_eq!([of("a.b"), of("a.c"), of("b")], [Some(1), Some(2), Some(3)]);
    }
}
