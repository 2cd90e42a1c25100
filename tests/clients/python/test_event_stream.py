"""`httpx` and `httpx-sse` as plain clients of `/sse`, over HTTP/1.1 and HTTP/2.

Source: protocol section 3.1.
"""

import base64
import json
from contextlib import contextmanager

import pytest
from httpx_sse import EventSource

from gateway import compact


@contextmanager
def stream(client, path: str, **headers: str):
    """Opens an event stream; gives the answer and its blocks."""
    headers = {"Accept": "text/event-stream"} | {k.replace("_", "-"): v for k, v in headers.items()}
    with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield answer, EventSource(answer).iter_sse()


def opening(blocks) -> dict:
    """Reads the hello and the heartbeat that follows it at once; returns the hello."""
    hello, beat = next(blocks), next(blocks)
    assert (hello.event, beat.event) == ("hello", "hb")
    data = json.loads(hello.data)
    assert hello.id == data["cursor"]
    assert json.loads(beat.data)["cursor"] == data["cursor"]
    return data


def test_the_stream_opens_with_hello_and_a_first_heartbeat_at_once(http, topic):
    with stream(http, f"/sse?topic={topic}") as (answer, blocks):
        hello = next(blocks)
        assert hello.event == "hello" and hello.retry == 2000
        assert set(json.loads(hello.data)) == {"session", "cursor", "resumed", "heartbeat_ms"}
        assert json.loads(hello.data)["resumed"] is False
        assert next(blocks).event == "hb"


def test_the_answer_forbids_buffering_and_caching(http, topic):
    with stream(http, f"/sse?topic={topic}") as (answer, _):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in answer.headers


def test_events_carry_their_id_and_no_name(http, gateway, topic):
    with stream(http, f"/sse?topic={topic}") as (_, blocks):
        opening(blocks)
        ids = [gateway.publish(topic, number, "order.paid") for number in range(3)]
        for number, event_id in enumerate(ids):
            block = next(blocks)
            event = json.loads(block.data)
            assert (block.event, block.id, event["id"]) == ("message", event_id, event_id)
            assert (event["type"], event["data"]) == ("order.paid", number)


def test_last_event_id_resumes(http, gateway, topic):
    ids = [gateway.publish(topic, number) for number in range(5)]
    with stream(http, f"/sse?topic={topic}", Last_Event_ID=ids[2]) as (_, blocks):
        hello = opening(blocks)
        assert hello["resumed"] is True and hello["cursor"] == ids[2]
        assert [next(blocks).id for _ in range(2)] == ids[3:]


@pytest.mark.parametrize("start", ["after=start", "last=3"])
def test_last_event_id_wins_over_the_query(http, gateway, topic, start):
    ids = [gateway.publish(topic, number) for number in range(5)]
    path = f"/sse?topic={topic}&{start}"
    with stream(http, path, Last_Event_ID=ids[3]) as (_, blocks):
        assert opening(blocks)["resumed"] is True
        assert next(blocks).id == ids[4]


def test_the_id_of_the_hello_is_a_place_to_resume(http, gateway, topic):
    with stream(http, f"/sse?topic={topic}") as (_, blocks):
        cursor = next(blocks).id
    event_id = gateway.publish(topic, "between")
    with stream(http, f"/sse?topic={topic}", Last_Event_ID=cursor) as (_, blocks):
        assert opening(blocks)["resumed"] is True
        assert next(blocks).id == event_id


def test_evicted_events_are_told_as_a_gap_before_the_rest(http, gateway, topic):
    topic = f"few.{topic}"
    ids = [gateway.publish(topic, number) for number in range(6)]
    with stream(http, f"/sse?topic={topic}", Last_Event_ID=ids[0]) as (_, blocks):
        assert opening(blocks)["resumed"] is False
        block = next(blocks)
        gap = json.loads(block.data)
        assert block.event == "gap"
        assert (gap["reason"], gap["topics"], gap["after"]) == ("evicted", [topic], ids[0])
        assert block.id == gap["cursor"]
        assert [next(blocks).id for _ in range(3)] == ids[3:]


