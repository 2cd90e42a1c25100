"""Who may do what, seen from outside: 401 without a right and credentials, 403 without the right.

Source: protocol sections 5 to 7 and 10; hazards: no probing, no rights wider than granted.
"""

import hashlib
import json

import pytest
from websockets.exceptions import InvalidStatus

from gateway import Gateway
from json_websocket import open_websocket
from raw_tls import exchange
from refusal import Refusal, check, ids, post, send

SHOP = "shop-key-0123456789"
READER = "reader-key-0123456789"

CONFIG = f"""
[http]
allowed_origins = ["https://app.example.com"]

[auth.anonymous]
subscribe = ["public.>"]
publish = ["inbox.*"]

[[auth.keys]]
name = "shop"
sha256 = "{hashlib.sha256(SHOP.encode()).hexdigest()}"
publish = ["orders.>", "inbox.*"]
subscribe = ["orders.*", "public.>"]
forget = ["orders.old.>"]

[[auth.keys]]
name = "reader"
sha256 = "{hashlib.sha256(READER.encode()).hexdigest()}"
publish = []
subscribe = [">"]
"""

AS_SHOP = {"Authorization": f"Bearer {SHOP}"}
AS_READER = {"Authorization": f"Bearer {READER}"}
UNKNOWN = {"Authorization": "Bearer nobody-knows-me"}


@pytest.fixture(scope="module")
def guarded(start_gateway) -> Gateway:
    """A gateway with two keys and few rights for everybody else."""
    return start_gateway("memory", CONFIG)


@pytest.fixture(params=[False, True], ids=["HTTP/1.1", "HTTP/2"])
def client(request, guarded):
    with guarded.client(http2=request.param) as client:
        yield client


def read(name: str, target: str, code: str, method: str = "GET", **headers: str) -> Refusal:
    return Refusal(name, target, code, method, headers=headers)


READS = ["/sse?topic={}", "/poll?topic={}", "/topics/{}/events", "/topics/{}"]

