"""Every refusal of a subscription by query, on `/sse`, `/poll` and `/ws` alike.

Source: protocol sections 1 and 3; a bad or empty value names its parameter.
"""

import json
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import pytest
from httpx_sse import EventSource
from websockets.exceptions import InvalidStatus

from json_websocket import open_websocket
from refusal import STATUS_OF, Refusal, check, ids, send

WELL_FORMED = "k3f9-41042"


@dataclass(frozen=True)
class Query:
    """A query that no transport takes; `{topic}` stands where the topic is good."""

    name: str
    text: str
    code: str
    mentions: str = ""


def patterns() -> list[Query]:
    rows = [
        ("an empty level", "a..b", ""),
        ("a level that is missing at the start", ".a", ""),
        ("a level that is missing at the end", "a.", ""),
        ("a dot alone", ".", ""),
        ("a space", "a.b%20c", "b c"),
        ("a slash", "a.b%2Fc", "b/c"),
        ("a star inside a level", "a.b*.c", "b*"),
        ("a rest inside a level", "a.b%3E", "b>"),
        ("a rest that is not last", "a.%3E.b", ">"),
        ("a rest that comes first of two", "%3E.a", ">"),
        ("two stars in a level", "a.**", "**"),
        ("a NUL", "a.%00", ""),
        ("a line feed", "a.b%0Ac", ""),
        ("a letter beyond ASCII", "a.%C3%A9", ""),
        ("a percent sign left after decoding", "a.%252e", "%2e"),
        ("a dollar sign inside", "a.b$c", "b$c"),
        ("a dollar sign at a later level", "a.$b", "$b"),
        ("201 bytes", "t" * 201, ""),
        ("8 KiB", "t" * 8192, ""),
    ]  # fmt: skip
    return [
        Query(f"topic: {name}", f"topic={text}", "bad_topic", word) for name, text, word in rows
    ]


CURSORS = [
    ("empty", ""),
    ("a minus one", "-1"),
    ("a colon", ":"),
    ("a NUL", "%00"),
    ("a letter beyond ASCII", "k3f9-%C3%A9"),
    ("a space", "k3f9-41042%20"),
    ("no place", "k3f9-"),
    ("no epoch", "-41042"),
    ("no dash", "k3f941042"),
    ("a digit count that is wrong", "k3f9-31042"),
    ("a leading zero", "k3f9-40042"),
    ("more than 64 bytes", "k" * 65 + "-41042"),
    ("10 KB", "k" * 10240),
    ("a word", "yesterday"),
    ("a place beyond 64 bits", "k3f9-k99999999999999999999"),
]

QUERIES = [
    *patterns(),
    *(Query(f"after: {name}", f"{{topic}}&after={text}", "bad_cursor", "after") for name, text in CURSORS),
    Query("topic: empty", "topic=", "bad_topic", "topic"),
    Query("topic: 65 of them", "&".join(f"topic=a.{n}" for n in range(65)), "bad_request", "topic"),
    Query("topic: one good and one bad", "{topic}&topic=a..b", "bad_topic"),
    Query("after and last together", f"{{topic}}&after={WELL_FORMED}&last=1", "bad_request", "last"),
    Query("last: empty", "{topic}&last=", "bad_request", "last"),
    Query("last: negative", "{topic}&last=-1", "bad_request", "last"),
    Query("last: above 1000", "{topic}&last=1001", "bad_request", "last"),
    Query("last: a fraction", "{topic}&last=1.5", "bad_request", "last"),
    Query("last: a word", "{topic}&last=all", "bad_request", "last"),
    Query("last: beyond 64 bits", "{topic}&last=99999999999999999999", "bad_request", "last"),
    Query("conflate: empty", "{topic}&conflate=", "bad_request", "conflate"),
    Query("conflate: a word", "{topic}&conflate=oldest", "bad_request", "conflate"),
    Query("presence: empty", "{topic}&presence=", "bad_request", "presence"),
    Query("presence: a word", "{topic}&presence=yes", "bad_request", "presence"),
    Query("presence_data: no JSON", "{topic}&presence=1&presence_data=%7B", "bad_request", "presence"),
    Query("presence_data: more than 1 KB", "{topic}&presence=1&presence_data=%22" + "x" * 1024 + "%22",
          "bad_request", "presence"),
    Query("ticket: unknown", "{topic}&ticket=bm90LWEtdGlja2V0", "unauthorized"),
]  # fmt: skip

POLL_ONLY = [
    Query("wait: empty", "{topic}&wait=", "bad_request", "wait"),
    Query("wait: negative", "{topic}&wait=-1", "bad_request", "wait"),
    Query("wait: above 55", "{topic}&wait=55.1", "bad_request", "wait"),
    Query("wait: a word", "{topic}&wait=long", "bad_request", "wait"),
    Query("wait: not a number", "{topic}&wait=NaN", "bad_request", "wait"),
    Query("wait: infinite", "{topic}&wait=inf", "bad_request", "wait"),
    Query("limit: empty", "{topic}&limit=", "bad_request", "limit"),
    Query("limit: zero", "{topic}&limit=0", "bad_request", "limit"),
    Query("limit: above 1000", "{topic}&limit=1001", "bad_request", "limit"),
    Query("limit: a fraction", "{topic}&limit=1.5", "bad_request", "limit"),
]

NO_TOPIC = [
    Query("no parameter at all", "", "bad_request", "topic"),
    Query("no topic", "after=now", "bad_request", "topic"),
]

