"""The store cannot be read: nobody gets an empty success, and everybody may go on where they were.

Method: more events than the store keeps in memory, a restart, and a tracer that makes each read of the tables fail.
Source: protocol section 6; a peer answered with an empty list, which its clients took for the truth.
"""

import json

import pytest
from httpx_sse import EventSource
from websockets.exceptions import InvalidStatus

from conftest import ROOMY
from faults import failing
from json_websocket import open_websocket
from refusal import STATUS_OF, check

EVENTS = 600
PAYLOAD = "x" * 60_000


@pytest.fixture(scope="module")
def stored(start_gateway):
    """A gateway whose oldest events are on disk alone, and their ids."""
    # What was read once is read again.
    gateway = start_gateway("disk", ROOMY + '\n[disk]\ncache_bytes = "1KiB"\n')
    ids: list[str] = []
    for _ in range(0, EVENTS, 15):
        ids += gateway.publish_all([{"topic": "far.back", "data": PAYLOAD}] * 15)
    gateway.stop()
    gateway.start()
    return gateway, ids


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize(
    "path",
    [
        "/poll?topic=far.back&after=start&limit=5",
        "/poll?topic=far.>&after={first}&limit=5",
        "/poll?topic=far.back&after={first}&wait=0",
        "/topics/far.back/events?limit=5",
        "/topics/far.back/events?after={first}",
    ],
)
def test_a_read_that_fails_is_503_and_never_an_empty_success(stored, path, http2):
    gateway, ids = stored
    path = path.replace("{first}", ids[0])
    with gateway.client(http2=http2) as client:
        with failing(gateway, "pread64"):
            check(client.get(path), "unavailable")
        answer = client.get(path)
        assert answer.status_code == 200
        first = ids[1] if ids[0] in path else ids[0]
        assert answer.json()["events"][0]["id"] == first


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_an_event_source_whose_read_fails_is_told_to_come_back(stored, http2):
    gateway, ids = stored
    headers = {"Accept": "text/event-stream", "Last-Event-ID": ids[0]}
    with gateway.client(http2=http2, headers=headers) as client:
        with failing(gateway, "pread64"):
            with client.stream("GET", "/sse?topic=far.back") as answer:
                assert answer.status_code == 200
                blocks = EventSource(answer).iter_sse()
                first = next(block for block in blocks if block.event not in ("hello", "hb"))
                assert first.event == "bye" and json.loads(first.data)["retry_ms"] > 0
                assert list(blocks) == []
        with client.stream("GET", "/sse?topic=far.back") as answer:
            events = (block for block in EventSource(answer).iter_sse() if block.event == "message")
            assert [next(events).id for _ in range(3)] == ids[1:4]


def test_a_websocket_whose_read_fails_is_refused_before_the_101(stored):
    gateway, ids = stored
    with failing(gateway, "pread64"), pytest.raises(InvalidStatus) as refused:
        with open_websocket(gateway, f"topic=far.back&after={ids[0]}"):
            pass
    assert refused.value.response.status_code == STATUS_OF["unavailable"]
    # Only the newest: a client that leaves with megabytes unread does not come to its Close frame.
    with open_websocket(gateway, f"topic=far.back&after={ids[-4]}") as socket:
        assert socket.hello["resumed"] is True
        assert [event["id"] for event in socket.take_events(3)] == ids[-3:]


def test_a_subscribe_frame_whose_read_fails_is_not_answered_with_ok(stored):
    gateway, ids = stored
    frame = {"op": "subscribe", "ref": 1, "topics": ["far.back"], "after": ids[0]}
    with open_websocket(gateway) as socket:
        with failing(gateway, "pread64"):
            answer = socket.ask(frame)
        assert (answer["op"], answer["code"]) == ("error", "unavailable")
        assert socket.ask(frame | {"after": ids[-4]})["resumed"] is True
        assert [event["id"] for event in socket.take_events(3)] == ids[-3:]
