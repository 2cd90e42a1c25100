"""50,000 events, resume at the 15,000th: every transport gives exactly the rest, in order.

Source: protocol section 3; a peer broke on it (a resume far back in a long history).
"""

import pytest

from readers import READERS

EVENTS = 50_000
RESUME_AFTER = 15_000


@pytest.fixture(scope="module")
def long_history(gateway_of_each_engine):
    """A gateway with a long topic, other events between, and the ids in order."""
    gateway = gateway_of_each_engine
    topic = f"long.{gateway.engine}"
    elements = []
    for number in range(EVENTS):
        elements.append({"topic": topic, "data": number})
        if number % 10 == 0:
            elements.append({"topic": "between", "data": number})
    ids = gateway.publish_all(elements)
    mine = [each for each, element in zip(ids, elements, strict=True) if element["topic"] == topic]
    return gateway, topic, mine


@pytest.mark.parametrize("name", READERS)
def test_a_resume_far_back_gives_exactly_the_rest_in_order(long_history, name):
    gateway, topic, ids = long_history
    expected = ids[RESUME_AFTER:]
    reader = READERS[name](gateway, [topic], ids[RESUME_AFTER - 1])
    events = [reader.next() for _ in expected]
    ids.append(gateway.publish(topic, "live"))
    live = reader.next()
    reader.cut()

    assert reader.gaps == []
    assert reader.resumed in (True, None)
    assert [event["id"] for event in events] == expected
    numbers = [event["data"] for event in events[: EVENTS - RESUME_AFTER]]
    assert numbers == list(range(RESUME_AFTER, EVENTS))
    assert live["id"] == ids[-1]


def test_the_history_pages_through_the_rest_in_order(long_history):
    gateway, topic, ids = long_history
    received: list[str] = []
    after = ids[RESUME_AFTER - 1]
    with gateway.client(http2=True) as client:
        while len(received) < len(ids) - RESUME_AFTER:
            query = {"after": after, "limit": 1000}
            page = client.get(f"/topics/{topic}/events", params=query).json()
            assert page["events"]
            received += [event["id"] for event in page["events"]]
            after = page["cursor"]
    assert received == ids[RESUME_AFTER:]