ROWS = [
    post("publish without credentials", "/topics/orders.a", b"1", "unauthorized"),
    post("publish to the batch route without credentials", "/publish",
         b'{"topic":"orders.a","data":1}', "unauthorized"),
    post("publish with an unknown key", "/topics/orders.a", b"1", "unauthorized", **UNKNOWN),
    post("publish with an unknown key where nobody needs one", "/topics/inbox.a", b"1",
         "unauthorized", **UNKNOWN),
    post("publish with an empty key", "/topics/inbox.a", b"1", "unauthorized",
         Authorization="Bearer"),
    post("publish with another scheme", "/topics/inbox.a", b"1", "unauthorized",
         Authorization="Basic c2hvcDpzaG9w"),
    post("publish with a key that may not", "/topics/orders.a", b"1", "forbidden", **AS_READER),
    post("publish beside the granted patterns", "/topics/stock.a", b"1", "forbidden", **AS_SHOP),
    post("publish below a granted level", "/topics/inbox.a.b", b"1", "forbidden", **AS_SHOP),
    post("publish to the gateway's own topic", "/topics/$presence.a", b"1", "forbidden", **AS_SHOP),
    read("forget without credentials", "/topics/orders.old.a/events", "unauthorized", "DELETE"),
    read("forget without the right", "/topics/orders.a/events", "forbidden", "DELETE", **AS_SHOP),
    read("forget what may be published", "/topics/inbox.a/events", "forbidden", "DELETE", **AS_SHOP),
    read("the shape of a credential in the query", f"/poll?topic=orders.a&token={SHOP}", "unauthorized"),
    *(read(f"{path} without credentials", path.format("orders.a"), "unauthorized") for path in READS),
    *(read(f"{path} with an unknown key", path.format("public.a"), "unauthorized", **UNKNOWN)
      for path in READS),
    *(read(f"{path} beside the granted patterns", path.format("stock.a"), "forbidden", **AS_SHOP)
      for path in READS),
    *(read(f"{path} below a granted level", path.format("orders.a.b"), "forbidden", **AS_SHOP)
      for path in READS),
    *(read(f"{path} wider than granted: {pattern}", path.format(pattern), "forbidden", **AS_SHOP)
      for path in READS[:2] for pattern in ["%3E", "orders.%3E", "*.a", "*.*"]),
    *(read(f"{path} the gateway's own topics", path.format("$tide.a"), "forbidden", **AS_READER)
      for path in READS[:2]),
    *(read(f"{path} one granted and one not", path.format("orders.a&topic=stock.a"), "forbidden",
           **AS_SHOP) for path in READS[:2]),
    *(read(f"{path} with a cursor", path.format("orders.a&after=start"), "unauthorized")
      for path in READS[:2]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_what_is_not_granted_is_refused(client, row):
    check(send(client, row), row.code, row.mentions)


def test_what_is_granted_is_done(client, topic):
    name = topic.rpartition(".")[2]
    assert client.post(f"/topics/orders.{name}", content="1", headers=AS_SHOP).status_code == 201
    assert client.post(f"/topics/inbox.{name}", content="1").status_code == 201
    for path in READS[1:]:
        for topic, headers in [("public.a", {}), ("orders.a", AS_SHOP), ("any.a", AS_READER)]:
            assert client.get(path.format(topic), headers=headers).status_code == 200
    assert client.get("/poll?topic=orders.*", headers=AS_SHOP).status_code == 200


def test_one_element_without_the_right_loses_none_of_the_others(client, topic):
    elements = [{"topic": "orders.a", "data": 1}, {"topic": "stock.a", "data": 2}] * 2
    answers = client.post("/publish", json=elements, headers=AS_SHOP).json()
    assert [each.get("code") for each in answers] == [None, "forbidden", None, "forbidden"]


def test_a_refusal_tells_nothing_about_what_exists(client):
    client.post("/topics/orders.known", content="1", headers=AS_SHOP)
    known, unknown = (
        client.get(f"/topics/orders.{name}").text.replace(name, "NAME")
        for name in ("known", "unknown")
    )
    assert known == unknown


def test_forgotten_events_count_as_evicted(client, topic):
    topic = f"orders.old.{topic}"
    ids = [
        client.post(f"/topics/{topic}", content=str(n), headers=AS_SHOP).json()["id"]
        for n in range(3)
    ]
    assert client.delete(f"/topics/{topic}/events", headers=AS_SHOP).status_code in (200, 204)
    page = client.get(f"/topics/{topic}/events", headers=AS_READER).json()
    assert page["events"] == []
    live = client.post(f"/topics/{topic}", content='"live"', headers=AS_SHOP).json()["id"]
    answer = client.get("/poll", params={"topic": topic, "after": ids[0]}, headers=AS_READER).json()
    assert answer["gap"]["reason"] == "evicted"
    assert [event["id"] for event in answer["events"]] == [live]


ORIGINS = [
    "https://app.example.com.evil.io",
    "https://evilapp.example.com",
    "http://app.example.com",
    "https://app.example.com:444",
    "https://APP.example.com.",
    "null",
    "https://127.0.0.1",
]
ORIGIN_TARGETS = [("GET", "/sse?topic=public.a"), ("GET", "/poll?topic=public.a"),
                  ("POST", "/topics/inbox.a"), ("POST", "/publish")]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("method", "target"), ORIGIN_TARGETS)
def test_a_foreign_origin_is_refused(client, method, target, origin):
    answer = client.request(method, target, headers={"Origin": origin})
    check(answer, "forbidden")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_foreign_origin_is_refused_before_the_101(guarded, origin):
    with pytest.raises(InvalidStatus) as refused:
        with open_websocket(guarded, "topic=public.a", origin=origin):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "target", ["/poll?topic=public.a", "/poll?topic=a..b", "/poll?topic=orders.a"]
)
def test_an_allowed_origin_may_read_answers_and_errors(client, target):
    answer = client.get(target, headers={"Origin": "https://app.example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "origin" in answer.headers["vary"].lower()
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in ("tidewire-cursor", "etag", "retry-after"))


def test_the_own_origin_is_let_through(guarded, client):
    assert client.get("/poll?topic=public.a", headers={"Origin": guarded.url}).status_code == 200
    with open_websocket(guarded, "topic=public.a", origin=guarded.url) as socket:
        assert socket.hello


def test_a_preflight_of_an_allowed_origin_names_what_may_be_sent(client):
    headers = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key,last-event-id",
    }
    answer = client.options("/publish", headers=headers)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    allowed = answer.headers["access-control-allow-headers"].lower()
    for name in ("authorization", "last-event-id", "idempotency-key", "content-type"):
        assert name in allowed
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        (UNKNOWN, "", 401),
        (UNKNOWN, "topic=public.a", 401),
        (AS_SHOP, "topic=stock.a", 403),
        (AS_SHOP, "topic=orders.%3E", 403),
        (AS_SHOP, "topic=stock.a&after=start", 403),
    ],
)
def test_a_websocket_without_the_right_is_refused_before_the_101(guarded, headers, query, status):
    with pytest.raises(InvalidStatus) as refused:
        with open_websocket(guarded, query, additional_headers=headers):
            pass
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["content-type"] == "application/problem+json"


