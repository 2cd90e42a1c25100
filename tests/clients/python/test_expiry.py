"""The end of a token ends its session, on every transport; a refresh in time keeps it.

Source: protocol section 7; hazards: expiry ignored.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from httpx_sse import EventSource

from clock import movable_clock, set_clock
from gateway import Gateway
from json_websocket import open_websocket
from tokens import SECRET, bearer, signed

CONFIG = f"""
[auth.anonymous]
publish = ["orders.>", "stock.>"]
[auth.jwt]
hs256_secret = "{SECRET}"
leeway = "0s"
[limits]
heartbeat = "1h"
"""

RIGHTS = {"subscribe": ["orders.>", "stock.>"]}


@pytest.fixture(scope="module")
def guarded(start_gateway) -> Gateway:
    """No leeway, so that nothing is waited for twice; no heartbeat that would end a session late."""
    return start_gateway("memory", CONFIG)


def soon() -> str:
    """A token that is good for a moment, long enough to open a session on a busy machine."""
    return signed(exp=int(time.time()) + 4, tidewire=RIGHTS)


def later(**more) -> str:
    return signed(**{"exp": int(time.time()) + 3600, "tidewire": RIGHTS} | more)


def test_a_websocket_ends_with_4202_and_gets_nothing_afterwards(guarded):
    headers = bearer(soon())
    with open_websocket(guarded, "topic=orders.%3E", additional_headers=headers) as socket:
        guarded.publish("orders.a", "before")
        assert socket.take()["data"] == "before"
        frames, code, reason = socket.end()
        assert (code, reason) == (4202, "token expired")
        [bye] = frames
        assert (bye["op"], bye["code"]) == ("bye", 4202) and bye["retry_ms"] > 0


def test_an_event_stream_ends_after_a_bye_with_4202(guarded):
    with guarded.client() as client, client.stream(
        "GET", "/sse?topic=orders.>", headers=bearer(soon())
    ) as answer:
        blocks = EventSource(answer).iter_sse()
        assert next(blocks).event == "hello"
        guarded.publish("orders.a", "before")
        told = [block for block in blocks if block.event != "hb"]
        assert json.loads(told[0].data)["data"] == "before"
        assert [block.event for block in told[1:]] == ["bye"]
        assert json.loads(told[1].data)["code"] == 4202


def test_a_held_poll_is_answered_with_401(guarded):
    with guarded.client() as client:
        cursor = guarded.head_as(bearer(later()))
        params = {"topic": "orders.none", "after": cursor, "wait": 50}
        answer = client.get("/poll", params=params, headers=bearer(soon()))
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_refresh_keeps_the_session_and_its_place(guarded):
    with (
        open_websocket(guarded, "topic=orders.%3E", additional_headers=bearer(soon())) as kept,
        open_websocket(guarded, "topic=orders.%3E", additional_headers=bearer(soon())) as ended,
    ):
        expires = int(time.time()) + 3600
        answer = kept.ask({"op": "auth", "ref": 1, "token": later(exp=expires)})
        assert answer == {"op": "ok", "ref": 1, "expires": expires * 1000}
        assert ended.end()[1] == 4202
        # Its own first token is over too; a poll is held for longer than its end may have been put off.
        with guarded.client() as client:
            params = {"topic": "orders.none", "after": kept.hello["cursor"], "wait": 2.5}
            assert client.get("/poll", params=params, headers=bearer(later())).status_code == 200
        assert kept.ask({"op": "ping", "ref": 2})["op"] == "pong"
        guarded.publish("orders.a", "after")
        assert kept.take()["data"] == "after"


def test_the_end_of_a_later_token_counts_after_a_refresh(guarded):
    with open_websocket(guarded, "topic=orders.%3E", additional_headers=bearer(later())) as socket:
        assert socket.ask({"op": "auth", "token": soon()})["op"] == "ok"
        assert socket.end()[1] == 4202


def test_another_subject_cannot_take_a_session_over(guarded):
    with open_websocket(guarded, "topic=orders.%3E", additional_headers=bearer(later())) as socket:
        answer = socket.ask({"op": "auth", "ref": 1, "token": later(sub="u2")})
        assert (answer["op"], answer["code"]) == ("error", "forbidden")
        guarded.publish("orders.a", "still mine")
        assert socket.take()["data"] == "still mine"


def test_rights_that_shrink_drop_their_topics_at_once(guarded):
    query = "topic=orders.%3E&topic=stock.a"
    with open_websocket(guarded, query, additional_headers=bearer(later())) as socket:
        token = later(tidewire={"subscribe": ["stock.>"]})
        assert socket.ask({"op": "auth", "token": token})["op"] == "ok"
        guarded.publish("orders.a", "lost")
        guarded.publish("stock.a", "kept")
        assert socket.take()["data"] == "kept"
        answer = socket.ask({"op": "subscribe", "topics": ["orders.a"], "after": "start"})
        assert answer["code"] == "forbidden"


def test_a_cursor_opens_no_topic_that_is_no_longer_granted(guarded):
    cursor = guarded.head_as(bearer(later()))
    headers = bearer(later(tidewire={"subscribe": ["stock.>"]}))
    with guarded.client() as client:
        for path in ["/poll", "/sse"]:
            answer = client.get(path, params={"topic": "orders.a", "after": cursor}, headers=headers)
            assert answer.status_code == 403
        answer = client.get("/sse?topic=orders.a", headers=headers | {"Last-Event-ID": cursor})
        assert answer.status_code == 403


def test_an_auth_frame_is_not_waited_for_longer_than_its_time(start_gateway):
    gateway = start_gateway("memory", CONFIG + 'auth_timeout = "500ms"\n')
    with open_websocket(gateway, "topic=orders.%3E") as socket:
        frames, code, _ = socket.end()
        assert code == 4001
        assert [frame.get("code") for frame in frames] == ["unauthorized", 4001]
    with open_websocket(gateway, "topic=orders.%3E") as socket:
        assert socket.ask({"op": "auth", "token": later()})["op"] == "ok"
        gateway.publish("orders.a", "in time")
        assert socket.take()["data"] == "in time"


@pytest.fixture(scope="module")
def moved(start_gateway, tmp_path_factory):
    """A gateway whose wall clock is moved."""
    offset, environment = movable_clock(tmp_path_factory.mktemp("clock"))
    return start_gateway("memory", CONFIG, environment=environment), offset


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
def test_after_a_step_of_the_clock_beyond_the_end_nothing_is_delivered(moved, transport):
    gateway, offset = moved
    set_clock(offset, 0)
    headers = bearer(later(exp=int(time.time()) + 600))
    if transport == "websocket":
        with open_websocket(gateway, "topic=orders.%3E", additional_headers=headers) as socket:
            set_clock(offset, 3600)
            gateway.publish("orders.a", "too late")
            frames, code, _ = socket.end()
            assert code == 4202 and [frame["op"] for frame in frames] == ["bye"]
    elif transport == "sse":
        with gateway.client() as client, client.stream(
            "GET", "/sse?topic=orders.>", headers=headers
        ) as answer:
            blocks = EventSource(answer).iter_sse()
            assert [next(blocks).event for _ in range(2)] == ["hello", "hb"]
            set_clock(offset, 3600)
            gateway.publish("orders.a", "too late")
            assert [block.event for block in blocks] == ["bye"]
    else:
        with gateway.client() as client:
            cursor = gateway.head_as(headers)
            with ThreadPoolExecutor(1) as pool:
                params = {"topic": "orders.>", "after": cursor, "wait": 50}
                held = pool.submit(client.get, "/poll", params=params, headers=headers)
                gateway.wait_for_sessions(1)
                set_clock(offset, 3600)
                gateway.publish("orders.a", "too late")
                assert held.result().status_code == 401


def test_of_many_sessions_with_one_end_those_that_were_refreshed_live(moved):
    gateway, offset = moved
    set_clock(offset, 0)
    headers = bearer(later(exp=int(time.time()) + 600))
    refreshed = later(exp=int(time.time()) + 7200)
    with ExitStack() as opened:
        sockets = [
            opened.enter_context(
                open_websocket(gateway, "topic=orders.%3E", additional_headers=headers)
            )
            for _ in range(200)
        ]
        kept, ended = sockets[::2], sockets[1::2]
        for socket in kept:
            assert socket.ask({"op": "auth", "token": refreshed})["op"] == "ok"
        set_clock(offset, 3600)
        event = gateway.publish("orders.a", "for those who stay")
        assert {socket.take()["id"] for socket in kept} == {event}
        for socket in ended:
            frames, code, _ = socket.end()
            assert code == 4202 and [frame["op"] for frame in frames] == ["bye"]
