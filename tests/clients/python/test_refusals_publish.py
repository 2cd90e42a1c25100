"""Every refusal of a publish and of a read over REST. Source: protocol sections 1, 2, 4, 5 and 6."""

import gzip
import json

import pytest

from refusal import Refusal, check, ids, post, send

JSON = {"Content_Type": "application/json"}
TEXT = {"Content_Type": "text/plain"}
NDJSON = {"Content_Type": "application/x-ndjson"}
KEY = "a key that is used twice"


def publish(name: str, element, code: str, mentions: str = "", **headers: str) -> Refusal:
    """A row for `POST /publish`; anything but text is sent as JSON."""
    body = element if isinstance(element, (str, bytes)) else json.dumps(element)
    return post(f"/publish: {name}", "/publish", body, code, mentions, **(headers or JSON))


def one(**members) -> dict:
    """An element that would be good without these members; None takes a member away."""
    element = {"topic": "a.b", "data": 1} | members
    return {name: value for name, value in element.items() if value is not None}


BAD_TOPICS = [
    ("an empty level", "a..b", "a..b", ""),
    ("a pattern with a star", "a.*", "a.*", "*"),
    ("a pattern with a rest", "a.>", "a.%3E", ">"),
    ("a star inside a level", "a.b*", "a.b*", "b*"),
    ("a space", "a.b c", "a.b%20c", "b c"),
    ("a slash", "a.b/c", "a.b%2Fc", "b/c"),
    ("a way up", "a/../b", "a%2F..%2Fb", ""),
    ("a NUL", "a.\0", "a.%00", ""),
    ("a line feed", "a.b\nc", "a.b%0Ac", ""),
    ("a letter beyond ASCII", "a.é", "a.%C3%A9", ""),
    ("a letter and its accent", "a.e\u0301", "a.e%CC%81", ""),
    ("an escape that is decoded once only", "a.%2e", "a.%252e", "%2e"),
    ("201 bytes", "t" * 201, "t" * 201, ""),
    ("a dollar sign at a later level", "a.$b", "a.$b", "$b"),
    ("a full stop alone", ".", "%2E", ""),
]

PAYLOADS = [
    post("payload: cut JSON", "/topics/a.b", b'{"a":', "bad_json", **JSON),
    post("payload: two JSON values", "/topics/a.b", b"1 2", "bad_json", **JSON),
    post("payload: nothing as JSON", "/topics/a.b", b"", "bad_json", **JSON),
    post("payload: JSON that is not UTF-8", "/topics/a.b", b'"\xff"', "bad_json", **JSON),
    post("payload: NaN", "/topics/a.b", b"NaN", "bad_json", **JSON),
    post("payload: a number with a leading zero", "/topics/a.b", b"01", "bad_json", **JSON),
    post("payload: a control character in a string", "/topics/a.b", b'"\n"', "bad_json", **JSON),
    post("payload: cut JSON of a vendor", "/topics/a.b", b"[", "bad_json",
         Content_Type="application/vnd.shop+json"),
    post("payload: text that is not UTF-8", "/topics/a.b", b"\xff", "bad_request", **TEXT),
    post("payload: larger than an event may be", "/topics/a.b", b"x" * 65537, "too_large", **TEXT),
    post("payload: gzip", "/topics/a.b", gzip.compress(b"1"), "unsupported_media_type",
         Content_Encoding="gzip"),
    post("payload: identity", "/topics/a.b", b"1", "unsupported_media_type",
         Content_Encoding="identity"),
    post("type: 101 bytes", f"/topics/a.b?type={'t' * 101}", b"1", "bad_request", "type"),
    post("type: a line feed", "/topics/a.b?type=a%0Ab", b"1", "bad_request", "type"),
    post("type: a carriage return", "/topics/a.b?type=a%0Db", b"1", "bad_request", "type"),
    post("type: a NUL", "/topics/a.b?type=a%00b", b"1", "bad_request", "type"),
    post("type: a control character beyond ASCII", "/topics/a.b?type=%C2%85", b"1", "bad_request", "type"),
    post("topic of the gateway", "/topics/$presence.a.b", b"1", "forbidden"),
    post("topic of the gateway, without a level", "/topics/$tide", b"1", "forbidden"),
    post("key: empty", "/topics/a.b", b"1", "bad_request", Idempotency_Key=""),
    post("key: 10 KB", "/topics/a.b", b"1", "bad_request", Idempotency_Key="k" * 10240),
    post("key: another payload", "/topics/key.reused", b"2", "key_reused", Idempotency_Key=KEY),
]  # fmt: skip

