"""SIGTERM under sessions of all kinds: everyone is told, and everyone may come back.

Source: protocol sections 3 and 10; hazards of a drain: a native EventSource never sees 503 or 204.
"""

import json
import signal
import threading
import time
from contextlib import ExitStack, suppress

import pytest
from httpx_sse import EventSource
from wsproto.events import CloseConnection

from gateway import DEADLINE_S, Gateway
from json_websocket import open_websocket
from raw_tls import RawWebSocket, open_tls
from waiting import until


@pytest.fixture
def leaving(tmp_path):
    """A gateway that the test itself brings to an end."""
    gateway = Gateway(tmp_path, "disk").start()
    yield gateway
    gateway.stop()


def test_a_websocket_is_told_bye_and_closed_with_4203(leaving, topic):
    with open_websocket(leaving, f"topic={topic}") as socket:
        leaving.signal(signal.SIGTERM)
        frames, code, _ = socket.end()
        (bye,) = [frame for frame in frames if frame["op"] == "bye"]
        assert code == bye["code"] == 4203
        assert bye["reason"] == "draining" and bye["retry_ms"] > 0
    assert leaving.wait() == 0


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_an_event_stream_is_told_bye_and_ends_cleanly(leaving, topic, http2):
    with leaving.client(http2=http2) as client:
        with client.stream("GET", "/sse", params={"topic": topic}) as answer:
            blocks = EventSource(answer).iter_sse()
            assert next(blocks).event == "hello"
            leaving.signal(signal.SIGTERM)
            rest = [block for block in blocks if block.event != "hb"]
    assert [block.event for block in rest] == ["bye"]
    bye = json.loads(rest[0].data)
    assert bye["code"] == 4203 and bye["reason"] == "draining" and bye["retry_ms"] > 0
    assert leaving.wait() == 0


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_held_poll_answers_with_its_cursor(leaving, topic, http2):
    with leaving.client(http2=http2) as client:
        cursor = client.get("/poll", params={"topic": topic}).json()["cursor"]
        answers = []
        query = {"topic": topic, "after": cursor, "wait": 25}
        held = threading.Thread(target=lambda: answers.append(client.get("/poll", params=query)))
        held.start()
        wait_for_subscriber(leaving, topic)
        leaving.signal(signal.SIGTERM)
        held.join(timeout=30)
    assert answers and answers[0].status_code == 200
    assert answers[0].json() == {"cursor": cursor, "events": [], "more": False}
    assert leaving.wait() == 0


def test_those_that_are_sent_away_are_spread_over_time(leaving, topic):
    with ExitStack() as opened:
        sockets = [opened.enter_context(open_websocket(leaving, f"topic={topic}")) for _ in range(30)]
        leaving.signal(signal.SIGTERM)
        pauses = [socket.end()[0][-1]["retry_ms"] for socket in sockets]
    # Each is one of thousands: that ten of thirty are the same never happens.
    assert len(set(pauses)) > 20, pauses
    assert leaving.wait() == 0


@pytest.mark.parametrize("sent", ["the request line", "all but the last byte"])
def test_an_event_source_that_asks_during_a_drain_never_sees_an_error_status(leaving, topic, sent):
    request = f"GET /sse?topic={topic} HTTP/1.1\r\nHost: {leaving.listen}\r\nAccept: text/event-stream\r\n\r\n"
    at = {"the request line": request.index("\n") + 1, "all but the last byte": len(request) - 1}
    with ExitStack() as opened:
        # As long as it says nothing to the Close frame, the drain goes on.
        lingering = RawWebSocket(leaving, f"/ws?topic={topic}")
        opened.callback(lingering.cut)
        asking = [opened.enter_context(open_tls(leaving)) for _ in range(5)]
        for tls in asking:
            tls.sendall(request[: at[sent]].encode())
        until(lambda: leaving.sockets() >= 1 + len(asking))
        leaving.signal(signal.SIGTERM)
        while not isinstance(lingering.take(), CloseConnection):
            pass
        answers = []
        for tls in asking:
            received = b""
            with suppress(OSError):
                tls.sendall(request[at[sent] :].encode())
                while data := tls.recv(65536):
                    received += data
            answers.append(received)
    # Nothing at all would be a connection that was lost: an EventSource comes back after it.
    answered = [each for each in answers if each]
    assert answered, "all of them were lost"
    for each in answered:
        assert each.startswith(b"HTTP/1.1 200 "), each
        assert b"event: bye" in each and b'"code":4203' in each, each
    assert leaving.wait() == 0


def test_nothing_is_missed_across_a_restart_on_disk(leaving, topic):
    ids = [leaving.publish(topic, number) for number in range(3)]
    headers = {"Idempotency-Key": "before"}
    with leaving.client() as client:
        first = client.post(f"/topics/{topic}", content="3", headers=headers).json()["id"]
    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 0
    leaving.start()
    with leaving.client() as client:
        again = client.post(f"/topics/{topic}", content="3", headers=headers)
    assert again.status_code == 200
    assert again.json() == {"id": first, "topic": topic, "duplicate": True}
    ids += [first, leaving.publish(topic, 4)]
    with open_websocket(leaving, f"topic={topic}&after={ids[0]}") as socket:
        assert socket.hello["resumed"] is True
        assert [event["id"] for event in socket.take_events(4)] == ids[1:]


def test_a_restart_on_memory_is_told_as_a_gap_of_the_epoch(tmp_path, topic):
    gateway = Gateway(tmp_path, "memory").start()
    cursor = gateway.publish(topic, "lost")
    gateway.stop()
    gateway.start()
    kept = gateway.publish(topic, "kept")
    with open_websocket(gateway, f"topic={topic}&after={cursor}") as socket:
        assert socket.hello["resumed"] is False
        gap = socket.take()
        assert (gap["op"], gap["reason"], gap["after"]) == ("gap", "epoch", cursor)
        assert socket.take()["id"] == kept
    gateway.stop()


def test_a_gateway_whose_log_nobody_reads_any_more_still_drains(tmp_path):
    gateway = Gateway(tmp_path, "memory", log_to_pipe=True).start()
    gateway.close_log()
    gateway.stop()


def wait_for_subscriber(gateway: Gateway, topic: str) -> None:
    """Waits until the gateway counts a subscriber of the topic."""
    with gateway.client() as client:
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            if client.get(f"/topics/{topic}").json()["subscribers"] > 0:
                return
    raise TimeoutError("nobody subscribed")
