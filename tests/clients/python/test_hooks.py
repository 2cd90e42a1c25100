"""The gateway asks the user's backend: who may enter, who may read what, what may be published.

Source: protocol, "Hooks".
"""

import hashlib
import hmac
import json
import socket
import threading
import time

import httpx
import pytest
from httpx_sse import EventSource
from websockets.exceptions import InvalidStatus

from admin import kick, wait_for_sessions
from backend import SECRET, Backend, Question
from gateway import DEADLINE_S, Gateway
from json_websocket import open_websocket
from open_sessions import SESSIONS, bearer
from refusal import check

SHOP = "shop-key-0123456789"

KEYS = f"""
[auth.anonymous]
subscribe = ["public.>"]
publish = ["public.>", "chat.>"]

[[auth.keys]]
name = "shop"
sha256 = "{hashlib.sha256(SHOP.encode()).hexdigest()}"
publish = [">"]
subscribe = [">"]
"""

QUICK = 'timeout = "20s"\nretries = 0\n'
# A failure opens it, and it stays open for the whole test.
BRITTLE = 'timeout = "20s"\nretries = 0\nbreaker_failures = 2\nbreaker_pause = "1h"\n'


@pytest.fixture
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture
def start(tmp_path):
    """Starts one gateway with the given hooks."""
    started = []

    def start(hooks: str) -> Gateway:
        started.append(Gateway(tmp_path, "memory", hooks + KEYS).start())
        return started[-1]

    yield start
    for gateway in started:
        gateway.stop()


def refuse(question: Question):
    return 403, {}


def status_of(gateway: Gateway, path: str, topic: str, **headers: str) -> int:
    """How a session that is asked for is answered, before any event."""
    if path == "/ws":
        try:
            with open_websocket(gateway, f"topic={topic}", additional_headers=headers):
                return 101
        except InvalidStatus as error:
            return error.response.status_code
    with gateway.client(headers=headers) as client:
        with client.stream("GET", path, params={"topic": topic}) as answer:
            return answer.status_code


PATHS = {"/ws": "websocket", "/sse": "sse", "/poll": "poll"}


@pytest.mark.parametrize("path", PATHS)
def test_a_question_is_signed_and_says_who_wants_what(start, backend, topic, path):
    gateway = start(backend.config("connect", "subscribe"))
    before = time.time()
    assert status_of(gateway, path, topic, **bearer(SHOP)) in (101, 200)
    for hook in ("connect", "subscribe"):
        question = backend.next()
        asked = question.json
        assert ("session" in asked) == (path != "/poll")
        asked.pop("session", None)
        assert asked == {
            "hook": hook,
            "transport": PATHS[path],
            "subject": "key:shop",
            "address": "127.0.0.1",
            "topics": [topic],
        }
        assert question.headers["content-type"] == "application/json"
        time_part, signature_part = question.headers["tidewire-signature"].split(",")
        seconds = time_part.removeprefix("t=")
        assert before - 1 <= int(seconds) <= time.time() + 1
        wanted = hmac.new(SECRET.encode(), f"{seconds}.".encode() + question.body, hashlib.sha256)
        assert signature_part == f"v1={wanted.hexdigest()}"
    assert len(backend.questions) == 2


@pytest.mark.parametrize("hook", ["connect", "subscribe"])
@pytest.mark.parametrize("path", PATHS)
def test_whom_the_backend_refuses_does_not_come_in(start, backend, topic, path, hook):
    gateway = start(backend.config(hook))
    for answer, status in [
        ((403, b"<html>"), 403),
        ((200, {"allow": False}), 403),
        ((401, {}), 401),
    ]:
        # Each round is another question, so that no answer is remembered.
        topic += ".x"
        backend.answer = lambda question, answer=answer: answer
        assert status_of(gateway, path, topic, **bearer(SHOP)) == status
    wait_for_sessions(gateway, 0)


