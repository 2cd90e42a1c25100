"""Waiting for a fact, under the one generous deadline."""

import time
from collections.abc import Callable

from gateway import DEADLINE_S


def until(holds: Callable[[], bool]) -> None:
    """Asks again and again until it holds; asking takes its time, so that nothing spins."""
    ends = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < ends, "it never came to hold"
