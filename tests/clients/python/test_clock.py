"""The wall clock jumps, forwards and back, and a restart lies between: ids and order do not follow it.

Source: protocol section 2; a peer takes its ids from the clock.
"""

import pytest

from clock import movable_clock, set_clock
from conftest import ROOMY
from gateway import Gateway
from readers import READERS

HOUR = 3600
# How far it is off, one after the other: back by an hour, by more, forwards, back again.
STEPS = [0, -HOUR, -3 * HOUR, HOUR, 0, -HOUR]
EACH = 5


@pytest.fixture(params=["memory", "disk"])
def moved(request, tmp_path):
    """A gateway whose wall clock is moved, and the file that does it."""
    offset, environment = movable_clock(tmp_path)
    gateway = Gateway(tmp_path, request.param, ROOMY, environment=environment).start()
    yield gateway, offset
    gateway.stop()


@pytest.mark.parametrize("name", READERS)
def test_ids_and_order_do_not_follow_a_clock_that_jumps(moved, topic, name):
    gateway, offset = moved
    ids = [gateway.publish(topic, "first")]
    reader = READERS[name](gateway, [topic], ids[0])
    for step in STEPS:
        set_clock(offset, step)
        ids += [gateway.publish(topic, step) for _ in range(EACH)]
    live = [reader.next() for _ in ids[1:]]
    reader.cut()
    if gateway.engine == "disk":
        gateway.stop()
        set_clock(offset, -2 * HOUR)
        gateway.start()
        ids.append(gateway.publish(topic, "after the restart"))

    assert ids == sorted(ids)
    assert [event["id"] for event in live] == ids[1 : len(live) + 1]
    times = [event["time"] for event in live[::EACH]]
    assert times[1] < times[0] - HOUR * 500 and times[3] > times[2], "the clock did not jump"
    for at in range(0, len(ids) - 1, EACH):
        reader = READERS[name](gateway, [topic], ids[at])
        assert [reader.next()["id"] for _ in ids[at + 1 :]] == ids[at + 1 :]
        assert reader.gaps == []
        reader.cut()
