"""Limits that an outside client can meet: rates and connections. Source: protocol sections 3, 6, 10."""

import json

import pytest
from httpx_sse import EventSource
from websockets.exceptions import ConnectionClosed, InvalidStatus

from blocking_websocket import BlockingWebSocket
from gateway import Gateway
from json_websocket import open_websocket
from raw_tls import exchange, open_tls
from refusal import check


@pytest.fixture
def slow_lane(tmp_path):
    """A gateway that takes five events a second from one publisher."""
    gateway = Gateway(tmp_path, "memory", "[limits]\npublishes_per_second = 5\n").start()
    yield gateway
    gateway.stop()


def test_a_publisher_above_its_rate_is_refused_with_429(slow_lane, topic):
    with slow_lane.client() as client:
        answers = [client.post(f"/topics/{topic}", content="1") for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code != 201]
        assert [answer.status_code for answer in answers[:5]] == [201] * 5
        assert refused
        check(refused[0], "rate_limited")
        stored = client.get(f"/topics/{topic}").json()["retained"]
        assert stored == len(answers) - len(refused), "a refused event is not stored"


def test_the_elements_of_a_batch_above_the_rate_are_refused_one_by_one(slow_lane, topic):
    with slow_lane.client() as client:
        elements = [{"topic": topic, "data": number} for number in range(20)]
        answer = client.post("/publish", json=elements)
        assert answer.status_code == 200
        codes = [each.get("code") for each in answer.json()]
        assert codes[:5] == [None] * 5
        assert set(codes[5:]) <= {None, "rate_limited"} and "rate_limited" in codes


def test_a_publish_frame_above_the_rate_is_answered_with_an_error(slow_lane, topic):
    with open_websocket(slow_lane) as socket:
        frame = {"op": "publish", "ref": 1, "topic": topic, "data": 1}
        answers = [socket.ask(frame) for _ in range(20)]
        assert {answer.get("code") for answer in answers} == {None, "rate_limited"}
        assert socket.ask({"op": "ping", "ref": 2})["op"] == "pong"


@pytest.fixture
def three_seats(tmp_path):
    """A gateway that takes three connections from one address."""
    gateway = Gateway(tmp_path, "memory", "[limits]\nconnections_per_address = 3\n").start()
    yield gateway
    gateway.stop()


def end_of_one_more_websocket(gateway: Gateway) -> int:
    """The close code, or the status that refused the upgrade."""
    try:
        with BlockingWebSocket(gateway) as connection:
            while True:
                connection.recv()
    except InvalidStatus as refused:
        return refused.response.status_code
    except ConnectionClosed as closed:
        return closed.rcvd.code


def test_a_websocket_above_the_limit_is_told_so_and_those_who_are_in_stay(three_seats, topic):
    with (
        open_websocket(three_seats),
        open_websocket(three_seats),
        open_websocket(three_seats) as last,
    ):
        assert end_of_one_more_websocket(three_seats) in (4100, 429, 503)
        assert last.ask({"op": "ping", "ref": 1})["op"] == "pong"


def test_a_poll_above_the_limit_is_refused_with_a_pause(three_seats, topic):
    with open_websocket(three_seats), open_websocket(three_seats), open_websocket(three_seats):
        with three_seats.client() as client:
            answer = client.get("/poll", params={"topic": topic, "after": "start"})
            assert answer.status_code in (429, 503)
            check(answer, "rate_limited" if answer.status_code == 429 else "unavailable")


@pytest.mark.parametrize("start", ["", "&after=start"], ids=["the first poll", "a later poll"])
def test_a_poll_on_one_connection_too_many_is_refused_and_closed(three_seats, topic, start):
    with open_tls(three_seats), open_tls(three_seats), open_tls(three_seats):
        target = f"/poll?topic={topic}{start}"
        request = f"GET {target} HTTP/1.1\r\nHost: {three_seats.listen}\r\n\r\n"
        answer = exchange(three_seats, request.encode())
        assert (answer.status, answer.closed) == (503, True)
        assert "retry-after" in answer.headers


def test_an_event_source_above_the_limit_never_sees_an_error_status(three_seats, topic):
    with open_websocket(three_seats), open_websocket(three_seats), open_websocket(three_seats):
        headers = {"Accept": "text/event-stream"}
        with three_seats.client() as client:
            with client.stream("GET", f"/sse?topic={topic}", headers=headers) as answer:
                assert answer.status_code == 200
                (bye,) = list(EventSource(answer).iter_sse())
                assert bye.event == "bye" and bye.retry
                assert json.loads(bye.data)["code"] == 4100
