"""What the browser of a page elsewhere is told: the CORS headers of every answer, good or bad, and of preflights.

The page's side is judged by a browser in `web/e2e`; which origins may ask at all, in `test_refusals_rights.py`.
Source: Fetch, "CORS protocol"; protocol sections 6 and 7; hazards part 1 row 10.
"""

import httpx
import pytest

from gateway import Gateway
from h2_exchange import exchange
from json_websocket import open_websocket
from refusal import STATUS_OF

APP = "https://app.example.com"
FROM_APP = {"Origin": APP}

CONFIG = f"""
[http]
allowed_origins = ["{APP}"]
[auth.anonymous]
subscribe = ["public.>"]
publish = ["public.>"]
[[auth.keys]]
name = "reader"
sha256 = "d74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1"
subscribe = ["public.>"]
[limits]
publishes_per_second = 1
"""
# `pass` by its digest above.
READER = {"Authorization": "Bearer pass"}
LARGE = b"x" * (2 << 20)


@pytest.fixture(scope="module")
def elsewhere(start_gateway) -> Gateway:
    """A gateway that a page of another origin may use, and that takes one event a second."""
    return start_gateway("memory", CONFIG)


@pytest.fixture(params=[False, True], ids=["HTTP/1.1", "HTTP/2"])
def client(request, elsewhere):
    with elsewhere.client(http2=request.param) as client:
        yield client


ANSWERS = [
    (200, "GET", "/poll?topic=public.a&after=start&wait=0", {}, None),
    (200, "GET", "/topics/public.a/events", {}, None),
    (200, "GET", "/openapi.json", {}, None),
    (200, "GET", "/", {}, None),
    (400, "GET", "/poll?topic=a..b", {}, None),
    (400, "POST", "/publish", {}, b"{"),
    (401, "GET", "/poll?topic=orders.a", {}, None),
    (401, "GET", "/poll?topic=public.a", {"Authorization": "Bearer nobody-knows-me"}, None),
    (403, "GET", "/poll?topic=orders.a", READER, None),
    (403, "POST", "/topics/public.a", READER, b"1"),
    (404, "GET", "/nothing", {}, None),
    (405, "PUT", "/publish", {}, None),
    (405, "POST", "/poll", {}, None),
    (415, "POST", "/topics/public.a", {"Content-Encoding": "gzip"}, b"1"),
]


@pytest.mark.parametrize(
    ("status", "method", "target", "headers", "body"),
    ANSWERS,
    ids=[f"{row[0]} {row[1]} {row[2]}" for row in ANSWERS],
)
def test_every_answer_may_be_read_by_an_allowed_page_and_by_no_other(
    client, status, method, target, headers, body
):
    answer = client.request(method, target, headers=FROM_APP | headers, content=body)
    assert answer.status_code == status, answer.text
    check_allowed(answer)
    alone = client.request(method, target, headers=headers, content=body)
    assert alone.status_code == status
    check_silent(alone)


def test_a_413_may_be_read(elsewhere):
    with elsewhere.client() as client:
        answer = client.post("/topics/public.a", content=LARGE, headers=FROM_APP)
    assert answer.status_code == STATUS_OF["too_large"]
    check_allowed(answer)
    by_hand = exchange(elsewhere, "/topics/public.a", {"origin": APP}, LARGE)
    assert by_hand.status == STATUS_OF["too_large"]
    by_hand.headers = httpx.Headers(by_hand.headers)
    check_allowed(by_hand)


def check_allowed(answer) -> None:
    """The page's own origin by name, its credentials, and the headers that it has to read."""
    assert answer.headers.get_list("access-control-allow-origin") == [APP]
    assert answer.headers.get_list("access-control-allow-credentials") == ["true"]
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert set(exposed) == {"Tidewire-Cursor", "ETag", "Retry-After"}
    assert "Origin" in varies(answer)


def check_silent(answer) -> None:
    """Nothing for any origin; but a cache must not give this to a page that may."""
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "Origin" in varies(answer)


def varies(answer) -> list[str]:
    return [name.strip() for value in answer.headers.get_list("vary") for name in value.split(",")]


def test_a_429_may_be_read_with_its_pause(client):
    for _ in range(100):
        answer = client.post("/topics/public.a", content="1", headers=FROM_APP)
        check_allowed(answer)
        if answer.status_code == STATUS_OF["rate_limited"]:
            break
    assert answer.json()["code"] == "rate_limited"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_503_may_be_read_with_its_pause(tmp_path, http2):
    one_seat = CONFIG + "connections_per_address = 1\n"
    gateway = Gateway(tmp_path, "memory", one_seat).start()
    try:
        with open_websocket(gateway), gateway.client(http2=http2) as client:
            answer = client.get("/topics/public.a", headers=FROM_APP)
            assert answer.status_code == STATUS_OF["unavailable"]
            check_allowed(answer)
            assert int(answer.headers["retry-after"]) >= 1
    finally:
        gateway.stop()


@pytest.mark.parametrize(
    "path", ["/poll", "/sse", "/publish", "/topics/a.b", "/topics/a.b/events", "/nothing"]
)
def test_a_preflight_is_answered_without_the_request_and_may_be_kept(client, path):
    asked = {
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization,idempotency-key,last-event-id",
    }
    answer = client.options(path, headers=FROM_APP | asked)
    assert (answer.status_code, answer.content) == (204, b"")
    check_allowed(answer)
    assert int(answer.headers["access-control-max-age"]) == 600
    assert answer.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == "Authorization, Content-Type, Last-Event-ID, Idempotency-Key"


def test_a_preflight_of_another_page_is_refused(client):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/publish", headers=asked)
    assert answer.status_code == STATUS_OF["forbidden"]
    check_silent(answer)


def test_an_event_stream_may_be_read(client):
    with client.stream("GET", "/sse?topic=public.a", headers=FROM_APP) as answer:
        assert answer.status_code == 200
        check_allowed(answer)