def test_the_cursor_of_the_gap_is_a_place_to_resume(http, gateway, topic):
    topic = f"few.{topic}"
    ids = [gateway.publish(topic, number) for number in range(6)]
    with stream(http, f"/sse?topic={topic}", Last_Event_ID=ids[0]) as (_, blocks):
        opening(blocks)
        cursor = next(blocks).id
    with stream(http, f"/sse?topic={topic}", Last_Event_ID=cursor) as (_, blocks):
        assert opening(blocks)["resumed"] is True
        assert [next(blocks).id for _ in range(3)] == ids[3:]


PAYLOADS = [
    ("JSON", "application/json", b'{"a": [1, 1e400]}', ['{"a":[1,1e400]}']),
    ("a JSON string", "application/json", b'"tide"', ["tide"]),
    ("one line of text", "text/plain", "Ebbe und Flut ✓".encode(), ["Ebbe und Flut ✓"]),
    ("text of several lines", "text/plain", b"one\ntwo\r\nthree\rfour", ["one", "two", "three", "four"]),
    ("text that looks like fields", "text/plain", b"a\nid: x\nevent: y\n\ndata: z",
     ["a", "id: x", "event: y", "", "data: z"]),
    ("text with a leading space", "text/plain", b"  indented", ["  indented"]),
    ("bytes", "application/octet-stream", bytes(range(256)),
     [base64.b64encode(bytes(range(256))).decode()]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body", "lines"),
    [row[1:] for row in PAYLOADS],
    ids=[row[0] for row in PAYLOADS],
)
def test_format_data_sends_the_payload_alone(http, topic, content_type, body, lines):
    with stream(http, f"/sse?topic={topic}&format=data") as (_, blocks):
        opening(blocks)
        headers = {"Content-Type": content_type}
        published = http.post(f"/topics/{topic}", content=body, headers=headers).json()
        block = next(blocks)
        assert block.event == "message"
        assert block.data == "\n".join(lines)
        assert block.id == published["id"]


@pytest.mark.parametrize("name", ["order.paid", "with space", "größer"])
def test_format_data_names_the_event_after_its_type(http, gateway, topic, name):
    with stream(http, f"/sse?topic={topic}&format=data") as (_, blocks):
        opening(blocks)
        gateway.publish(topic, 1, name)
        assert next(blocks).event == name


@pytest.mark.parametrize("name", ["hello", "gap", "hb", "bye", "error", "open"])
def test_format_data_never_borrows_a_name_of_the_protocol(http, gateway, topic, name):
    with stream(http, f"/sse?topic={topic}&format=data") as (_, blocks):
        opening(blocks)
        gateway.publish(topic, 1, name)
        block = next(blocks)
        assert (block.event, block.data) == ("message", "1")


def test_events_of_many_topics_come_in_log_order(http, gateway, topic):
    with stream(http, f"/sse?topic={topic}.a&topic={topic}.b.>") as (_, blocks):
        opening(blocks)
        names = ["a", "b.c", "b", "a", "b.d.e", "c"]
        ids = [gateway.publish(f"{topic}.{name}", name) for name in names]
        assert [next(blocks).id for _ in range(4)] == [ids[0], ids[1], ids[3], ids[4]]


def test_silence_is_broken_by_heartbeats(quick_heartbeat, topic):
    with quick_heartbeat.client() as client:
        with stream(client, f"/sse?topic={topic}") as (_, blocks):
            assert opening(blocks)["heartbeat_ms"] == 1000
            event_id = quick_heartbeat.publish(topic, 1)
            while (block := next(blocks)).event == "hb":
                pass  # on its way before the event
            assert block.id == event_id
            beat = next(blocks)
            assert beat.event == "hb"
            assert beat.data == compact({"cursor": event_id})
