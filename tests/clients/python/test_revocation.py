"""Credentials that are good no longer: on every transport, at once, and after a restart.

Source: protocol, "The admin port"; hazards: its token does not come back where revoked.
"""

import hashlib
import json
import signal
import time

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from admin import ask, kick, wait_for_sessions
from faults import failing
from gateway import DEADLINE_S, Gateway
from json_websocket import open_websocket
from open_sessions import SESSIONS, bearer
from refusal import check

SHOP, STOCK = "shop-key-0123456789", "stock-key-0123456789"

TOKEN_SECRET = "for-tests-0123456789-0123456789-0123456789"
ALL = {"subscribe": [">"], "publish": [">"]}

CONFIG = f'[auth.jwt]\nhs256_secret = "{TOKEN_SECRET}"\n' + "".join(
    f"""
[[auth.keys]]
name = "{name}"
sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"
publish = [">"]
subscribe = [">"]
"""
    for name, key in [("shop", SHOP), ("stock", STOCK)]
)


def token(subject: str, **claims) -> str:
    """A token that the gateway accepts."""
    claims = {"sub": subject, "exp": int(time.time()) + 3600, "tidewire": ALL} | claims
    return jwt.encode(claims, TOKEN_SECRET, algorithm="HS256")


@pytest.fixture
def guarded(tmp_path):
    """A gateway with two keys, that the test may restart."""
    gateway = Gateway(tmp_path, "memory", CONFIG).start()
    yield gateway
    gateway.stop()


def restart(gateway: Gateway, number: int = signal.SIGTERM) -> None:
    """Ends the process and starts it again on the same folder."""
    gateway.signal(number)
    gateway.wait()
    gateway.start()


def revocations(gateway: Gateway) -> list[dict]:
    return ask(gateway, "GET", "/admin/revocations").json()["revocations"]


def take_back(gateway: Gateway, one: dict) -> int:
    headers = {"Content-Type": "application/json"}
    return ask(gateway, "DELETE", f"/admin/revocations/{one['id']}", headers=headers).status_code


def is_refused(gateway: Gateway, key: str) -> bool:
    """Whether the key is refused everywhere, or nowhere."""
    with gateway.client(headers=bearer(key)) as client:
        answers = [
            client.get("/poll", params={"topic": "a"}),
            client.get("/topics/a/events"),
            client.post("/topics/a", content="1"),
            client.post("/publish", json={"topic": "a", "data": 1}),
        ]
        with client.stream("GET", "/sse", params={"topic": "a"}) as answer:
            answers.append(answer)
    refused = {answer.status_code == 401 for answer in answers}
    try:
        with open_websocket(gateway, "topic=a", additional_headers=bearer(key)):
            refused.add(False)
    except InvalidStatus as error:
        refused.add(error.response.status_code == 401)
    with open_websocket(gateway) as socket:
        refused.add(socket.ask({"op": "auth", "ref": 1, "token": key}).get("code") == "unauthorized")
    (all_alike,) = refused
    return all_alike


@pytest.mark.parametrize("transport", SESSIONS)
def test_an_open_session_ends_at_once_and_does_not_come_back(guarded, topic, transport):
    session = SESSIONS[transport](guarded, topic, SHOP)
    wait_for_sessions(guarded, 1, subject="key:shop")
    done = kick(guarded, subject="key:shop", revoke=True)
    assert done["kicked"] == 1
    assert done["revocation"]["subject"] == "key:shop"
    guarded.publish(topic, "too late")
    assert session.end() == ([], session.refused)
    session.close()
    assert is_refused(guarded, SHOP)
    assert not is_refused(guarded, STOCK)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_revocation_survives_a_restart_until_it_is_taken_back(guarded, number):
    one = kick(guarded, subject="key:shop", revoke=True)["revocation"]
    # An API key has no end, so neither has this.
    assert "until" not in one
    other = kick(guarded, subject="u1", revoke=True, for_="1h")["revocation"]
    assert other["until"] == other["since"] + 3600
    restart(guarded, number)
    assert is_refused(guarded, SHOP)
    assert sorted(revocations(guarded), key=json.dumps) == sorted([one, other], key=json.dumps)
    assert take_back(guarded, one) == 204
    assert take_back(guarded, one) == 404
    assert not is_refused(guarded, SHOP)
    restart(guarded, number)
    assert not is_refused(guarded, SHOP)
    assert revocations(guarded) == [other]


@pytest.mark.parametrize("when", ["1", "2+"], ids=["the file's", "the folder's"])
def test_a_revocation_whose_sync_fails_is_in_force_and_told_as_not_saved(guarded, when):
    with failing(guarded, "fsync,fdatasync", when):
        answer = ask(guarded, "POST", "/admin/kick", json={"subject": "key:shop", "revoke": True})
    assert answer.status_code == 503 and "could not be saved" in answer.json()["detail"]
    assert is_refused(guarded, SHOP)


def test_a_revocation_for_a_time_goes_away_by_itself(guarded):
    kick(guarded, subject="key:shop", revoke=True, for_="1s")
    with guarded.client(headers=bearer(SHOP), timeout=DEADLINE_S) as client:
        while client.get("/poll", params={"topic": "a"}).status_code == 401:
            pass
    assert revocations(guarded) == []