def test_a_frame_without_the_right_is_an_error_and_the_connection_stays(guarded):
    with open_websocket(guarded, additional_headers=AS_SHOP) as socket:
        for frame in [
            {"op": "subscribe", "ref": 1, "topics": ["stock.a"]},
            {"op": "subscribe", "ref": 1, "topics": [">"], "after": "start"},
            {"op": "publish", "ref": 1, "topic": "stock.a", "data": 1},
        ]:
            error = socket.ask(frame)
            assert (error["op"], error["ref"], error["code"]) == ("error", 1, "forbidden")
        assert socket.ask({"op": "ping", "ref": 2})["op"] == "pong"


@pytest.mark.parametrize(("path", "key"), [("/topics/stock.a", SHOP), ("/publish", READER)])
def test_without_the_right_no_body_is_waited_for(guarded, path, key):
    # Of the body not a byte comes.
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {guarded.listen}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    answer = exchange(guarded, head.encode())
    assert (answer.status, json.loads(answer.body)["code"]) == (403, "forbidden")


def test_a_frame_without_credentials_and_right_is_unauthorized(guarded):
    with open_websocket(guarded, "topic=public.a") as socket:
        error = socket.ask({"op": "subscribe", "ref": 1, "topics": ["orders.a"]})
        assert (error["op"], error["code"]) == ("error", "unauthorized")
        assert socket.ask({"op": "ping", "ref": 2})["op"] == "pong"


def test_an_auth_frame_gives_the_rights_of_the_key(guarded):
    with open_websocket(guarded) as socket:
        assert socket.ask({"op": "auth", "ref": 1, "token": SHOP})["op"] == "ok"
        assert socket.ask({"op": "subscribe", "ref": 2, "topics": ["orders.*"]})["op"] == "ok"
        assert socket.ask({"op": "publish", "ref": 3, "topic": "orders.a", "data": 1})["op"] == "ok"


def test_topics_that_waited_for_an_auth_frame_need_the_right_too(guarded):
    with open_websocket(guarded, "topic=orders.a.b") as socket:
        assert socket.ask({"op": "auth", "ref": 1, "token": SHOP})["op"] == "ok"
        error = socket.take()
        assert (error["op"], error["code"]) == ("error", "forbidden")
        published = {"op": "publish", "ref": 2, "topic": "orders.a.b", "data": 1}
        assert socket.ask(published)["op"] == "ok"
        assert socket.ask({"op": "ping", "ref": 3})["op"] == "pong"
        assert socket.events == []


def test_an_auth_frame_with_an_unknown_key_is_unauthorized(guarded):
    with open_websocket(guarded, "topic=public.a") as socket:
        error = socket.ask({"op": "auth", "ref": 1, "token": "nobody-knows-me"})
        assert (error["op"], error["code"]) == ("error", "unauthorized")


def test_a_websocket_that_never_names_itself_is_closed_with_4001(start_gateway):
    keys_only = CONFIG.replace('["public.>"]', "[]").replace('["inbox.*"]', "[]")
    gateway = start_gateway("memory", keys_only)
    with open_websocket(gateway) as socket:
        frames, code, _ = socket.end()
        assert code == 4001
        assert [frame["code"] for frame in frames if frame["op"] == "error"] == ["unauthorized"]
