"""What one publisher sends in a row is stored in that order, whatever it sends it over.

Source: protocol sections 4 and 8; a peer that emulated sockets over POST let requests pass one another.
"""

import pytest

from gateway import Gateway
from h2_websocket import Http2WebSocket
from blocking_websocket import BlockingWebSocket
from json_websocket import WebSocket
from raw_tls import all_statuses

EVENTS = 200


@pytest.mark.parametrize("connect", [BlockingWebSocket, Http2WebSocket])
def test_publish_frames_sent_without_waiting_keep_their_order(
    gateway_of_each_engine, topic, connect
):
    gateway = gateway_of_each_engine
    socket = WebSocket(connect(gateway))
    for number in range(EVENTS):
        socket.send({"op": "publish", "ref": number, "topic": topic, "data": number})
    answers = [socket.take() for _ in range(EVENTS)]
    socket.connection.cut()
    assert {answer["op"] for answer in answers} == {"ok"}, answers
    by_ref = sorted(answers, key=lambda answer: answer["ref"])
    assert [answer["id"] for answer in by_ref] == stored(gateway, topic)


def test_requests_sent_without_waiting_keep_their_order(gateway_of_each_engine, topic):
    gateway = gateway_of_each_engine
    requests = b"".join(request(gateway, topic, number) for number in range(EVENTS))
    assert all_statuses(gateway, requests) == [201] * EVENTS
    stored(gateway, topic)


def test_what_was_answered_comes_before_what_is_sent_then_over_another_connection(
    gateway_of_each_engine, topic
):
    gateway = gateway_of_each_engine
    with gateway.client() as first, gateway.client(http2=True) as second:
        socket = WebSocket(BlockingWebSocket(gateway))
        for number in range(EVENTS):
            if number % 3 == 0:
                frame = {"op": "publish", "ref": 0, "topic": topic, "data": number}
                assert socket.ask(frame)["op"] == "ok"
            else:
                client = [first, second][number % 3 - 1]
                answer = client.post("/publish", json={"topic": topic, "data": number})
                assert answer.status_code == 201, answer.text
        socket.connection.close()
    stored(gateway, topic)


def request(gateway: Gateway, topic: str, number: int) -> bytes:
    """One publish, the last one with the end of the connection."""
    body = str(number)
    end = "Connection: close\r\n" if number == EVENTS - 1 else ""
    head = f"POST /topics/{topic} HTTP/1.1\r\nHost: {gateway.listen}\r\n{end}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def stored(gateway: Gateway, topic: str) -> list[str]:
    """The ids in log order; the data is checked to count up."""
    with gateway.client() as client:
        page = client.get(f"/topics/{topic}/events", params={"limit": 1000}).json()
    assert [event["data"] for event in page["events"]] == list(range(EVENTS))
    return [event["id"] for event in page["events"]]
