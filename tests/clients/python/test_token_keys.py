"""Keys of tokens that come from an address: rotated, slow, huge, redirecting, down.

Source: protocol section 7; hazards: requests that the gateway makes, and the address being down.
"""

import threading
import time

import pytest

from gateway import DEADLINE_S, Gateway
from json_websocket import open_websocket
from key_server import KeyServer
from tokens import DOORS, PRIVATE_KEYS, SECRET, bearer, signed


@pytest.fixture
def server():
    server = KeyServer(one="RS256", two="ES256", three="EdDSA")
    yield server
    server.close()


@pytest.fixture
def start(start_gateway, server):
    """Starts a gateway whose keys come from the server."""

    def start(pause="100ms", refresh="1h", more="") -> Gateway:
        return start_gateway(
            "memory",
            f"""
            [auth.anonymous]
            [auth.jwt]
            jwks_url = "{server.url}"
            jwks_pause = "{pause}"
            jwks_refresh = "{refresh}"
            {more}
            """,
        )

    return start


def token(algorithm: str, kid: str | None) -> str:
    headers = {} if kid is None else {"kid": kid}
    return signed(PRIVATE_KEYS[algorithm], algorithm, headers)


def shown(gateway: Gateway, token: str, door: str = "poll") -> int:
    return DOORS[door](gateway, bearer(token))[0]


def until(fact) -> None:
    """Waits for a fact that requests bring about."""
    ends = time.monotonic() + DEADLINE_S
    while not fact():
        assert time.monotonic() < ends, "it never came"


def test_a_key_of_the_set_is_found_by_its_name_and_fits_one_algorithm(start, server):
    gateway = start(pause="10m")
    for algorithm, kid in [("RS256", "one"), ("ES256", "two"), ("EdDSA", "three")]:
        for door in DOORS:
            assert shown(gateway, token(algorithm, kid), door) == 200
    # Without a name, the one key of the algorithm is meant.
    assert shown(gateway, token("RS256", None)) == 200
    for bad in [
        token("RS256", "two"),
        token("RS256", "unknown"),
        signed(SECRET, "HS256", {"kid": "secret"}),
        signed(SECRET, "HS256", {"kid": "one"}),
    ]:
        assert shown(gateway, bad) == 401
    # Within the pause no unknown name makes the gateway ask again.
    for n in range(50):
        assert shown(gateway, token("EdDSA", f"unknown{n}")) == 401
    assert server.asked == 1


@pytest.mark.parametrize("door", ["sse", "poll", "websocket", "publish"])
def test_a_new_key_is_fetched_when_a_token_names_it(start, server, door):
    gateway = start()
    assert shown(gateway, token("RS256", "one")) == 200
    server.keys(new="EdDSA")
    until(lambda: shown(gateway, token("EdDSA", "new"), door) == 200)
    assert server.asked <= 3
    # What is gone from the set is gone.
    assert shown(gateway, token("RS256", "one")) == 401


def test_a_new_key_is_fetched_for_an_auth_frame_too(start, server):
    gateway = start()
    assert shown(gateway, token("RS256", "one")) == 200
    server.keys(new="EdDSA")
    with open_websocket(gateway) as socket:
        auth = {"op": "auth", "token": token("EdDSA", "new")}
        until(lambda: socket.ask(auth)["op"] == "ok")


@pytest.mark.parametrize(
    "answer",
    [
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: {url}/elsewhere\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{{\"keys\":[]}}",
        "HTTP/1.1 200 OK\r\n\r\n" + "[" * 1_000_000,
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{{",
        "",
    ],
    ids=["500", "redirect", "no key", "huge", "cut", "nothing"],
)
def test_while_the_address_is_down_the_old_keys_go_on(start, server, answer):
    gateway = start(refresh="1s")
    assert shown(gateway, token("RS256", "one")) == 200
    asked = server.asked
    server.says(answer.format(url=server.url))
    server.wait_until_asked(asked + 3)
    assert shown(gateway, token("RS256", "one")) == 200
    assert gateway.is_alive()


def test_the_first_requests_wait_for_the_first_keys(start, server):
    server.hold()
    gateway = start(more='jwks_timeout = "30s"')
    results = []
    doors = ["sse", "poll", "websocket", "publish"]

    def ask(door: str) -> None:
        results.append(shown(gateway, token("RS256", "one"), door))

    threads = [threading.Thread(target=ask, args=[door]) for door in doors]
    for thread in threads:
        thread.start()
    # Others do not wait.
    assert shown(gateway, "no-token-at-all") == 401
    server.wait_until_asked(1)
    server.release()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert results == [200] * len(doors)


def test_without_any_key_a_token_is_told_to_come_again(start, server):
    server.hold()
    gateway = start(more='jwks_timeout = "100ms"')
    for door in ["sse", "poll", "websocket", "publish"]:
        assert DOORS[door](gateway, bearer(token("RS256", "one"))) == (503, "unavailable")
    # A browser's event source would never come back after a 503.
    with gateway.client() as client:
        headers = bearer(token("RS256", "one")) | {"Accept": "text/event-stream"}
        answer = client.get("/sse?topic=orders.a", headers=headers)
        assert answer.status_code == 200 and "event: bye" in answer.text
    server.release()
    until(lambda: shown(gateway, token("RS256", "one")) == 200)


def test_keys_come_only_from_an_address_whose_certificate_the_system_trusts(
    start_gateway, tmp_path_factory
):
    made = Gateway(tmp_path_factory.mktemp("certificate"), "memory").start()
    made.stop()
    server = KeyServer((made.ca, made.ca.with_name("key.pem")), one="RS256")
    config = f"""
    [auth.jwt]
    jwks_url = "{server.url}"
    jwks_pause = "100ms"
    """
    trusting = start_gateway("memory", config, environment={"SSL_CERT_FILE": str(made.ca)})
    assert shown(trusting, token("RS256", "one")) == 200
    assert server.asked == 1
    gateway = start_gateway("memory", config)
    assert shown(gateway, token("RS256", "one")) == 503
    assert server.asked == 1
    server.close()
