//! What is published and subscribed in every run: a few topics, and patterns that overlap on them.

use std::sync::LazyLock;

use tidewire_protocol::{Pattern, Topic};

pub(crate) const TOPICS: [&str; 8] = ["a.x", "a.y", "a.z", "b.x", "b.y", "c", "d.e.f", "$s.x"];

pub(crate) const PATTERNS: [&str; 14] = [
    "a.x", "a.*", "a.>", ">", "*", "*.x", "b.>", "c", "d.*.f", "*.*", "b.y", "$s.*", "a.z", "d.>",
];

static PARSED_TOPICS: LazyLock<Vec<Topic>> =
    LazyLock::new(|| TOPICS.map(|text| Topic::parse(text).unwrap()).into());

static PARSED_PATTERNS: LazyLock<Vec<Pattern>> =
    LazyLock::new(|| PATTERNS.map(|text| Pattern::parse(text).unwrap()).into());

/// For each pattern the topics that it matches, worked out here and not by the product.
static MATCHES: LazyLock<Vec<[bool; TOPICS.len()]>> = LazyLock::new(|| {
    let row = |pattern| TOPICS.map(|topic| is_match(pattern, topic));
    PATTERNS.map(row).into()
});

pub(crate) fn topic(index: usize) -> Topic {
    PARSED_TOPICS[index].clone()
}

pub(crate) fn pattern(index: usize) -> Pattern {
    PARSED_PATTERNS[index].clone()
}

pub(crate) fn topic_index(topic: &Topic) -> usize {
    TOPICS
        .iter()
        .position(|&text| text == topic.as_str())
        .unwrap()
}

pub(crate) fn pattern_index(text: &str) -> usize {
    PATTERNS.iter().position(|&known| known == text).unwrap()
}

pub(crate) fn matches(pattern: usize, topic: usize) -> bool {
    MATCHES[pattern][topic]
}

fn is_match(pattern: &str, topic: &str) -> bool {
    if topic.starts_with('$') && pattern.starts_with(['*', '>']) {
        return false;
    }
    let (pattern, topic): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), topic.split('.').collect());
    let levels = pattern.len();
    let is_open = pattern[levels - 1] == ">";
    let fixed = if is_open { levels - 1 } else { levels };
    let is_long_enough = if is_open {
        topic.len() > fixed
    } else {
        topic.len() == fixed
    };
    is_long_enough
        && (0..fixed).all(|level| pattern[level] == "*" || pattern[level] == topic[level])
}
