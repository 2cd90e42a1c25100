//! Each parameter's rule; the table of good and bad queries with their codes is `fixtures/query.json`.

use proptest::prelude::*;

use super::*;
use crate::Code;

fn parse(query: &str) -> SubscribeQuery {
    SubscribeQuery::parse(query, 64).unwrap_or_else(|error| panic!("{query}: {error}"))
}

#[test]
fn nothing_given_means_the_defaults() {
    let query = parse("");
    assert!(query.topics.is_empty() && query.start.is_none());
    assert_eq!((query.wait, query.limit), (Duration::from_secs(25), 100));
    assert!(!query.conflate && !query.presence && !query.format_data);
    assert_eq!(query.require_topic().unwrap_err().code(), Code::BadRequest);
}

#[test]
fn everything_given_is_read() {
    let query = parse(
        "topic=a.%2A&topic=b&topic=a.*&last=10&conflate=latest&presence=1&presence_data=%7B%22x%22:1%7D\
         &ticket=t&wait=0.25&limit=1000&format=data&utm=1",
    );
    let topics: Vec<_> = query.topics.iter().map(Pattern::as_str).collect();
    assert_eq!(topics, ["a.*", "b"]);
    assert_eq!(query.start, Some(StartAt::Last(10)));
    assert!(query.conflate && query.presence && query.format_data);
    assert_eq!(query.presence_data.as_ref().unwrap().get(), r#"{"x":1}"#);
    assert_eq!(query.ticket.as_deref(), Some("t"));
    assert_eq!(
        (query.wait, query.limit),
        (Duration::from_millis(250), 1000)
    );
}

#[test]
fn debug_shows_no_ticket() {
    let shown = format!("{:?}", parse("ticket=canary"));
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn the_bound_counts_different_topics() {
    assert!(SubscribeQuery::parse("topic=a&topic=b&topic=a", 2).is_ok());
    let error = SubscribeQuery::parse("topic=a&topic=b&topic=c", 2).unwrap_err();
    assert_eq!(error.code(), Code::BadRequest);
    assert!(error.to_string().contains("more than 2"), "{error}");
}

#[test]
fn history_takes_cursors_on_both_sides() {
    let query = HistoryQuery::parse("after=e-11&before=e-15&limit=5&order=desc&wait=x").unwrap();
    assert_eq!(query.after, Some("e-11".parse().unwrap()));
    assert_eq!(query.before, Some("e-15".parse().unwrap()));
    assert!(query.limit == 5 && query.descending);
    let query = HistoryQuery::parse("after=start&before=now").unwrap();
    assert_eq!((query.after, query.before), (None, None));
    assert!(query.limit == 100 && !query.descending);
    for (query, code) in [
        ("after=now", Code::BadCursor),
        ("before=start", Code::BadCursor),
        ("after=", Code::BadCursor),
        ("order=up", Code::BadRequest),
        ("limit=0", Code::BadRequest),
        ("limit=1&limit=1", Code::BadRequest),
    ] {
        assert_eq!(
            HistoryQuery::parse(query).unwrap_err().code(),
            code,
            "{query}"
        );
    }
}

proptest! {
    #[test]
    fn no_query_panics(query in "(topic|after|last|wait|limit|presence_data|[=&%+.0-9a-f]|\\PC){0,24}") {
        let _ = SubscribeQuery::parse(&query, 2);
        let _ = HistoryQuery::parse(&query);
    }

    #[test]
    fn a_wait_is_within_its_bounds(value in "[0-9.e-]{0,8}|inf|NaN") {
        if let Ok(query) = SubscribeQuery::parse(&format!("wait={value}"), 1) {
            prop_assert!(query.wait <= SubscribeQuery::WAIT_MAX);
        }
    }
}
