//! Each way to read an engine, compared with the model.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tidewire_protocol::{Cursor, Gap, GapReason, Pattern, StartAt};

use super::model::{Kept, Model, TOPICS, topic};
use super::sequence::{fail, from_head};
use super::steps::{ReadStep, parsed};
use crate::engine::{Read, Retained, Seek};
use crate::{Bus, Encoded, Engine, SessionOptions};

/// One page. Gives the number of the newest eviction, and how many the model has.
pub(super) async fn read(
    engine: &dyn Engine,
    model: &Model,
    step: &ReadStep,
    known: &[(u64, usize)],
) -> Result<(u64, usize), TestCaseError> {
    let patterns = parsed(&step.patterns);
    let after = from_head(model.head, step.after, 1);
    let before = step.before;
    let before = before.map_or(u64::MAX, |back| from_head(model.head, back, 1) + 1);
    // Everything that was told by some earlier page, or everything that ever will be.
    let told = |number: &u8| {
        let known = known.get(usize::from(*number) % (known.len() + 1));
        known.copied().unwrap_or((u64::MAX, usize::MAX))
    };
    let told: Vec<_> = step.told[..patterns.len()].iter().map(told).collect();
    let max_bytes = step.max_bytes.unwrap_or(usize::MAX);
    let page = engine.read(Read {
        patterns: patterns.clone(),
        after,
        before,
        descending: step.descending,
        told: told.iter().map(|(number, _)| *number).collect(),
        max_events: step.max_events,
        max_bytes,
    });
    let page = page.await.map_err(fail)?;

    let mut expected = model.matching(&patterns, after, before);
    if step.descending {
        expected.reverse();
    }
    let mut bytes = 0;
    let fits = |(index, event): &(usize, &&Kept)| {
        let fits = *index < step.max_events && bytes < max_bytes;
        bytes += event.json.len();
        fits
    };
    let wanted = expected.iter().enumerate().take_while(fits).count();
    let next = expected.get(wanted).map(|event| event.place);
    let got: Vec<_> = page.events.iter().map(|event| event.json()).collect();
    let should: Vec<_> = expected[..wanted].iter().map(|event| &event.json).collect();
    prop_assert_eq!(got, should, "the events of a page");
    prop_assert_eq!(page.at_end, next.is_none(), "whether a page is the last");

    let last = expected[..wanted].last().map(|event| event.place);
    let end = model.head.min(before - 1).max(after);
    let examined = match (step.descending, next) {
        (false, None) => end..=end,
        (false, Some(next)) => last.unwrap_or(after)..=next - 1,
        (true, None) => after..=after,
        (true, Some(next)) => next + 1..=last.unwrap_or(before),
    };
    let is_examined = examined.contains(&page.examined.max(after));
    prop_assert!(
        is_examined,
        "examined: {} is not in {:?}",
        page.examined,
        examined
    );

    let lost =
        |(pattern, (_, told)): &(&Pattern, &(u64, usize))| model.has_lost(pattern, after, *told);
    let lost = patterns.iter().zip(&told).filter(lost);
    let lost: Vec<_> = lost.map(|(pattern, _)| pattern).collect();
    prop_assert_eq!(
        sorted(&page.lost),
        sorted(lost),
        "the patterns that lost something"
    );
    Ok((page.evictions, model.evictions()))
}

/// Where to begin. Gives the number of the newest eviction, and how many the model has.
pub(super) async fn seek(
    engine: &dyn Engine,
    model: &Model,
    patterns: &[Pattern],
    newest: Option<usize>,
) -> Result<(u64, usize), TestCaseError> {
    let seek = newest.map_or(Seek::Oldest, Seek::Newest);
    let sought = engine.seek(patterns.to_vec(), seek).await.map_err(fail)?;
    let matching = model.matching(patterns, 0, u64::MAX);
    let first = newest.map_or(0, |count| matching.len().saturating_sub(count));
    let after = matching
        .get(first)
        .map_or(model.head, |event| event.place - 1);
    prop_assert_eq!(sought.after, after, "where to begin");
    Ok((sought.evictions, model.evictions()))
}

/// What is kept of each topic.
pub(super) async fn topics(engine: &dyn Engine, model: &Model) -> Result<(), TestCaseError> {
    for name in TOPICS {
        let kept = model.of(name);
        let range = kept.first().zip(kept.last());
        let expected = Retained {
            events: kept.len() as u64,
            range: range.map(|(oldest, newest)| (oldest.place, newest.place)),
        };
        let retained = engine.topic(topic(name)).await.map_err(fail)?;
        prop_assert_eq!(retained, expected, "what is kept of {}", name);
    }
    let unknown = engine.topic(topic("nobody")).await.map_err(fail)?;
    prop_assert_eq!(unknown, Retained::default(), "a topic that nobody knows");
    Ok(())
}

/// What a session has got.
struct Got {
    resumed: bool,
    gap: Option<Gap>,
    events: Vec<bytes::Bytes>,
}

