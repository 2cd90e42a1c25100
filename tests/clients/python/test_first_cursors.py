"""No cursor lies beyond an event that its session has still to get: that of the opening, and of an empty answer.

Method: a publisher without a pause, most of whose events concern other topics, so that cursors move while nothing comes.
What a cursor promises is compared with what was acknowledged. A peer lost events between its first cursor and live ones.
Source: protocol section 3, "One cursor, every transport".
"""

import random

import pytest

from gateway import Gateway
from publishing import publishing
from readers import READERS

FAST = """
[limits]
publishes_per_second = 10000000
"""

# Those of curl come from the same server code as those of httpx.
NAMES = [name for name in READERS if "curl" not in name]
OPENINGS = 30
EMPTY = 200


@pytest.fixture(scope="module", params=["memory", "disk"])
def fast(request, start_gateway) -> Gateway:
    """A gateway that takes whatever comes."""
    return start_gateway(request.param, FAST)


def beside_noise(gateway: Gateway, topic: str, rng: random.Random, others_max: int):
    """Events of the topic, each after a random number of others; gives the ids of the former."""

    def noise():
        for _ in range(rng.randrange(others_max)):
            gateway.publish(f"noise.{topic}", 0)

    return publishing(gateway, topic, between=noise)


@pytest.mark.parametrize("name", NAMES)
def test_what_follows_the_first_cursor_is_delivered_from_its_first_event_on(
    fast, topic, rng, name
):
    opened = []
    with beside_noise(fast, topic, rng, 3) as ids:
        for _ in range(OPENINGS):
            reader = READERS[name](fast, [topic], None)
            cursor = reader.cursor
            opened.append((cursor, [reader.next()["id"] for _ in range(3)]))
            reader.cut()
    for cursor, received in opened:
        assert received == [each for each in ids if each > cursor][:3], f"after {cursor}"


def test_the_cursor_of_an_empty_poll_passes_no_event_that_is_still_to_come(fast, topic, rng):
    reader = READERS["httpx polls"](fast, [topic], fast.head(), wait=0)
    received: list[str] = []
    with beside_noise(fast, topic, rng, 10) as ids:
        while len(reader.empty_answers) < EMPTY:
            received.append(reader.next()["id"])
    while len(received) < len(ids):
        received.append(reader.next()["id"])
    reader.cut()
    assert received == ids
    check_passed(reader.empty_answers, ids)


def check_passed(empty_answers: list[tuple[str, str]], ids: list[str]) -> None:
    """Nothing lies between the event before an empty answer and its cursor, and some did move on."""
    for before, cursor in empty_answers:
        passed = [each for each in ids if before < each <= cursor]
        assert not passed, f"{cursor} after {before}"
    assert any(before < cursor for before, cursor in empty_answers), "no cursor ever moved"
