"""HTTP/2 connections that flood, by frames made by hand: each ends, memory stays flat, the others miss nothing.

Shape: `FLOODS` is a table of endless frames and how the connection must end. A subscriber on a connection of its own gets
what is published meanwhile.
Source: RFC 9113 section 10.5; hazards part 1 rows 18 and 19; CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, repeat

import pytest

from gateway import Gateway
from json_websocket import open_websocket
from raw_http2 import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, RawHttp2, error, fields, frame, number, request, setting,
)  # fmt: skip

MIB = 1 << 20
CALM = "GOAWAY ENHANCE_YOUR_CALM"
WHOLE = END_HEADERS | END_STREAM
# Far more than any bound; a server that goes on for ever gets so many.
FRAMES = 200_000
CANCEL = number(8)


def rapid_reset(authority: str) -> Iterator[bytes]:
    for stream in count(1, 2):
        ask = frame(HEADERS, WHOLE, stream, request(authority, "/sse?topic=a.b"))
        yield ask + frame(RST_STREAM, 0, stream, CANCEL)


def resets_by_the_server(authority: str) -> Iterator[bytes]:
    # CVE-2025-8671: the client breaks its own streams, so that the server resets them.
    block = request(authority, "/topics/a.b", "POST", (b"content-length", b"1"))
    for stream in count(1, 2):
        yield frame(HEADERS, WHOLE, stream, block)


def streams_above_the_cap(authority: str) -> Iterator[bytes]:
    for stream in count(1, 2):
        yield frame(HEADERS, WHOLE, stream, request(authority, "/sse?topic=a.b"))


def continuation(authority: str) -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, request(authority))
    yield from repeat(frame(CONTINUATION, 0, 1, fields((b"x-tide", b"1"))))


def empty_continuation(authority: str) -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, request(authority))
    yield from repeat(frame(CONTINUATION, 0, 1))


def data(payload: bytes) -> Callable[[str], Iterator[bytes]]:
    def flood(authority: str) -> Iterator[bytes]:
        yield frame(HEADERS, END_HEADERS, 1, request(authority, "/topics/a.b", "POST"))
        yield from repeat(frame(DATA, 0, 1, payload))

    return flood


def header_bombs(authority: str) -> Iterator[bytes]:
    # A name and value of 4,000 bytes, then a byte for each time that it is meant again.
    first = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000
    yield frame(HEADERS, WHOLE, 1, request(authority) + first + b"\xbe" * 3)
    for stream in count(3, 2):
        yield frame(HEADERS, WHOLE, stream, request(authority) + b"\xbe" * 8000)


def resets_of_a_stream_that_is_over(authority: str) -> Iterator[bytes]:
    yield frame(HEADERS, WHOLE, 1, request(authority))
    yield from repeat(frame(RST_STREAM, 0, 1, CANCEL))


def only(one: bytes) -> Callable[[str], Iterator[bytes]]:
    return lambda authority: repeat(one)


FLOODS = [
    ("rapid reset", rapid_reset, CALM),
    ("resets by the server", resets_by_the_server, CALM),
    ("streams above the cap", streams_above_the_cap, CALM),
    ("CONTINUATION", continuation, CALM),
    ("empty CONTINUATION", empty_continuation, CALM),
    ("empty DATA", data(b""), CALM),
    ("DATA of one byte", data(b"1"), CALM),
    ("header bombs", header_bombs, CALM),
    ("SETTINGS", only(frame(SETTINGS)), "closed"),
    ("SETTINGS that move every window", only(frame(SETTINGS, payload=setting(4, 0)) + frame(SETTINGS, payload=setting(4, 1 << 30))), "closed"),
    ("PING", only(frame(PING, payload=b"tidewire")), "closed"),
    ("PRIORITY", only(frame(PRIORITY, 0, 3, number(1) + b"\x10")), "closed"),
    ("RST_STREAM", resets_of_a_stream_that_is_over, "closed"),
    ("frames of an unknown type", only(frame(0x42, 0xFF, 0, b"tide")), "closed"),
]  # fmt: skip


@pytest.fixture(scope="module")
def flooded(start_gateway) -> Gateway:
    """A gateway of its own, whose memory nobody else uses."""
    return start_gateway("memory")


@pytest.mark.parametrize(
    ("flood", "end"), [row[1:] for row in FLOODS], ids=[row[0] for row in FLOODS]
)
def test_a_flood_ends_its_connection_and_no_other(flooded, topic, flood, end):
    with open_websocket(flooded, f"topic={topic}") as bystander:
        send(flooded, flood)  # once before, so that what is kept for good is there
        before = flooded.resident_bytes()
        for round_ in range(3):
            assert send(flooded, flood, during=lambda: flooded.publish(topic, round_)) == end
        assert flooded.resident_bytes() - before < 2 * MIB
        assert [event["data"] for event in bystander.take_events(3)] == [0, 1, 2]
    assert flooded.is_alive()


def send(gateway: Gateway, flood, during: Callable[[], object] = lambda: None) -> str:
    """Floods until the server ends the connection or has had far too much; how it ended. A server that does not end it
    meets the deadline."""
    frames = flood(gateway.listen)
    with RawHttp2(gateway) as connection:
        connection.send(b"".join(next(frames) for _ in range(PART)))
        during()
        for _ in range(FRAMES // PART):
            if connection.ended:
                break
            connection.send(b"".join(next(frames) for _ in range(PART)))
        return connection.ends()


def test_a_flood_of_control_frames_is_counted(flooded):
    before = floods(flooded)
    assert send(flooded, only(frame(PING, payload=bytes(8)))) == "closed"
    assert floods(flooded) == before + 1


def floods(gateway: Gateway) -> int:
    name = 'tidewire_refused_total{limit="http2_control_frames_per_second"}'
    rows = dict(line.rsplit(" ", 1) for line in gateway.metrics().splitlines())
    # A bound that nobody has met has no row yet.
    return int(rows.get(name, 0))


def test_pings_below_the_limit_are_all_answered(flooded):
    with RawHttp2(flooded) as connection:
        connection.send(frame(PING, payload=b"tidewire") * 900)
        answers = (payload for kind, _, _, payload in connection.frames() if kind == PING)
        assert [next(answers) for _ in range(900)] == [b"tidewire"] * 900


def test_windows_that_move_by_one_are_no_flood_and_cost_nothing(flooded, topic):
    # A client may give room in pieces as small as it likes; nobody writes an answer to it.
    flooded.publish(topic, "x" * 5000)
    with RawHttp2(flooded, setting(4, 0)) as connection:
        ask = request(flooded.listen, f"/poll?topic={topic}&after=start")
        connection.send(frame(HEADERS, WHOLE, 1, ask))
        before = flooded.resident_bytes()
        connection.send(frame(WINDOW_UPDATE, 0, 1, number(1)) * 20_000)
        body = b""
        for kind, flags, _, payload in connection.frames():
            if kind == DATA:
                body += payload
                if flags & END_STREAM:
                    break
        assert len(json.loads(body)["events"][0]["data"]) == 5000
        assert flooded.resident_bytes() - before < MIB


def test_a_thousand_streams_on_one_connection_are_served_up_to_the_cap(flooded):
    asks = streams_above_the_cap(flooded.listen)
    with RawHttp2(flooded) as connection:
        connection.send(b"".join(next(asks) for _ in range(1000)))
        answers = Counter()
        for kind, _, _, payload in connection.frames():
            assert kind != GOAWAY
            if kind == HEADERS:
                answers["served"] += 1
            elif kind == RST_STREAM:
                answers[error(payload)] += 1
            if answers.total() == 1000:
                break
        assert answers == {"served": 256, "REFUSED_STREAM": 744}
        # The connection is still good: a stream that ends makes room for another.
        connection.send(frame(RST_STREAM, 0, 1, CANCEL))
        connection.send(frame(HEADERS, WHOLE, 2001, request(flooded.listen)))
        assert connection.outcome(2001) == "200"


@pytest.fixture(scope="module")
def impatient(start_gateway) -> Gateway:
    """A gateway that waits a second for a client to take something."""
    limits = '[limits]\nwrite_timeout = "1s"\npublishes_per_second = 1000000\n'
    return start_gateway("memory", limits)


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize(
    ("target", "events", "event_bytes"),
    [
        ("/topics/{}/events", 16, 60_000),
        ("/poll?topic={}&after=start", 16, 60_000),
        ("/sse?topic={}&after=start", 16, 60_000),
        # All of it would fit into one frame.
        ("/topics/{}/events", 1, 10_000),
    ],
)
def test_an_answer_that_is_let_through_by_no_window_is_given_up(
    impatient, topic, target, events, event_bytes, window
):
    impatient.publish_all([{"topic": topic, "data": "x" * event_bytes}] * events)
    path = target.format(topic)
    ends = impatient.ends()
    with RawHttp2(impatient, setting(4, window)) as connection:
        before = impatient.resident_bytes()
        block = request(impatient.listen, path)
        streams = range(1, 200, 2)
        connection.send(b"".join(frame(HEADERS, WHOLE, stream, block) for stream in streams))
        # Another stream of the same connection, which has nothing to say, lives on.
        quiet = request(impatient.listen, f"/sse?topic={topic}.quiet")
        connection.send(frame(WINDOW_UPDATE, 0, 0, number(MIB)))
        connection.send(
            frame(HEADERS, WHOLE, 1001, quiet) + frame(WINDOW_UPDATE, 0, 1001, number(MIB))
        )
        reset, quiet_bytes = {}, b""
        for kind, _, stream, payload in connection.frames():
            if kind == RST_STREAM:
                reset[stream] = error(payload)
            elif kind == DATA and stream == 1001:
                quiet_bytes += payload
            if len(reset) == len(streams):
                break
        assert reset == dict.fromkeys(streams, "CANCEL")
        event = impatient.publish(f"{topic}.quiet", 1)
        while event.encode() not in quiet_bytes:
            quiet_bytes += next(
                payload
                for kind, _, on, payload in connection.frames()
                if kind == DATA and on == 1001
            )
        assert impatient.resident_bytes() - before < 64 * MIB
    # Polls and reads were over before; a stream that was given up may come back by its cursor.
    assert (impatient.ends() - ends)[4200] == (100 if path.startswith("/sse") else 0)


# Frames in one write.
PART = 1000