/// Delivered or told as a gap: everything that was acknowledged after the cursor.
pub(super) async fn resume(
    bus: &Bus,
    model: &Model,
    patterns: &[Pattern],
    start: StartAt,
    batch: usize,
) -> Result<(), TestCaseError> {
    let oldest = model.matching(patterns, 0, u64::MAX);
    let oldest = oldest.first().map_or(model.head, |event| event.place - 1);
    let mut lost: Vec<&Pattern> = patterns.iter().collect();
    let (after, reason) = match start {
        StartAt::After(asked) if asked.epoch != model.epoch => (oldest, Some(GapReason::Epoch)),
        StartAt::After(asked) if asked.place > model.head => (model.head, Some(GapReason::Unknown)),
        StartAt::After(asked) => {
            lost.retain(|pattern| model.has_lost(pattern, asked.place, 0));
            let reason = (!lost.is_empty()).then_some(GapReason::Evicted);
            (asked.place, reason)
        }
        StartAt::Last(count) => {
            let matching = model.matching(patterns, 0, u64::MAX);
            let first = matching.len().saturating_sub(count as usize);
            let first = matching.get(first);
            (first.map_or(model.head, |event| event.place - 1), None)
        }
        StartAt::Start => (oldest, None),
        StartAt::Now => (model.head, None),
    };

    let got = deliver(bus, model, patterns, start, batch).await?;
    let is_after = matches!(start, StartAt::After(_));
    prop_assert_eq!(got.resumed, is_after && reason.is_none(), "resumed");
    prop_assert_eq!(
        got.gap.as_ref().map(|gap| gap.reason),
        reason,
        "a gap, and only where one is"
    );
    // What retention took from the engine may still have come out of the window.
    let json =
        |events: Vec<&Kept>| -> Vec<_> { events.iter().map(|event| event.json.clone()).collect() };
    let acknowledged = json(model.acknowledged(patterns, after, u64::MAX));
    let retained = json(model.matching(patterns, after, u64::MAX));
    prop_assert!(
        is_part(&got.events, &acknowledged),
        "delivered: {:?}",
        got.events
    );
    prop_assert!(is_part(&retained, &got.events), "retained: {:?}", retained);
    let Some(gap) = got.gap else {
        if is_after {
            prop_assert_eq!(got.events, acknowledged, "without a gap everything comes");
        }
        return Ok(());
    };
    prop_assert_eq!(sorted(gap.topics), sorted(lost), "the patterns of a gap");
    let StartAt::After(asked) = start else {
        return Err(fail("a gap for somebody who gave no cursor"));
    };
    prop_assert_eq!(gap.after, asked.to_string());
    let cursor = Cursor::parse(&gap.cursor).map_err(fail)?;
    let again = deliver(bus, model, patterns, StartAt::After(cursor), batch).await?;
    // Of holes behind the first event that follows it is told again: they lie after that cursor too.
    let is_whole = !patterns
        .iter()
        .any(|pattern| model.has_lost(pattern, cursor.place, 0));
    prop_assert_eq!(again.resumed, is_whole, "a gap at its own cursor");
    prop_assert_eq!(again.gap.is_none(), is_whole, "a gap at its own cursor");
    prop_assert_eq!(again.events, got.events, "where delivery goes on");
    Ok(())
}

/// Everything that there is for a session.
async fn deliver(
    bus: &Bus,
    model: &Model,
    patterns: &[Pattern],
    start: StartAt,
    batch: usize,
) -> Result<Got, TestCaseError> {
    let mut session = bus.open(SessionOptions {
        batch_max_events: batch,
        ..SessionOptions::default()
    });
    let subscribed = session.subscribe(patterns.to_vec(), start).await;
    let mut got = Got {
        resumed: subscribed.map_err(fail)?.resumed,
        gap: None,
        events: Vec::new(),
    };
    while let Some(batch) = session.next_within(Duration::ZERO).await.map_err(fail)? {
        if batch.gap.is_some() {
            prop_assert!(got.gap.is_none(), "one gap for a resume");
            prop_assert!(
                got.events.is_empty(),
                "a gap comes before the events that follow"
            );
            got.gap = batch.gap;
        }
        let last = batch.events.last().map(|event| event.place());
        prop_assert!(last.is_none_or(|last| batch.cursor.place >= last));
        got.events.extend(batch.events.iter().map(json));
    }
    prop_assert_eq!(session.cursor().place, model.head, "the end is the head");
    Ok(got)
}

fn json(event: &std::sync::Arc<Encoded>) -> bytes::Bytes {
    event.json().clone()
}

/// Whether all of them stand in the whole, in its order.
fn is_part(part: &[bytes::Bytes], whole: &[bytes::Bytes]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|event| whole.any(|other| other == event))
}

fn sorted<T: ToString>(patterns: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut sorted: Vec<_> = patterns
        .into_iter()
        .map(|pattern| pattern.to_string())
        .collect();
    sorted.sort();
    sorted
}