def test_one_session_takes_its_subject_along_where_its_credentials_have_no_id(guarded, topic):
    session = SESSIONS["websocket"](guarded, topic, SHOP)
    other = SESSIONS["sse"](guarded, topic, SHOP)
    done = kick(guarded, session=session.session, revoke=True)
    assert (done["kicked"], done["revocation"]["subject"]) == (2, "key:shop")
    assert session.end() == other.end() == ([], 4004)
    assert is_refused(guarded, SHOP)


def test_what_cannot_be_revoked_is_told_and_nobody_is_kicked(guarded, topic):
    session = SESSIONS["websocket"](guarded, topic)
    for body, status, code in [
        ({"session": session.session, "revoke": True}, 400, "bad_request"),
        ({"session": "0123456789abcdef", "revoke": True}, 404, "not_found"),
    ]:
        answer = ask(guarded, "POST", "/admin/kick", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert session.socket.ask({"op": "ping"})["op"] == "pong"
    assert revocations(guarded) == []
    session.close()


def test_a_full_list_takes_no_more_and_says_so(tmp_path):
    gateway = Gateway(tmp_path, "memory", "[revocations]\nmax = 1\n").start()
    one = kick(gateway, subject="u1", revoke=True)["revocation"]
    refused = ask(gateway, "POST", "/admin/kick", json={"subject": "u2", "revoke": True})
    assert refused.status_code == 503 and "revocations.max" in refused.json()["detail"]
    assert take_back(gateway, one) == 204
    assert kick(gateway, subject="u2", revoke=True)["revocation"]["subject"] == "u2"
    gateway.stop()


def test_a_file_that_cannot_be_read_keeps_the_gateway_from_starting(tmp_path):
    gateway = Gateway(tmp_path, "memory")
    gateway.data_dir.mkdir()
    (gateway.data_dir / "revocations.json").write_text("{")
    with pytest.raises(RuntimeError, match="revocations.json"):
        gateway.start()
    assert gateway.wait() == 1


def test_the_refusal_is_that_of_any_bad_credentials(guarded):
    kick(guarded, subject="key:shop", revoke=True)
    with guarded.client() as client:
        answers = [
            client.get("/poll", params={"topic": "a"}, headers=bearer(key))
            for key in (SHOP, "nobody-knows-me")
        ]
    for answer in answers:
        check(answer, "unauthorized")
    assert answers[0].content == answers[1].content


def test_one_token_is_revoked_and_another_of_its_subject_lives(guarded, topic):
    ends = int(time.time()) + 600
    one, other = token("u1", jti="t1", exp=ends), token("u1", jti="t2")
    first = SESSIONS["websocket"](guarded, topic, one)
    second = SESSIONS["websocket"](guarded, topic, other)
    assert {row["token"] for row in wait_for_sessions(guarded, 2, subject="u1")} == {"t1", "t2"}
    done = kick(guarded, token="t1", revoke=True)
    assert (done["kicked"], done["revocation"]["token"]) == (1, "t1")
    # A minute after its end no gateway takes it, whatever its leeway.
    assert done["revocation"]["until"] == ends + 60
    event = guarded.publish(topic, "for the other")
    assert first.end() == ([], 4004)
    assert second.socket.take()["id"] == event
    assert is_refused(guarded, one) and not is_refused(guarded, other)
    restart(guarded)
    assert is_refused(guarded, one) and not is_refused(guarded, other)


def test_a_session_takes_only_its_own_token_along_where_that_has_an_id(guarded, topic):
    session = SESSIONS["sse"](guarded, topic, token("u1", jti="t1"))
    done = kick(guarded, session=session.session, revoke=True)
    assert (done["kicked"], done["revocation"]["token"]) == (1, "t1")
    assert session.end() == ([], 4004)
    assert not is_refused(guarded, token("u1", jti="t2"))


def test_a_subjects_later_tokens_are_good(guarded):
    now = int(time.time())
    since = kick(guarded, subject="u1", revoke=True)["revocation"]["since"]
    assert is_refused(guarded, token("u1"))
    assert is_refused(guarded, token("u1", iat=now))
    assert is_refused(guarded, token("u1", iat=since))
    assert not is_refused(guarded, token("u1", iat=since + 1))
    assert not is_refused(guarded, token("u2", iat=now))


def test_a_ticket_of_a_revoked_token_is_worth_nothing(guarded):
    good = token("u1", jti="t1")
    with guarded.client() as client:
        ticket = client.post("/ticket", headers=bearer(good)).json()["ticket"]
        kick(guarded, token="t1", revoke=True)
        check(client.get("/poll", params={"topic": "a", "ticket": ticket}), "unauthorized")


def test_a_cookie_of_a_revoked_token_is_worth_nothing(guarded):
    headers = {"Cookie": f"__Host-tidewire={token('u1', jti='t1')}", "Origin": guarded.url}
    with guarded.client(headers=headers) as client:
        assert client.get("/poll", params={"topic": "a"}).status_code == 200
        kick(guarded, token="t1", revoke=True)
        check(client.get("/poll", params={"topic": "a"}), "unauthorized")