def test_rights_of_the_backend_stand_in_place_of_the_clients_own(start, backend):
    gateway = start(backend.config("connect"))
    backend.answer = lambda question: (
        200,
        {"allow": True, "subject": "u1", "subscribe": ["orders.u1.>"], "publish": ["chat.u1"]},
    )
    for path in PATHS:
        assert status_of(gateway, path, "orders.u1.new") in (101, 200)
        # Narrower than before; somebody with a subject has shown who he is, so this is 403.
        assert status_of(gateway, path, "public.news") == 403
    with open_websocket(gateway) as socket:
        assert socket.ask({"op": "publish", "topic": "chat.u1", "data": 1})["op"] == "ok"
        assert socket.ask({"op": "publish", "topic": "chat.u2", "data": 1})["code"] == "forbidden"
        assert kick(gateway, subject="u1")["kicked"] == 1
        assert socket.end()[1] == 4004


def test_a_subject_that_was_revoked_does_not_come_in_by_the_backend(start, backend):
    gateway = start(backend.config("connect"))
    backend.answer = lambda question: (200, {"allow": True, "subject": "u1"})
    assert kick(gateway, subject="u1", revoke=True)["kicked"] == 0
    for path in ("/sse", "/poll"):
        assert status_of(gateway, path, "public.news") == 401


def test_nobody_becomes_somebody_else_by_the_backend(start, backend):
    gateway = start(backend.config("connect", more=QUICK))
    backend.answer = lambda question: (200, {"allow": True, "subject": "u1"})
    for path in PATHS:
        assert status_of(gateway, path, "public.news", **bearer(SHOP)) == 503


def test_headers_that_are_named_are_passed_on_and_no_others(start, backend):
    gateway = start(backend.config("connect", each='headers = ["cookie", "x-app"]'))
    with gateway.client(headers={"X-App": "shop/1", "Cookie": "a=1; b=2", "X-Other": "no"}) as client:
        assert client.get("/poll", params={"topic": "public.a"}).status_code == 200
    assert backend.next().json["headers"] == {"cookie": "a=1; b=2", "x-app": "shop/1"}


def test_a_websocket_that_names_itself_later_is_asked_about_again(start, backend):
    gateway = start(backend.config("connect", "subscribe"))

    def answer(question: Question):
        is_known = question.json.get("subject") == "key:shop"
        return (200, {"allow": True}) if is_known else (401, {})

    backend.answer = answer
    with open_websocket(gateway, "topic=orders.a") as socket:
        assert socket.ask({"op": "subscribe", "topics": ["public.a"]})["code"] == "unauthorized"
        assert socket.ask({"op": "auth", "token": SHOP})["op"] == "ok"
        assert socket.ask({"op": "ping"})["op"] == "pong"
        subjects = [question.get("subject") for question in backend.asked("connect")]
        assert subjects == [None, "key:shop"]
        with gateway.client(headers=bearer(SHOP)) as client:
            event = client.post("/topics/orders.a", content="1").json()["id"]
        assert socket.take()["id"] == event
    assert [question["topics"] for question in backend.asked("subscribe")] == [["orders.a"]]


def test_a_subscribe_frame_that_the_backend_refuses_is_an_error_and_the_connection_stays(
    start, backend
):
    gateway = start(backend.config("subscribe"))
    backend.answer = lambda question: (200, {"allow": "public.no" not in question.json["topics"]})
    with open_websocket(gateway, "topic=public.yes") as socket:
        error = socket.ask({"op": "subscribe", "ref": 1, "topics": ["public.maybe", "public.no"]})
        assert (error["op"], error["ref"], error["code"]) == ("error", 1, "forbidden")
        assert socket.ask({"op": "subscribe", "ref": 2, "topics": ["public.more"]})["op"] == "ok"
        for topic in ("public.no", "public.maybe"):
            gateway.publish(topic, 1)
        wanted = [gateway.publish("public.yes", 1), gateway.publish("public.more", 1)]
        assert [event["id"] for event in socket.take_events(2)] == wanted


