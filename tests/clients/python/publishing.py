"""A publisher beside what a test does.

Bound: ends with the block, and at the latest after its count.
"""

import threading
from collections.abc import Callable
from contextlib import contextmanager

from gateway import DEADLINE_S, Gateway


@contextmanager
def publishing(
    gateway: Gateway,
    topic: str,
    count: int | None = None,
    data="tide",
    between: Callable[[], None] = lambda: None,
):
    """Publishes one event after the other, `between` before each; gives the ids of what was acknowledged."""
    ids: list[str] = []
    stop = threading.Event()

    def publish():
        while not stop.is_set() and len(ids) != count:
            between()
            ids.append(gateway.publish(topic, data))

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        yield ids
    finally:
        stop.set()
        publisher.join(timeout=DEADLINE_S)