REQUESTS = [
    publish("cut JSON", b'{"topic":"a.b"', "bad_json"),
    publish("an array that is cut", b'[{"topic":"a.b","data":1},', "bad_json"),
    publish("nothing", b"", "bad_json"),
    publish("not UTF-8", b'{"topic":"\xff","data":1}', "bad_json"),
    publish("a number", b"42", "bad_request"),
    publish("a string", b'"a.b"', "bad_request"),
    publish("null", b"null", "bad_request"),
    publish("an empty object", {}, "bad_request", "topic"),
    publish("an empty array", [], "bad_request"),
    publish("no topic", one(topic=None), "bad_request", "topic"),
    publish("no data", one(data=None), "bad_request", "data"),
    publish("a topic that is a number", one(topic=7), "bad_topic", "topic"),
    publish("topic and topics", one(topics=["a.c"]), "bad_request", "topics"),
    publish("no topics", {"topics": [], "data": 1}, "bad_request"),
    publish("topics that are text", {"topics": "a.b", "data": 1}, "bad_request", "topics"),
    publish("data and data_base64", one(data_base64="AA=="), "bad_request", "data_base64"),
    publish("bad base64", {"topic": "a.b", "data_base64": "?"}, "bad_request", "base64"),
    publish("a type that is a number", one(type=1), "bad_request", "type"),
    publish("a type of 101 bytes", one(type="t" * 101), "bad_request", "type"),
    publish("a type with a line feed", one(type="a\nb"), "bad_request", "type"),
    publish("a type with a NUL", one(type="a\0b"), "bad_request", "type"),
    publish("a type with a line separator", one(type="a\u2028b"), "bad_request", "type"),
    publish("a type with an escape character", one(type="a\x1b[1m"), "bad_request", "type"),
    publish("an empty key", one(key=""), "bad_request", "key"),
    publish("a key that is a number", one(key=1), "bad_request", "key"),
    publish("a topic of the gateway", one(topic="$presence.a"), "forbidden"),
    publish("a key with another payload", {"topic": "key.reused", "data": 2, "key": KEY}, "key_reused"),
    publish("an event that is too large", one(data="x" * 65537), "too_large"),
    publish("1001 elements", [one()] * 1001, "too_large"),
    publish("1001 lines", (json.dumps(one()) + "\n") * 1001, "too_large", **NDJSON),
    publish("text", json.dumps(one()), "unsupported_media_type", **TEXT),
    publish("XML", "<topic/>", "unsupported_media_type", Content_Type="application/xml"),
    publish("multipart", "--x", "unsupported_media_type",
            Content_Type="multipart/form-data; boundary=x"),
    publish("gzip", gzip.compress(b"{}"), "unsupported_media_type",
            Content_Type="application/json", Content_Encoding="gzip"),
    publish("an empty NDJSON", "\n\n", "bad_request", **NDJSON),
]  # fmt: skip

READS = [
    Refusal("events of a pattern", "/topics/a.*/events", "bad_topic", mentions="*"),
    Refusal("events of a rest", "/topics/%3E/events", "bad_topic", mentions=">"),
    Refusal("events of a bad topic", "/topics/a..b/events", "bad_topic"),
    Refusal("a pattern", "/topics/a.*", "bad_topic", mentions="*"),
    Refusal("a bad topic", "/topics/a..b", "bad_topic"),
    Refusal("events after no cursor", "/topics/a.b/events?after=x", "bad_cursor", mentions="after"),
    Refusal("events after nothing", "/topics/a.b/events?after=", "bad_cursor", mentions="after"),
    Refusal("events before no cursor", "/topics/a.b/events?before=:", "bad_cursor", mentions="before"),
    Refusal("no events", "/topics/a.b/events?limit=0", "bad_request", mentions="limit"),
    Refusal("too many events", "/topics/a.b/events?limit=1001", "bad_request", mentions="limit"),
    Refusal("events in no order", "/topics/a.b/events?order=up", "bad_request", mentions="order"),
    Refusal("events in an empty order", "/topics/a.b/events?order=", "bad_request", mentions="order"),
    Refusal("a path that is not there", "/nothing", "not_found"),
    Refusal("a path below another", "/publish/more", "not_found"),
    Refusal("a topic with no name", "/topics/", "not_found"),
    Refusal("metrics on the public port", "/metrics", "not_found"),
    Refusal("health on the public port", "/healthz", "not_found"),
    Refusal("administration on the public port", "/admin/sessions", "not_found"),
    Refusal("the echo of conformance suites", "/echo", "not_found"),
    Refusal("forgetting without credentials", "/topics/a.b/events", "unauthorized", "DELETE"),
    Refusal("an upgrade without its headers", "/ws", "upgrade_required"),
]  # fmt: skip

ROWS = [
    *(post(f"/topics: {name}", f"/topics/{path}", b"1", "bad_topic", word)
      for name, _, path, word in BAD_TOPICS),
    *(publish(f"topic: {name}", one(topic=text), "bad_topic", word)
      for name, text, _, word in BAD_TOPICS),
    *PAYLOADS,
    *REQUESTS,
    *READS,
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def used_key(gateway):
    """The key that some rows use again for another payload."""
    with gateway.client() as client:
        headers = {"Idempotency-Key": KEY}
        assert client.post("/topics/key.reused", content=b"1", headers=headers).status_code == 201


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_a_bad_request_is_refused_with_its_code(http, row):
    check(send(http, row), row.code, row.mentions)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/poll"),
        ("POST", "/sse"),
        ("GET", "/publish"),
        ("PUT", "/topics/a.b"),
        ("DELETE", "/topics/a.b"),
        ("POST", "/topics/a.b/events"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_405_and_names_those_it_takes(http, method, path):
    answer = http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"]


@pytest.mark.parametrize("depth", [100, 100_000])
def test_json_of_any_depth_is_taken_or_refused_and_harms_nobody(http, gateway, topic, depth):
    body = "[" * min(depth, 32_000) + "]" * min(depth, 32_000)
    answer = http.post(
        f"/topics/{topic}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (201, 400), answer.text
    assert gateway.is_alive()


def test_a_refused_publish_stores_nothing(http, topic):
    for headers, body in [({"Content-Type": "application/json"}, b"{"), ({}, b"x" * 70000)]:
        assert http.post(f"/topics/{topic}", content=body, headers=headers).status_code >= 400
    assert http.get(f"/topics/{topic}").json()["retained"] == 0


@pytest.mark.parametrize(
    "name",
    ["strict-transport-security", "x-content-type-options", "cache-control"],
)
@pytest.mark.parametrize("path", ["/poll?topic=a.b", "/poll?topic=a..b", "/nothing", "/ws"])
def test_every_answer_carries_the_safety_headers(http, path, name):
    assert http.get(path).headers[name]


def test_the_process_is_well_after_all_of_it(gateway):
    assert gateway.is_alive()
