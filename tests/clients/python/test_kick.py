"""Who is connected, and sending somebody away, through the admin port.

Source: protocol, "The admin port"; hazards: kick, then publish: no deliveries; nothing of the admin port elsewhere.
"""

import hashlib

import pytest

from admin import ask, kick, sessions, wait_for_sessions
from gateway import Gateway
from open_sessions import SESSIONS, bearer

ANNA, BERT = "anna-key-0123456789", "bert-key-0123456789"

CONFIG = "".join(
    f"""
[[auth.keys]]
name = "{name}"
sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"
publish = [">"]
subscribe = [">"]
"""
    for name, key in [("anna", ANNA), ("bert", BERT)]
)


@pytest.fixture(scope="module")
def guarded(start_gateway) -> Gateway:
    """A gateway with two keys."""
    return start_gateway("memory", CONFIG)


@pytest.fixture
def opened(guarded):
    """Opens sessions that are closed when the test ends."""
    held = []

    def open_session(transport: str, topic: str, key: str | None = None):
        held.append(SESSIONS[transport](guarded, topic, key))
        return held[-1]

    yield open_session
    for each in held:
        each.close()


@pytest.mark.parametrize("transport", SESSIONS)
def test_whoever_is_kicked_by_subject_gets_nothing_any_more(guarded, opened, topic, transport):
    session = opened(transport, topic, ANNA)
    wait_for_sessions(guarded, 1, topic, subject="key:anna")
    assert kick(guarded, subject="key:anna") == {"kicked": 1}
    guarded.publish(topic, "too late")
    events, end = session.end()
    assert (events, end) == ([], session.kicked)
    wait_for_sessions(guarded, 0, subject="key:anna")
    # Nothing was revoked: whoever is let in again is let in.
    opened("sse", topic, ANNA)
    kick(guarded, subject="key:anna")


@pytest.mark.parametrize("transport", [name for name in SESSIONS if name != "poll"])
def test_one_session_is_kicked_by_its_name_and_its_neighbours_live(
    guarded, opened, topic, transport
):
    session, other = opened(transport, topic, BERT), opened("websocket", topic, BERT)
    assert kick(guarded, session=session.session) == {"kicked": 1}
    event = guarded.publish(topic, "for the other")
    assert session.end() == ([], 4004)
    assert other.socket.take()["id"] == event


def test_a_kick_that_finds_nobody_says_so(guarded):
    assert kick(guarded, subject="nobody") == {"kicked": 0}
    assert kick(guarded, token="nothing") == {"kicked": 0}
    assert kick(guarded, session="0123456789abcdef") == {"kicked": 0}


def test_the_list_shows_who_reads_what(guarded, opened, topic):
    known = {
        name: opened(name, f"{topic}.{number}", BERT)
        for number, name in enumerate(["websocket", "sse", "poll"])
    }
    found = wait_for_sessions(guarded, 3, topic, subject="key:bert")
    rows = {row["transport"]: row for row in found}
    assert set(rows) == set(known)
    for number, (name, session) in enumerate(known.items()):
        row = rows[name]
        assert row["topics"] == [f"{topic}.{number}"]
        assert row["subject"] == "key:bert" and "token" not in row
        assert row["address"].startswith("127.0.0.1:") and row["since"] > 1_700_000_000_000
        assert session.session in (None, row["session"])
    socket = known["websocket"].socket
    socket.ask({"op": "subscribe", "topics": [f"{topic}.more.*"]})
    socket.ask({"op": "unsubscribe", "topics": [f"{topic}.0"]})
    (row,) = wait_for_sessions(guarded, 1, topic, transport="websocket")
    assert row["topics"] == [f"{topic}.more.*"]
    wait_for_sessions(guarded, 3, subject="key:bert")
    assert kick(guarded, subject="key:bert") == {"kicked": 3}


def test_an_auth_frame_changes_whose_session_it_is(guarded, opened, topic):
    session = opened("websocket", topic)
    (row,) = wait_for_sessions(guarded, 1, transport="websocket")
    assert "subject" not in row
    assert session.socket.ask({"op": "auth", "token": ANNA})["op"] == "ok"
    assert kick(guarded, subject="key:anna") == {"kicked": 1}
    assert session.end() == ([], 4004)


def test_pages_show_everybody_once(guarded, opened, topic):
    names = {opened("sse", topic, ANNA).session for _ in range(5)}
    # All that there are: this asks for every page.
    wait_for_sessions(guarded, 5, subject="key:anna")
    for limit in (1, 2, 5, 1000):
        rows = sessions(guarded, subject="key:anna", limit=limit)
        assert len(rows) == 5 and {row["session"] for row in rows} == names
    last = ask(guarded, "GET", "/admin/sessions", params={"subject": "key:anna", "limit": 5})
    assert "next" not in last.json()
    assert kick(guarded, subject="key:anna") == {"kicked": 5}


BAD_QUERIES = ["limit=0", "limit=1001", "limit=x", "transport=pigeon", "after=x", "subjekt=u1"]


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_filter_that_does_not_fit_is_refused(guarded, query):
    answer = ask(guarded, "GET", f"/admin/sessions?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


BAD_KICKS = [
    {},
    {"subject": "a", "session": "b"},
    {"subject": "a", "revokee": True},
    {"subject": "a", "for": "1h"},
    {"subject": "a", "revoke": True, "for": "soon"},
    {"subject": 1},
    [],
]


@pytest.mark.parametrize("body", BAD_KICKS, ids=str)
def test_a_kick_that_does_not_fit_is_refused(guarded, body):
    answer = ask(guarded, "POST", "/admin/kick", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_kick_that_is_larger_than_16_kib_is_refused(guarded):
    answer = ask(guarded, "POST", "/admin/kick", json={"subject": "a" * 16 * 1024})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


CHANGES = [("POST", "/admin/kick"), ("DELETE", "/admin/revocations/0000000000000000")]


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_change_that_a_foreign_page_could_send_is_refused(
    guarded, opened, topic, method, path, content_type
):
    session = opened("websocket", topic, ANNA)
    headers = {"Content-Type": content_type} if content_type else {}
    answer = ask(guarded, method, path, content=b'{"subject":"key:anna"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    headers = [("Content-Type", "application/json"), ("Content-Type", content_type or "text/plain")]
    answer = ask(guarded, method, path, content=b'{"subject":"key:anna"}', headers=headers)
    assert answer.status_code == 415
    headers = {"Content-Type": "application/json"}
    for foreign in [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}]:
        answer = ask(
            guarded, method, path, content=b'{"subject":"key:anna"}', headers=headers | foreign
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert session.socket.ask({"op": "ping"})["op"] == "pong"
    assert kick(guarded, subject="key:anna") == {"kicked": 1}


def test_the_admin_ports_own_page_may_change(guarded):
    headers = {"Origin": guarded.admin, "Content-Type": "application/json; charset=utf-8"}
    answer = ask(guarded, "POST", "/admin/kick", content=b'{"subject":"nobody"}', headers=headers)
    assert answer.json() == {"kicked": 0}


@pytest.mark.parametrize(
    ("method", "path"), [*CHANGES, ("GET", "/admin/sessions"), ("GET", "/admin/revocations")]
)
def test_nothing_of_it_is_on_the_public_port(guarded, method, path):
    with guarded.client(headers=bearer(ANNA)) as client:
        answer = client.request(method, path, headers={"Content-Type": "application/json"})
    assert answer.status_code in (404, 405)