def test_a_poll_asks_once_for_a_while_and_anew_for_other_topics(start, backend):
    gateway = start(backend.config("connect", "subscribe", more='poll_cache = "1h"'))
    with gateway.client() as client:
        for _ in range(5):
            assert client.get("/poll", params={"topic": "public.a"}).status_code == 200
        assert len(backend.questions) == 2
        assert client.get("/poll", params={"topic": "public.b"}).status_code == 200
        assert len(backend.questions) == 4
        # Somebody else is another question.
        answer = client.get("/poll", params={"topic": "public.a"}, headers=bearer(SHOP))
        assert answer.status_code == 200 and len(backend.questions) == 6


PUBLISH_TOPICS = 'topics = ["chat.>"]'


def published(gateway: Gateway, way: str, topic: str, data) -> str:
    """Publishes in one of three ways; the code of the refusal, or `ok`."""
    if way == "frame":
        with open_websocket(gateway) as socket:
            answer = socket.ask({"op": "publish", "topic": topic, "data": data})
            return answer.get("code", "ok")
    with gateway.client() as client:
        if way == "body":
            answer = client.post(f"/topics/{topic}", json=data)
        else:
            answer = client.post("/publish", json={"topic": topic, "data": data})
        return answer.json().get("code", "ok")


def retained(gateway: Gateway, topic: str) -> list:
    with gateway.client(headers=bearer(SHOP)) as client:
        return client.get(f"/topics/{topic}/events").json()["events"]


@pytest.mark.parametrize("way", ["frame", "body", "object"])
def test_what_the_backend_refuses_is_not_published(start, backend, way):
    gateway = start(backend.config("publish", each=PUBLISH_TOPICS))
    backend.answer = refuse
    assert published(gateway, way, "chat.a", {"n": 1}) == "forbidden"
    assert retained(gateway, "chat.a") == []
    (asked,) = backend.asked("publish")
    assert asked == {"hook": "publish", "address": "127.0.0.1", "topic": "chat.a", "data": {"n": 1}}
    # Other topics, and backends themselves, are not asked about.
    assert published(gateway, way, "public.a", 1) == "ok"
    with gateway.client(headers=bearer(SHOP)) as client:
        assert client.post("/topics/chat.a", json=1).status_code == 201
    assert len(backend.questions) == 1


@pytest.mark.parametrize("way", ["frame", "body", "object"])
def test_what_the_backend_changes_is_published_as_it_writes_it(start, backend, way):
    gateway = start(backend.config("publish"))
    backend.answer = lambda question: (200, b'{"allow": true, "data": {"text": "***", "n": 1.10}}')
    assert published(gateway, way, "chat.a", {"text": "rude"}) == "ok"
    (event,) = retained(gateway, "chat.a")
    assert event["data"] == {"text": "***", "n": 1.1}
    with gateway.client(headers=bearer(SHOP)) as client:
        assert '"data":{"text":"***","n":1.10}' in client.get("/topics/chat.a/events").text


def test_a_question_about_an_event_has_its_type_and_its_bytes(start, backend):
    gateway = start(backend.config("publish", each="for_keys = true"))
    backend.answer = lambda question: (200, b'{"allow": true, "data": null}')
    with gateway.client(headers=bearer(SHOP)) as client:
        answer = client.post(
            "/topics/chat.a?type=photo", content=b"\xff\x00", headers={"Content-Type": "image/png"}
        )
        assert answer.status_code == 201
    (asked,) = backend.asked("publish")
    assert asked["subject"] == "key:shop" and asked["type"] == "photo"
    assert (asked["content_type"], asked["data_base64"]) == ("image/png", "/wA=")
    (event,) = retained(gateway, "chat.a")
    assert event["type"] == "photo" and event["data"] is None and "content_type" not in event


def test_one_element_that_is_refused_loses_none_of_the_others(start, backend):
    gateway = start(backend.config("publish"))
    backend.answer = lambda question: (200, {"allow": question.json["data"] % 3 != 0})
    elements = [{"topic": "chat.a", "data": number} for number in range(30)]
    with gateway.client() as client:
        answers = client.post("/publish", json=elements).json()
    assert [each.get("code") for each in answers] == ["forbidden", None, None] * 10
    wanted = [number for number in range(30) if number % 3]
    assert [event["data"] for event in retained(gateway, "chat.a")] == wanted


