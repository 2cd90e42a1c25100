"""What a session may not see, or did not ask for, reaches it on no path, whatever the path shares with others.

Method: one batch after the other holds events that the reader may see between events that it may not; somebody who may see
everything reads at the same time, so that whatever is read or encoded once for several sessions is in use.
Source: protocol sections 3 and 7; a peer leaked where it combined a filter with another feature.
"""

import hashlib

import pytest

from gateway import Gateway
from json_websocket import open_websocket
from open_sessions import bearer
from readers import READERS, query

KEY = "sees-everything-0123456789"

CONFIG = f"""
[auth.anonymous]
subscribe = ["open.>"]
publish = [">"]

[[auth.keys]]
name = "all"
sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
subscribe = [">"]

[limits]
publishes_per_second = 10000000
"""


@pytest.fixture(scope="module")
def parted(start_gateway) -> Gateway:
    """Everybody publishes anything; who has no key sees `open.>`."""
    return start_gateway("memory", CONFIG)


# Where a reader begins: `after` (`{begin}` is the first event), and what else it asks for.
PATHS = {
    "live": (None, {}),
    "a resume": ("{begin}", {}),
    "the oldest": ("start", {}),
    "the newest": (None, {"last": 20}),
    "conflated": ("{begin}", {"conflate": "latest"}),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", READERS)
def test_what_a_session_may_not_see_reaches_it_on_no_path(parted, topic, name, path):
    may, may_not = f"open.{topic}", [f"shut.{topic}", f"opened.{topic}", f"open-{topic}"]
    with open_websocket(parted, "topic=%3E", additional_headers=bearer(KEY)) as all_seeing:
        begin = parted.publish(may, "begin")
        before = publish(parted, may, may_not)
        after, more = PATHS[path]
        after = after and after.replace("{begin}", begin)
        reader = READERS[name](parted, ["open.>"], after, **more)
        live = publish(parted, may, may_not)
        received = [reader.next()]
        while received[-1]["id"] != live[-1]:
            received.append(reader.next())
        reader.cut()
        seen_by_all = all_seeing.take_events(1 + 4 * 2 * EACH)

    assert {event["topic"].partition(".")[0] for event in received} == {"open"}
    mine = [event["id"] for event in received if event["topic"] == may]
    expected = {
        "live": live,
        "a resume": before + live,
        "the oldest": [begin, *before, *live],
        "the newest": before[-20:] + live,
        "conflated": [each for each in before + live if each in mine],
    }
    assert mine == expected[path]
    assert {event["topic"] for event in seen_by_all} == {may, *may_not}, "somebody saw them"


@pytest.mark.parametrize("path", ["/sse", "/poll"])
@pytest.mark.parametrize("pattern", [">", "*.>", "open", "opened.>"])
def test_a_pattern_that_reaches_further_than_the_right_is_refused(parted, path, pattern):
    target = f"{path}?{query(['open.a', pattern], None)}"
    with parted.client() as client, client.stream("GET", target) as answer:
        assert answer.status_code == 401


def publish(gateway: Gateway, may: str, may_not: list[str]) -> list[str]:
    """Events of all the topics in turn, the last of them one that may be seen; gives the ids of these."""
    topics = [*may_not, may]
    elements = [{"topic": each, "data": number} for number in range(EACH) for each in topics]
    return gateway.publish_all(elements)[len(may_not) :: len(topics)]


EACH = 50
