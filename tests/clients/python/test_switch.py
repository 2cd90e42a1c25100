"""Cut one foreign client anywhere, go on with another: every event once, in order.

Method: a publisher runs; a reader takes a random number of events, is cut without a word, and the
next one resumes from its cursor. What arrived is compared with what the publisher had acknowledged.
Source: protocol sections 3 ("One cursor, every transport") and 8.
"""

import itertools
import threading

import pytest

from readers import READERS

EVENTS = 150
CUTS = 6


@pytest.mark.parametrize(("first", "second"), list(itertools.product(READERS, repeat=2)))
def test_a_session_cut_on_one_client_goes_on_with_another(
    gateway_of_each_engine, topic, rng, first, second
):
    gateway = gateway_of_each_engine
    acknowledged: list[str] = []
    topics = [f"{topic}.{name}" for name in "abc"]

    def publish():
        for number in range(EVENTS):
            acknowledged.append(gateway.publish(topics[number % 3], number))
            gateway.publish(f"noise.{topic}", number)

    publisher = threading.Thread(target=publish)
    names = itertools.cycle([first, second])
    patterns = [f"{topic}.*", topics[0]]
    reader = READERS[next(names)](gateway, patterns, None)
    received: list[dict] = []
    takes: list[int] = []
    publisher.start()
    for _ in range(CUTS):
        takes.append(rng.randrange(0, 2 * EVENTS // CUTS))
        for _ in range(min(takes[-1], EVENTS - len(received))):
            received.append(reader.next())
        reader.cut()
        gaps = reader.gaps
        assert gaps == [], f"{gaps} with takes {takes}"
        reader = READERS[next(names)](gateway, patterns, reader.cursor)
        assert reader.resumed in (True, None), f"takes {takes}"
    while len(received) < EVENTS:
        received.append(reader.next())
    publisher.join(timeout=60)
    reader.cut()

    assert reader.gaps == [], f"takes {takes}"
    assert [event["id"] for event in received] == acknowledged, f"takes {takes}"
    assert [event["data"] for event in received] == list(range(EVENTS)), f"takes {takes}"