def test_a_payload_that_the_backend_makes_too_large_is_refused(start, backend):
    gateway = start(backend.config("publish") + '[limits]\nevent_max_bytes = "1KiB"\n')
    backend.answer = lambda question: (200, {"allow": True, "data": "x" * 2000})
    assert published(gateway, "body", "chat.a", 1) == "too_large"
    assert retained(gateway, "chat.a") == []


def no_answer(question: Question):
    return 500, {"allow": True}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("hook", ["connect", "subscribe"])
def test_without_an_answer_a_session_is_503_or_let_in(start, backend, tmp_path, path, hook):
    backend.answer = no_answer
    gateway = start(backend.config(hook, more=QUICK))
    assert status_of(gateway, path, "public.a") == 503
    gateway.stop()
    (tmp_path / "tidewire.toml").write_text(
        backend.config(hook, more=QUICK, each='on_failure = "allow"') + KEYS
    )
    gateway.start()
    assert status_of(gateway, path, "public.a") in (101, 200)


@pytest.mark.parametrize("way", ["frame", "body", "object"])
def test_without_an_answer_nothing_is_published(start, backend, way):
    backend.answer = no_answer
    gateway = start(backend.config("publish", more=QUICK))
    assert published(gateway, way, "chat.a", 1) == "unavailable"
    assert retained(gateway, "chat.a") == []


def test_a_browsers_stream_without_an_answer_is_told_to_come_back(start, backend):
    backend.answer = no_answer
    gateway = start(backend.config("connect", more=QUICK))
    with gateway.client(headers={"Accept": "text/event-stream"}) as client:
        with client.stream("GET", "/sse", params={"topic": "public.a"}) as answer:
            assert answer.status_code == 200
            (bye,) = EventSource(answer).iter_sse()
    assert bye.event == "bye" and bye.retry is not None
    assert json.loads(bye.data)["code"] == 1001