SSE_ONLY = [
    Query("format: empty", "{topic}&format=", "bad_request", "format"),
    Query("format: a word", "{topic}&format=xml", "bad_request", "format"),
]


def over_http(path: str, queries: list[Query]) -> list[Refusal]:
    """The rows for one path."""
    return [
        Refusal(f"{path} {each.name}", f"{path}?{filled(each)}", each.code, mentions=each.mentions)
        for each in queries
    ]


def filled(query: Query) -> str:
    return query.text.replace("{topic}", "topic=a.b")


# An HTTP header holds any visible character, so only what a header can hold is tried here.
LAST_EVENT_IDS = [
    Refusal(f"/sse Last-Event-ID: {name}", "/sse?topic=a.b", "bad_cursor",
            headers={"Last-Event-ID": text.replace("%20", " x").encode().replace(b"%C3%A9", b"\xc3\xa9")})
    for name, text in CURSORS if "%00" not in text
]  # fmt: skip

ROWS = [
    *over_http("/sse", QUERIES + SSE_ONLY + NO_TOPIC),
    *over_http("/poll", QUERIES + POLL_ONLY + NO_TOPIC),
    *LAST_EVENT_IDS,
]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_a_bad_query_is_refused_with_its_code(http, row):
    check(send(http, row), row.code, row.mentions)


@pytest.mark.parametrize("query", QUERIES, ids=ids(QUERIES))
def test_a_bad_query_is_refused_before_the_101(gateway, query):
    with pytest.raises(InvalidStatus) as refused, open_websocket(gateway, filled(query)):
        pass
    answer = refused.value.response
    assert answer.status_code == STATUS_OF[query.code], answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert f'"code":"{query.code}"' in answer.body.decode().replace('": "', '":"')


def forgeries(cursor: str) -> list[str]:
    """The cursor with each of its bytes changed, as a query has it."""
    bytes_ = "0 9 a z - . _ A %00 %C3%A9".split()
    forged = [cursor[:at] + byte + cursor[at + 1 :] for at in range(len(cursor)) for byte in bytes_]
    return [each for each in forged if each != cursor]


def test_a_cursor_with_any_byte_changed_is_refused_or_a_place_or_a_gap(http, gateway, topic):
    ids_ = [gateway.publish(topic, number) for number in range(3)]
    for forged in forgeries(ids_[0]):
        answer = http.get(f"/poll?topic={topic}&after={forged}&wait=0")
        if answer.status_code != 200:
            check(answer, "bad_cursor", "after")
        elif "gap" not in answer.json():
            # A place of this log: what comes is what follows it. Ids of one epoch sort as text.
            assert [event["id"] for event in answer.json()["events"]] == later(ids_, forged)
    assert gateway.is_alive()


def test_a_last_event_id_with_any_byte_changed_is_refused_or_a_place_or_a_gap(http, gateway, topic):
    ids_ = [gateway.publish(topic, number) for number in range(3)]
    for forged in forgeries(ids_[0]):
        raw = unquote_to_bytes(forged)
        if b"\0" in raw:
            continue
        headers = {"Last-Event-ID": raw}
        with http.stream("GET", f"/sse?topic={topic}", headers=headers) as answer:
            if answer.status_code != 200:
                answer.read()
                check(answer, "bad_cursor")
                continue
            blocks = EventSource(answer).iter_sse()
            hello = json.loads(next(blocks).data)
            assert next(blocks).event == "hb"
            if not hello["resumed"]:
                assert next(blocks).event == "gap"
            else:
                # One more: whatever came that must not would stand before it.
                ids_.append(gateway.publish(topic, "end"))
                following = later(ids_, forged)
                assert [next(blocks).id for _ in following] == following
    assert gateway.is_alive()


def test_a_websocket_with_any_byte_of_its_cursor_changed_is_refused_or_has_a_place_or_a_gap(
    gateway, topic
):
    ids_ = [gateway.publish(topic, number) for number in range(3)]
    for forged in forgeries(ids_[0]):
        try:
            with open_websocket(gateway, f"topic={topic}&after={forged}") as socket:
                if not socket.hello["resumed"]:
                    assert socket.take()["op"] == "gap"
                else:
                    ids_.append(gateway.publish(topic, "end"))
                    following = later(ids_, forged)
                    assert [socket.take()["id"] for _ in following] == following
        except InvalidStatus as refused:
            assert refused.response.status_code == STATUS_OF["bad_cursor"]
            assert b"bad_cursor" in refused.response.body
    assert gateway.is_alive()


def later(ids_: list[str], cursor: str) -> list[str]:
    return [each for each in ids_ if each > cursor]


def test_unknown_parameters_are_ignored(http, topic):
    answer = http.get("/poll", params={"topic": topic, "colour": "", "token": "x", "x y": "%"})
    assert answer.status_code == 200


@pytest.mark.parametrize("level", ["A", "a-b", "a_b", "a:b", "a@b.c", "a=b", "~a", "0", "t" * 200])
def test_every_character_of_the_alphabet_is_taken(http, level):
    answer = http.get("/poll", params={"topic": level})
    assert answer.status_code == 200, answer.text


def test_names_are_case_sensitive(http, gateway, topic):
    gateway.publish(topic.upper(), 1)
    assert http.get(f"/poll?topic={topic}&after=start&wait=0").json()["events"] == []


def test_the_default_number_of_topics_is_taken(http):
    query = "&".join(f"topic=a.{number}" for number in range(64))
    assert http.get(f"/poll?{query}").status_code == 200


def test_the_process_is_well_after_all_of_it(gateway):
    assert gateway.is_alive()
