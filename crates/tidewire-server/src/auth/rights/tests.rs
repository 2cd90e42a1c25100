//! Rights against a naive reference over every topic of a small world.

use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| pattern(text)).collect()
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

fn grants(texts: &[&str]) -> Vec<GrantPattern> {
    let parse = |text: &&str| GrantPattern::parse(text).unwrap();
    texts.iter().map(parse).collect()
}

#[test]
fn members_are_seen_by_the_presence_right_alone() {
    let rights = Rights {
        subscribe: patterns(&[">", "$presence.>", "$tide.>"]),
        presence: patterns(&["chat.*"]),
        ..Rights::default()
    };
    assert!(rights.may_subscribe(&pattern("$presence.chat.a")));
    assert!(rights.may_subscribe(&pattern("$presence.chat.*")));
    assert!(!rights.may_subscribe(&pattern("$presence.chat.a.b")));
    assert!(!rights.may_subscribe(&pattern("$presence.orders.a")));
    assert!(!rights.may_subscribe(&pattern("$presence.>")));
    assert!(!rights.may_subscribe(&pattern("$presence")));
    // Another of the gateway's own names is reached by naming it.
    assert!(rights.may_subscribe(&pattern("$tide.a")));
    assert!(!rights.may_subscribe(&pattern("$presences.a")));
}

#[test]
fn the_gateways_own_topics_are_published_to_by_nobody() {
    let rights = Rights {
        publish: patterns(&[">", "$presence.>", "$a.b"]),
        ..Rights::default()
    };
    assert!(rights.may_publish(&topic("a.b")));
    assert!(!rights.may_publish(&topic("$a.b")));
    assert!(!rights.may_publish(&topic("$presence.a")));
}

#[test]
fn the_subject_stands_in_configured_patterns_and_roles_add_up() {
    let role = |subscribe: &[&str]| RoleConfig {
        subscribe: grants(subscribe),
        ..RoleConfig::default()
    };
    let roles = BTreeMap::from([("editor".to_owned(), role(&["drafts.>"]))]);
    let all = Grants::new(Some(&role(&["inbox.{sub}.>", "drafts.>"])), &roles).unwrap();
    let names = ["editor".to_owned(), "nobody-knows".to_owned()];
    let rights = all.rights("u1", role(&["own.a"]).for_subject("u1"), &names);
    assert_eq!(
        rights.subscribe,
        patterns(&["own.a", "inbox.u1.>", "drafts.>"])
    );
    // A subject that would be more than one level gives no such right.
    for wide in ["*", ">", "a.b", "", "$presence", "a b"] {
        let rights = all.rights(wide, Rights::default(), &[]);
        assert_eq!(rights.subscribe, patterns(&["drafts.>"]), "{wide}");
    }
}

#[test]
fn a_role_has_a_plain_name() {
    let roles = BTreeMap::from([("a b".to_owned(), RoleConfig::default())]);
    assert!(Grants::new(None, &roles).is_err());
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

/// Whether one topic may be read, in the plainest words.
fn naive_may_read(rights: &Rights, name: &[&str]) -> bool {
    let granted = |list: &[Pattern], name: &[&str]| {
        let one =
            |pattern: &Pattern| naive_matches(&pattern.levels().collect::<Vec<_>>(), name, true);
        list.iter().any(one)
    };
    match name {
        ["$presence"] => false,
        ["$presence", rest @ ..] => granted(&rights.presence, rest),
        _ => granted(&rights.subscribe, name),
    }
}

/// Every name of one to four levels over `a`, `z` that no pattern uses, and `$presence`, `$z` in front.
fn world() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = ["a", "z", "$presence", "$z"].map(|name| vec![name]).into();
    let mut longest = all.clone();
    for _ in 1..4 {
        longest = longest
            .iter()
            .flat_map(|head| ["a", "z"].map(|level| [head.as_slice(), &[level]].concat()))
            .collect();
        all.extend(longest.iter().cloned());
    }
    all
}

fn small_pattern() -> impl Strategy<Value = Pattern> {
    let first = prop::sample::select(vec!["a", "$presence", "*"]);
    let level = prop::sample::select(vec!["a", "*"]);
    (first, prop::collection::vec(level, 0..3), any::<bool>()).prop_map(|(first, rest, tail)| {
        let mut levels = vec![first];
        levels.extend(rest);
        if tail {
            let last = levels.len() - 1;
            levels[last] = ">";
        }
        pattern(&levels.join("."))
    })
}

fn small_rights() -> impl Strategy<Value = Rights> {
    let list = || prop::collection::vec(small_pattern(), 0..4);
    (list(), list(), list()).prop_map(|(subscribe, publish, presence)| Rights {
        subscribe,
        publish,
        presence,
        forget: Vec::new(),
    })
}

proptest! {
    #[test]
    fn what_may_be_subscribed_holds_only_topics_that_may_each_be_read(
        rights in small_rights(),
        wanted in small_pattern(),
    ) {
        let levels: Vec<&str> = wanted.levels().collect();
        let mut reached = world().into_iter().filter(|name| naive_matches(&levels, name, true));
        if rights.may_subscribe(&wanted) {
            prop_assert!(reached.all(|name| naive_may_read(&rights, &name)), "{wanted} over {rights:?}");
        }
    }

    #[test]
    fn one_topic_may_be_subscribed_exactly_where_it_may_be_read(
        rights in small_rights(),
        name in prop::sample::select(world()),
    ) {
        let wanted = pattern(&name.join("."));
        prop_assert_eq!(rights.may_subscribe(&wanted), naive_may_read(&rights, &name));
    }

    #[test]
    fn a_topic_may_be_published_to_exactly_where_a_pattern_matches_it(
        rights in small_rights(),
        name in prop::sample::select(world()),
    ) {
        let granted = |pattern: &Pattern| {
            naive_matches(&pattern.levels().collect::<Vec<_>>(), &name, true)
        };
        let wanted = !name[0].starts_with('$') && rights.publish.iter().any(granted);
        prop_assert_eq!(rights.may_publish(&topic(&name.join("."))), wanted);
    }
}
