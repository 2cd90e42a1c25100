//! Patterns against a naive reference over every topic of a small world.

use proptest::prelude::*;

use super::*;

#[test]
fn wildcards_stand_for_whole_levels() {
    for text in ["*", ">", "a.*", "*.b.>", "a.>", "$presence.>", "$a.*", "a"] {
        assert_eq!(Pattern::parse(text).unwrap().as_str(), text);
    }
    for text in [
        "a*", "a.>.b", ">.a", "a.b>", "$*", "$>", "**", "", "a..*", "*.$a", "%2A",
    ] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
    assert!(Pattern::parse(&format!("{}.>", "a".repeat(198))).is_ok());
    assert!(Pattern::parse(&format!("{}.>", "a".repeat(199))).is_err());
}

#[test]
fn only_a_pattern_without_wildcards_is_a_topic() {
    let topic = Topic::parse("a.b").unwrap();
    assert_eq!(Pattern::from(topic.clone()).as_topic(), Some(&topic));
    assert_eq!(Pattern::parse("a.b").unwrap(), Pattern::from(topic));
    assert_eq!(Pattern::parse("a.*").unwrap().as_topic(), None);
}

#[test]
fn a_wildcard_in_front_never_reaches_the_gateways_own_names() {
    let own = Topic::parse("$presence.a").unwrap();
    for text in ["*", ">", "*.a", "*.>", "*.*"] {
        let pattern = Pattern::parse(text).unwrap();
        assert!(!pattern.matches(&own), "{text}");
        assert!(
            !pattern.covers(&Pattern::parse("$presence.>").unwrap()),
            "{text}"
        );
    }
    assert!(Pattern::parse("$presence.>").unwrap().matches(&own));
}

/// A pattern's rule in the plainest words, apart from the code that is tested.
fn naive_matches(pattern: &[&str], topic: &[&str], first: bool) -> bool {
    match (pattern, topic) {
        ([], []) => true,
        ([">"], [level, ..]) => !(first && level.starts_with('$')),
        (["*", rest @ ..], [level, more @ ..]) => {
            !(first && level.starts_with('$')) && naive_matches(rest, more, false)
        }
        ([exact, rest @ ..], [level, more @ ..]) => {
            exact == level && naive_matches(rest, more, false)
        }
        _ => false,
    }
}

/// Every topic of one to four levels over `a`, `b`, a name `z` that no pattern uses, and `$a`, `$z` in front.
///
/// With a letter that no pattern names and one level more than any pattern has, what `covers`
/// promises for all topics shows on these.
fn world() -> Vec<String> {
    let mut all: Vec<String> = ["a", "b", "z", "$a", "$z"].map(String::from).to_vec();
    let mut longest = all.clone();
    for _ in 1..4 {
        longest = longest
            .iter()
            .flat_map(|head| ["a", "b", "z"].map(|level| format!("{head}.{level}")))
            .collect();
        all.extend(longest.iter().cloned());
    }
    all
}

fn small_pattern() -> impl Strategy<Value = String> {
    let first = prop::sample::select(vec!["a", "b", "$a", "*"]);
    let level = prop::sample::select(vec!["a", "b", "*"]);
    (first, prop::collection::vec(level, 0..3), any::<bool>()).prop_map(|(first, rest, tail)| {
        let mut levels = vec![first];
        levels.extend(rest);
        if tail {
            let last = levels.len() - 1;
            levels[last] = ">";
        }
        levels.join(".")
    })
}

proptest! {
    #[test]
    fn matches_agrees_with_the_reference(text in small_pattern()) {
        let pattern = Pattern::parse(&text).unwrap();
        let levels: Vec<_> = text.split('.').collect();
        for name in world() {
            let topic = Topic::parse(&name).unwrap();
            let wanted = naive_matches(&levels, &name.split('.').collect::<Vec<_>>(), true);
            prop_assert_eq!(pattern.matches(&topic), wanted, "{} on {}", text, name);
        }
    }

    #[test]
    fn covers_means_that_every_topic_of_the_other_matches(wide in small_pattern(), narrow in small_pattern()) {
        let (wide, narrow) = (Pattern::parse(&wide).unwrap(), Pattern::parse(&narrow).unwrap());
        let wanted = world()
            .iter()
            .map(|name| Topic::parse(name).unwrap())
            .filter(|topic| narrow.matches(topic))
            .all(|topic| wide.matches(&topic));
        prop_assert_eq!(wide.covers(&narrow), wanted, "{} over {}", wide, narrow);
    }

    #[test]
    fn any_text_parses_to_itself_or_not_at_all(text in "[a-b$*>. ]{0,8}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.as_str(), &text);
            prop_assert_eq!(pattern.as_topic().is_some(), Topic::parse(&text).is_ok());
            prop_assert!(pattern.covers(&pattern));
        } else {
            prop_assert!(Topic::parse(&text).is_err());
        }
    }
}
