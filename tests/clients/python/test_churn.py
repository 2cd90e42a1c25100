"""Connections and subscriptions that come and go all the time, beside publishers and readers that are not to notice.

Source: hazards of peers: a task or a buffer left behind by each connection; a publisher that waits for a subscriber's lock.
"""

import socket
import struct
from collections import deque

import pytest

from conftest import ROOMY
from gateway import Gateway
from json_websocket import open_websocket
from publishing import publishing
from raw_tls import RawWebSocket, open_tls
from readers import READERS
from waiting import at_rest

CONNECTIONS = 500
# So many of them are open at one time.
OPEN = 60
MIB = 1 << 20


@pytest.fixture
def busy(tmp_path):
    """A gateway whose counts are this test's alone."""
    gateway = Gateway(tmp_path, "memory", ROOMY).start()
    yield gateway
    gateway.stop()


def test_connections_that_come_and_go_under_load_leave_nothing_behind(busy, topic, rng):
    # The first wave fills what is kept for good: the allocator's arenas, threads, the window.
    watched_wave(busy, topic, rng)
    descriptors, memory = at_rest(busy)
    for _ in range(2):
        watched_wave(busy, topic, rng)
    after, more = at_rest(busy, descriptors)
    assert after <= descriptors
    busy.wait_for_sessions(0)
    # A thousand connections went through: 8 KiB for each would show.
    assert more - memory < 8 * MIB


def watched_wave(gateway: Gateway, topic: str, rng) -> None:
    """Connections of every kind, while somebody publishes and one reader for each transport gets all of it."""
    readers = [READERS[name](gateway, [topic], None) for name in ("websockets", "httpx-sse")]
    readers.append(READERS["httpx polls"](gateway, [topic], gateway.head()))
    with publishing(gateway, topic) as ids:
        opened = deque()
        for number in range(CONNECTIONS):
            opened.append(half_of_a_life(gateway, topic, number))
            if len(opened) > OPEN:
                opened.rotate(rng.randrange(OPEN))
                end_somehow(opened.popleft(), rng.randrange(3))
        for each in opened:
            end_somehow(each, rng.randrange(3))
    for reader in readers:
        assert [reader.next()["id"] for _ in ids] == ids
        assert reader.gaps == []
        reader.cut()


def half_of_a_life(gateway: Gateway, topic: str, number: int) -> socket.socket:
    """A connection that has asked for a session, or for nothing yet, or for half of something."""
    host = f"Host: {gateway.listen}\r\n"
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    requests = [
        f"GET /ws?topic={topic} HTTP/1.1\r\n{host}{upgrade}\r\n",
        f"GET /sse?topic={topic} HTTP/1.1\r\n{host}\r\n",
        f"GET /poll?topic={topic}.none&after={gateway.head()}&wait=55 HTTP/1.1\r\n{host}\r\n",
        f"POST /topics/{topic}.half HTTP/1.1\r\n{host}Content-Length: 100\r\n\r\nhalf",
        f"GET /sse?topic={topic} HT",
    ]
    tls = open_tls(gateway)
    tls.sendall(requests[number % len(requests)].encode())
    if number % len(requests) < 2:
        # The session is there, and not only asked for.
        assert tls.recv(12) in (b"HTTP/1.1 101", b"HTTP/1.1 200")
    return tls


def end_somehow(tls: socket.socket, way: int) -> None:
    """Closed, reset, or with its sending side shut first."""
    if way == 1:
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif way == 2:
        tls.shutdown(socket.SHUT_WR)
    tls.close()


EVENTS = 1500
PAYLOAD = "x" * 8000


def test_publishing_goes_on_beside_readers_that_stop_and_sessions_that_change(
    gateway_of_each_engine, topic, rng
):
    gateway = gateway_of_each_engine
    # They open, and never read again.
    stopped = [RawWebSocket(gateway, f"/ws?topic={topic}") for _ in range(5)]
    received: list[str] = []
    with open_websocket(gateway) as session, publishing(gateway, topic, EVENTS, PAYLOAD) as ids:
        cursor = session.hello["cursor"]
        while len(received) < EVENTS:
            frame = {"op": "subscribe", "ref": 1, "topics": [topic], "after": cursor}
            answer = session.ask(frame)
            assert answer["op"] == "ok" and answer["resumed"] is True, answer
            wanted = min(rng.randrange(1, 40), EVENTS - len(received))
            while len(session.events) < wanted:
                session.events.append(session.take())
            assert session.ask({"op": "unsubscribe", "ref": 2, "topics": [topic]})["op"] == "ok"
            received += [event["id"] for event in session.events]
            cursor = received[-1]
            session.events.clear()
            assert session.ask({"op": "ping", "ref": 3})["op"] == "pong"
            assert session.events == [], "an event after the answer to unsubscribe"
    assert received == ids
    for each in stopped:
        each.cut()
