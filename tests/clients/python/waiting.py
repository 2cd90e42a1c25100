"""Waiting for a fact, under the one generous deadline."""

import time
from collections.abc import Callable

from gateway import DEADLINE_S, Gateway


def until(holds: Callable[[], bool]) -> None:
    """Asks again and again until it holds; asking takes its time, so that nothing spins."""
    ends = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < ends, "it never came to hold"


def at_rest(gateway: Gateway, wanted: int | None = None) -> tuple[int, int]:
    """Open descriptors and resident memory, once no connection is left, and no more descriptors than wanted."""
    ends = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends:
        if gateway.sockets() == 0 and (wanted is None or gateway.descriptors() <= wanted):
            break
        time.sleep(0.05)
    return gateway.descriptors(), gateway.resident_bytes()
