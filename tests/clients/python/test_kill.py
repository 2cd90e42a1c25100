"""`kill -9` under load on disk: everybody comes back at once, with their cursors, and nothing is missing or there twice.

Method: two publishers without a pause and two subscribers of each kind, all from before the first event; the process is
killed after so many answers and started again on its port, four times. Each subscriber saw one sequence of events across
all its sessions; they are compared with each other and with what was acknowledged.
Source: protocol sections 3 and 8.
"""

import queue
import signal
import threading

import httpx
import pytest
from websockets.exceptions import WebSocketException

from conftest import ROOMY
from gateway import DEADLINE_S, Gateway
from h2_websocket import Closed
from readers import READERS

KILLS = 4
# What a connection says whose other side was killed, or is not there yet.
CUT = (OSError, EOFError, StopIteration, httpx.HTTPError, WebSocketException, Closed)


class World:
    """What all of them share: the gateway, and whether it is there."""

    def __init__(self, gateway: Gateway, topic: str):
        self.gateway = gateway
        self.topic = topic
        self.is_up = threading.Event()
        self.is_up.set()
        self.is_over = threading.Event()
        self.acknowledged: queue.Queue[str] = queue.Queue()

    def wait(self) -> None:
        """Until the gateway is there again."""
        assert self.is_up.wait(timeout=DEADLINE_S)

    def publish(self, number: int) -> None:
        """One publisher, until it is over."""
        while not self.is_over.is_set():
            self.wait()
            try:
                with self.gateway.client() as client:
                    while not self.is_over.is_set():
                        answer = client.post(f"/topics/{self.topic}.{number}", content="1")
                        self.acknowledged.put(answer.json()["id"])
            except CUT:
                # Whether it was stored nobody knows.
                pass


class Follower(threading.Thread):
    """One subscriber that comes back with its cursor until it has had the last event."""

    def __init__(self, world: World, name: str):
        super().__init__(daemon=True)
        self._world = world
        self._reader_name = name
        self.ids: list[str] = []
        self.gaps: list[dict] = []
        self._reader = self._open(None)

    def _open(self, after: str | None):
        return READERS[self._reader_name](self._world.gateway, [f"{self._world.topic}.>"], after)

    def run(self) -> None:
        cursor = self._reader.cursor
        while True:
            try:
                self._reader = self._reader or self._open(cursor)
                while True:
                    event = self._reader.next()
                    self.ids.append(event["id"])
                    cursor = self._reader.cursor
                    if event["topic"].endswith(".end"):
                        self.gaps += self._reader.gaps
                        self._reader.cut()
                        return
            except CUT:
                if self._reader:
                    self.gaps += self._reader.gaps
                    cursor = self._reader.cursor or cursor
                self._reader = None
                self._world.wait()


@pytest.fixture
def killed(tmp_path):
    """A gateway on disk that the test itself kills."""
    gateway = Gateway(tmp_path, "disk", ROOMY).start()
    yield gateway
    gateway.stop()


def test_after_kills_under_load_everybody_goes_on_without_a_gap_or_a_double(killed, topic, rng):
    gateway = killed
    world = World(gateway, topic)
    names = [name for name in READERS if "curl" not in name]
    followers = [Follower(world, name) for name in 2 * names]
    publishers = [threading.Thread(target=world.publish, args=(n,), daemon=True) for n in range(2)]
    for thread in followers + publishers:
        thread.start()

    acknowledged: list[str] = []
    for _ in range(KILLS):
        for _ in range(rng.randrange(50, 300)):
            acknowledged.append(world.acknowledged.get(timeout=DEADLINE_S))
        world.is_up.clear()
        gateway.signal(signal.SIGKILL)
        assert gateway.wait() == -signal.SIGKILL
        gateway.start()
        world.is_up.set()
    for _ in range(50):
        acknowledged.append(world.acknowledged.get(timeout=DEADLINE_S))
    world.is_over.set()
    for publisher in publishers:
        publisher.join(timeout=DEADLINE_S)
    end = gateway.publish(f"{topic}.end", "end")
    for follower in followers:
        follower.join(timeout=DEADLINE_S)
        assert follower.ids and follower.ids[-1] == end
    while not world.acknowledged.empty():
        acknowledged.append(world.acknowledged.get())

    expected = followers[0].ids
    assert all(one < other for one, other in zip(expected, expected[1:])), "a double, or no order"
    assert not set(acknowledged) - set(expected), "acknowledged and lost"
    for follower in followers:
        assert follower.gaps == []
        assert follower.ids == expected
