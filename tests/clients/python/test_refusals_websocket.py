"""Every refusal inside a WebSocket: the error that answers a frame, the code that closes.

Bytes that are no good frames are in `test_bad_frames.py`.

Source: protocol section 3.3.
"""

import json
from dataclasses import dataclass

import pytest
from websockets.exceptions import InvalidStatus

from json_websocket import open_websocket
from raw_tls import RawWebSocket


@dataclass(frozen=True)
class Frame:
    """A frame that is refused while the connection stays."""

    name: str
    members: dict
    code: str
    mentions: str = ""


def subscribe(name: str, code: str, mentions: str = "", **members) -> Frame:
    frame = {"op": "subscribe", "topics": ["a.b"]} | members
    return Frame(f"subscribe: {name}", frame, code, mentions)


def publish(name: str, code: str, mentions: str = "", **members) -> Frame:
    frame = {"op": "publish", "topic": "a.b", "data": 1} | members
    frame = {key: value for key, value in frame.items() if value is not None}
    return Frame(f"publish: {name}", frame, code, mentions)


FRAMES = [
    Frame("no op", {"topics": ["a.b"]}, "bad_request", "op"),
    Frame("an op that is a number", {"op": 1}, "bad_request", "op"),
    Frame("an unknown op", {"op": "dance"}, "bad_request", "op"),
    Frame("an op of the server", {"op": "hello"}, "bad_request"),
    Frame("subscribe: no topics", {"op": "subscribe"}, "bad_request", "topics"),
    subscribe("topics that are text", "bad_request", "topics", topics="a.b"),
    subscribe("topics that are numbers", "bad_topic", "topics", topics=[1]),
    subscribe("an empty list", "bad_request", "topics", topics=[]),
    subscribe("an empty topic", "bad_topic", topics=[""]),
    subscribe("an empty level", "bad_topic", topics=["a..b"]),
    subscribe("a bad level", "bad_topic", "b*", topics=["a.b*"]),
    subscribe("one good and one bad", "bad_topic", topics=["a.b", "a..b"]),
    subscribe("65 topics", "bad_request", "topics", topics=[f"a.{n}" for n in range(65)]),
    subscribe("after: a word", "bad_cursor", after="yesterday"),
    subscribe("after: empty", "bad_cursor", after=""),
    subscribe("after: a number", "bad_cursor", "after", after=7),
    subscribe("after and last", "bad_request", "last", after="now", last=1),
    subscribe("last: above 1000", "bad_request", "last", last=1001),
    subscribe("last: negative", "bad_request", "last", last=-1),
    subscribe("last: text", "bad_request", "last", last="all"),
    Frame("unsubscribe: no topics", {"op": "unsubscribe"}, "bad_request", "topics"),
    Frame("unsubscribe: a bad topic", {"op": "unsubscribe", "topics": ["a..b"]}, "bad_topic"),
    publish("no topic", "bad_request", "topic", topic=None),
    publish("no data", "bad_request", "data", data=None),
    publish("a bad topic", "bad_topic", topic="a..b"),
    publish("a pattern", "bad_topic", "*", topic="a.*"),
    publish("a topic of the gateway", "forbidden", topic="$presence.a"),
    publish("a type of 101 bytes", "bad_request", "type", type="t" * 101),
    publish("a type with a line feed", "bad_request", "type", type="a\nb"),
    publish("an empty key", "bad_request", "key", key=""),
    publish("a key with another payload", "key_reused", topic="key.reused.ws", data=2, key="once"),
    publish("an event that is too large", "too_large", data="x" * 66000),
    Frame("auth: no token", {"op": "auth"}, "bad_request", "token"),
]


@pytest.fixture(scope="module", autouse=True)
def used_key(gateway):
    """The key that one row uses again for another payload."""
    gateway.publish_all([{"topic": "key.reused.ws", "data": 1, "key": "once"}])


@pytest.mark.parametrize("frame", FRAMES, ids=[frame.name for frame in FRAMES])
def test_a_wrong_frame_is_answered_with_an_error_and_the_connection_stays(gateway, topic, frame):
    with open_websocket(gateway, f"topic={topic}") as socket:
        error = socket.ask(frame.members | {"ref": 9})
        assert (error["op"], error["code"]) == ("error", frame.code), error
        assert error["ref"] == 9
        assert frame.mentions in error["message"]
        assert socket.ask({"op": "ping", "ref": 10}) == {"op": "pong", "ref": 10}
        gateway.publish(topic, "still here")
        assert socket.take()["data"] == "still here"


def test_a_refused_subscribe_subscribes_nothing(gateway, topic):
    with open_websocket(gateway) as socket:
        socket.ask({"op": "subscribe", "ref": 1, "topics": [f"{topic}.a", "a..b"]})
        socket.ask({"op": "subscribe", "ref": 2, "topics": [f"{topic}.b"]})
        gateway.publish(f"{topic}.a", "not asked for")
        gateway.publish(f"{topic}.b", "asked for")
        assert socket.take()["data"] == "asked for"


def test_the_sixty_fifth_topic_of_a_session_is_refused(gateway, topic):
    with open_websocket(gateway) as socket:
        topics = [f"{topic}.{number}" for number in range(64)]
        assert socket.ask({"op": "subscribe", "ref": 1, "topics": topics})["op"] == "ok"
        error = socket.ask({"op": "subscribe", "ref": 2, "topics": [f"{topic}.more"]})
        assert (error["op"], error["code"]) == ("error", "bad_request")


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "[]",
        "42",
        '"op"',
        "null",
        "true",
        "",
        " ",
        "{",
        '{"op":"ping"',
        '{"op":"ping"} {}',
        "op",
    ],
)
def test_a_frame_that_is_no_json_object_closes_with_4000(gateway, text):
    with open_websocket(gateway) as socket:
        socket.send(text)
        frames, code, _ = socket.end()
        assert code == 4000
        assert {frame["op"] for frame in frames} <= {"error", "bye"}
    assert gateway.is_alive()


def test_a_binary_frame_closes_with_1003(gateway):
    with open_websocket(gateway) as socket:
        socket.send(b'{"op":"ping","ref":1}')
        assert socket.end()[1] == 1003


def test_a_frame_larger_than_an_event_plus_16_kib_closes_with_1009(gateway):
    with open_websocket(gateway, compression=None) as socket:
        frame = {"op": "publish", "ref": 1, "topic": "a.b", "data": "x" * (80 * 1024)}
        socket.send(frame)
        assert socket.end()[1] == 1009


def test_the_largest_frame_is_read(gateway, topic):
    with open_websocket(gateway, compression=None) as socket:
        frame = {"op": "publish", "ref": 1, "topic": topic, "data": "x" * 60000}
        text = json.dumps(frame)
        text += " " * (80 * 1024 - len(text))
        socket.send(text)
        assert socket.take()["op"] == "ok"


def test_a_client_that_answers_no_ping_is_closed_with_4201(quick_heartbeat):
    texts, code = RawWebSocket(quick_heartbeat).end()
    assert code == 4201
    assert json.loads(texts[-1])["op"] == "bye"


def test_an_upgrade_with_a_bad_credential_is_401_before_the_101(gateway):
    headers = {"Authorization": "Bearer nonsense"}
    with pytest.raises(InvalidStatus) as refused:
        with open_websocket(gateway, additional_headers=headers):
            pass
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["www-authenticate"].startswith("Bearer")
    assert b"unauthorized" in refused.value.response.body