BAD_ANSWERS = {
    "another status": (404, {"allow": True}),
    "no JSON": (200, b"<html>yes</html>"),
    "no verdict": (200, {}),
    "a pattern that is none": (200, {"allow": True, "subscribe": ["a..b"]}),
    "a key's subject": (200, {"allow": True, "subject": "key:shop"}),
    "too many bytes": (200, b'{"allow":true,"more":"' + b"x" * 100_000 + b'"}'),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_an_answer_that_does_not_fit_is_none(start, backend, answer):
    backend.answer = lambda question: answer
    gateway = start(backend.config("connect"))
    assert status_of(gateway, "/poll", "public.a") == 503
    # The same question would bring the same.
    assert len(backend.questions) == 1


def test_a_failure_is_repeated_and_an_answer_ends_that(start, backend):
    answers = iter([(500, {}), (503, {}), (200, {"allow": True})])
    backend.answer = lambda question: next(answers)
    gateway = start(backend.config("connect"))
    assert status_of(gateway, "/poll", "public.a") == 200
    assert len(backend.questions) == 3
    bodies = {question.body for question in backend.questions}
    assert len(bodies) == 1


def test_repeats_end_at_their_bound(start, backend):
    backend.answer = no_answer
    gateway = start(backend.config("connect", more="retries = 1"))
    assert status_of(gateway, "/poll", "public.a") == 503
    assert len(backend.questions) == 2


def test_a_backend_that_fails_is_left_alone(start, backend):
    backend.answer = no_answer
    gateway = start(backend.config("connect", more=BRITTLE))
    for number in range(6):
        assert status_of(gateway, "/poll", f"public.{number}") == 503
    assert len(backend.questions) == 2


def test_a_backend_that_was_left_alone_is_tried_again(start, backend):
    backend.answer = no_answer
    gateway = start(backend.config("connect", more=BRITTLE.replace("1h", "10ms")))
    for number in range(4):
        assert status_of(gateway, "/poll", f"public.{number}") == 503
    backend.answer = lambda question: (200, {"allow": True})
    ends = time.monotonic() + DEADLINE_S
    while status_of(gateway, "/poll", "public.later") == 503:
        assert time.monotonic() < ends


def test_a_backend_that_does_not_answer_in_time_is_given_up(start, backend):
    go_on = threading.Event()

    def hang(question: Question):
        go_on.wait(DEADLINE_S)
        return 200, {"allow": True}

    backend.answer = hang
    gateway = start(backend.config("connect", more='timeout = "100ms"\nretries = 0'))
    assert status_of(gateway, "/poll", "public.a") == 503
    go_on.set()


def test_no_more_attempts_are_under_way_than_may_be(start, backend):
    gateway = start(backend.config("publish", more='concurrency = 2\ntimeout = "20s"'))

    def slowly(question: Question):
        # Long enough for the others to come, if they may. However long it is, a bound that holds passes.
        time.sleep(0.02)
        return 200, {"allow": True}

    backend.answer = slowly
    with gateway.client() as client:
        elements = [{"topic": "chat.a", "data": number} for number in range(50)]
        answers = client.post("/publish", json=elements).json()
    assert all("id" in answer for answer in answers)
    assert backend.most <= 2


def test_no_redirect_is_followed(start, backend):
    with Backend() as elsewhere:
        backend.answer = lambda question: (307, {}, {"Location": elsewhere.url})
        gateway = start(backend.config("connect", more=QUICK))
        assert status_of(gateway, "/poll", "public.a") == 503
        assert len(backend.questions) == 1 and elsewhere.questions == []


def test_a_name_that_leads_to_this_machine_is_not_connected_to(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        config = f'[hooks]\nsecret = "{SECRET}"\n{QUICK}'
        config += f'[hooks.connect]\nurl = "https://localhost:{port}/"\n'
        gateway = start(config)
        assert status_of(gateway, "/poll", "public.a") == 503
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_backend_over_tls_has_to_show_a_certificate_that_is_trusted(start, tmp_path_factory):
    other = Gateway(tmp_path_factory.mktemp("certificate"), "memory").start()
    other.stop()
    with Backend(other.ca, other.ca.with_name("key.pem")) as backend:
        assert backend.url.startswith("https://")
        config = backend.config("connect", more=f'ca = "{other.ca}"\n')
        gateway = start(config)
        assert status_of(gateway, "/poll", "public.a") == 200
        gateway.stop()
        (gateway.folder / "tidewire.toml").write_text(backend.config("connect", more=QUICK) + KEYS)
        gateway.start()
        assert status_of(gateway, "/poll", "public.a") == 503
        assert len(backend.questions) == 1


def test_what_came_of_the_questions_is_counted(start, backend):
    gateway = start(backend.config("connect", more=QUICK))
    assert status_of(gateway, "/poll", "public.a") == 200
    backend.answer = refuse
    assert status_of(gateway, "/poll", "public.b") == 403
    backend.answer = no_answer
    assert status_of(gateway, "/poll", "public.c") == 503
    metrics = httpx.get(f"{gateway.admin}/metrics", timeout=DEADLINE_S, trust_env=False).text
    for outcome in ("allowed", "refused", "failed"):
        assert f'tidewire_hooks_total{{hook="connect",outcome="{outcome}"}} 1' in metrics


def test_the_refusal_is_a_problem_that_tells_nothing_of_the_backend(start, backend):
    backend.answer = lambda question: (403, {"secret": "canary"})
    gateway = start(backend.config("subscribe"))
    with gateway.client() as client:
        problem = check(client.get("/poll", params={"topic": "public.a"}), "forbidden")
    assert "canary" not in json.dumps(problem) and str(backend.port) not in json.dumps(problem)


@pytest.mark.parametrize("transport", [name for name in SESSIONS if name != "poll"])
def test_a_session_is_named_in_the_question_as_in_its_hello(start, backend, topic, transport):
    gateway = start(backend.config("connect"))
    session = SESSIONS[transport](gateway, topic, SHOP)
    assert backend.next().json["session"] == session.session
    session.close()
