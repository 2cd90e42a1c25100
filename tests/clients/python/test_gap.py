"""Each foreign client is told the same gap for the same loss, and goes on from there.

Source: protocol section 3, "One cursor, every transport".
"""

import pytest

from readers import READERS

pytestmark = pytest.mark.parametrize("name", READERS)


def first_event(reader) -> tuple[dict | None, dict]:
    """The gap before the first event, if any, and the event."""
    event = reader.next()
    assert len(reader.gaps) <= 1, "one gap for a resume, however many holes"
    return (reader.gaps[0] if reader.gaps else None), event


def test_an_evicted_event_is_a_gap_that_names_the_pattern_that_lost(gateway, topic, name):
    few, all_kept = f"few.{topic}", f"{topic}.all"
    begin = gateway.publish(few, 0)
    ids = [gateway.publish(each, n) for n in range(1, 6) for each in (few, all_kept)]

    reader = READERS[name](gateway, [few, all_kept], begin)
    gap, event = first_event(reader)
    received = [event["id"], *(reader.next()["id"] for _ in range(7))]
    reader.cut()

    assert gap["reason"] == "evicted"
    assert gap["topics"] == [few]
    assert gap["after"] == begin
    lost = {ids[0], ids[2]}
    assert received == [each for each in ids if each not in lost]


def test_no_gap_is_told_when_nothing_that_matches_was_lost(gateway, topic, name):
    few = f"few.{topic}"
    begin = gateway.publish(few, 0)
    ids = [gateway.publish(few, number) for number in range(1, 4)]
    for number in range(9):
        gateway.publish(f"{few}.other", number)
    reader = READERS[name](gateway, [few], begin)
    gap, event = first_event(reader)
    reader.cut()
    assert gap is None and reader.resumed in (True, None)
    assert event["id"] == ids[0]


def test_the_cursor_of_a_gap_does_not_lead_to_the_same_gap_again(gateway, topic, name):
    few = f"few.{topic}"
    ids = [gateway.publish(few, number) for number in range(6)]
    reader = READERS[name](gateway, [few], ids[0])
    gap, _ = first_event(reader)
    reader.cut()
    reader = READERS[name](gateway, [few], gap["cursor"])
    again, event = first_event(reader)
    reader.cut()
    assert again is None
    assert event["id"] == ids[3]


@pytest.mark.parametrize("cursor", ["zz9-10", "k3f9-41042", "0-3999"])
def test_a_cursor_of_another_history_is_a_gap_of_the_epoch(gateway, topic, name, cursor):
    ids = [gateway.publish(f"{topic}.{each}", each) for each in "ab"]
    patterns = [f"{topic}.a", f"{topic}.b"]
    reader = READERS[name](gateway, patterns, cursor)
    gap, event = first_event(reader)
    assert (gap["reason"], gap["after"]) == ("epoch", cursor)
    assert sorted(gap["topics"]) == patterns
    assert [event["id"], reader.next()["id"]] == ids, "the oldest retained events follow"
    live = gateway.publish(f"{topic}.a", "live")
    assert reader.next()["id"] == live
    reader.cut()


def test_a_cursor_of_the_future_is_a_gap_and_delivery_goes_on_at_the_head(gateway, topic, name):
    old = gateway.publish(topic, "old")
    future = old.rpartition("-")[0] + "-9999999999"
    reader = READERS[name](gateway, [topic], future)
    if name == "httpx polls":
        # A poll holds nothing: the gap of the first answer moves its cursor to the head.
        reader._ask()
    live = gateway.publish(topic, "live")
    gap, event = first_event(reader)
    reader.cut()
    assert (gap["reason"], gap["topics"], gap["after"]) == ("unknown", [topic], future)
    assert event["id"] == live
