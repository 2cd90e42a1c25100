"""WebSocket inside HTTP/2, by hand: what a browser does on an open page.

Source: RFC 8441; protocol section 3.3.
"""

import json

import h2.settings

from h2_websocket import Closed, Http2WebSocket


def test_the_server_allows_extended_connect_in_its_settings(gateway):
    socket = Http2WebSocket(gateway)
    assert socket.settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
    socket.cut()


def test_a_websocket_opens_inside_an_http_2_stream(gateway, topic):
    socket = Http2WebSocket(gateway, f"/ws?topic={topic}")
    # RFC 8441 section 5: 200 takes the place of 101, and no key is exchanged.
    assert socket.status == 200
    assert socket.headers["sec-websocket-protocol"] == "tidewire.v1"
    assert "sec-websocket-accept" not in socket.headers
    assert json.loads(socket.recv())["op"] == "hello"

    event_id = gateway.publish(topic, {"a": 1})

    event = json.loads(socket.recv())
    assert (event["id"], event["data"]) == (event_id, {"a": 1})
    socket.cut()


def test_frames_go_both_ways_inside_an_http_2_stream(gateway, topic):
    socket = Http2WebSocket(gateway)
    assert json.loads(socket.recv())["op"] == "hello"
    socket.send(json.dumps({"op": "subscribe", "ref": 1, "topics": [topic]}))
    assert json.loads(socket.recv())["ref"] == 1
    socket.send(json.dumps({"op": "publish", "ref": 2, "topic": topic, "data": "x" * 60000}))
    frames = [json.loads(socket.recv()), json.loads(socket.recv())]
    answer = next(frame for frame in frames if "op" in frame)
    event = next(frame for frame in frames if "op" not in frame)
    assert answer["id"] == event["id"]
    assert len(event["data"]) == 60000
    socket.cut()


def test_a_close_is_answered_and_ends_the_stream(gateway):
    socket = Http2WebSocket(gateway)
    socket.recv()
    socket.close()


def test_a_frame_that_is_no_object_closes_with_4000_inside_http_2_too(gateway):
    socket = Http2WebSocket(gateway)
    socket.recv()
    socket.send("[1]")
    try:
        while True:
            assert json.loads(socket.recv())["op"] in ("error", "bye")
    except Closed as closed:
        assert closed.code == 4000
    socket.cut()


def test_a_client_that_offers_no_subprotocol_is_served_inside_http_2_too(gateway):
    socket = Http2WebSocket(gateway, headers=())
    assert socket.status == 200
    assert "sec-websocket-protocol" not in socket.headers
    assert json.loads(socket.recv())["op"] == "hello"
    socket.cut()


def test_a_bad_query_is_refused_before_the_stream_becomes_a_websocket(gateway):
    socket = Http2WebSocket(gateway, "/ws?topic=a..b")
    assert socket.status == 400
    assert socket.headers["content-type"] == "application/problem+json"
    assert json.loads(socket.body)["code"] == "bad_topic"
    socket.cut()


def test_a_foreign_origin_is_refused_inside_http_2_too(gateway):
    headers = (("origin", "https://app.example.com.evil.io"),)
    socket = Http2WebSocket(gateway, headers=headers)
    assert socket.status == 403
    assert json.loads(socket.body)["code"] == "forbidden"
    socket.cut()


def test_extended_connect_elsewhere_is_no_websocket(gateway):
    socket = Http2WebSocket(gateway, "/poll?topic=a.b")
    assert socket.status in (400, 404, 405)
    socket.cut()
