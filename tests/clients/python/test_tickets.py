"""Tickets: bought with a token or a key, good once, for a short time, for what the buyer may do.

Source: protocol section 7; hazards: stolen and repeated tickets.
"""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import InvalidStatus

from gateway import DEADLINE_S, Gateway
from json_websocket import open_websocket
from tokens import SECRET, asked, bearer, signed

CONFIG = f"""
[auth]
ticket_ttl = "{{ttl}}"
tickets_per_subject = {{per_subject}}
[auth.anonymous]
[auth.jwt]
hs256_secret = "{SECRET}"
leeway = "0s"
[[auth.keys]]
name = "shop"
sha256 = "{hashlib.sha256(b"shop-key").hexdigest()}"
subscribe = ["orders.a"]
"""

BUYERS = {"token": lambda: bearer(signed()), "key": lambda: bearer("shop-key")}


@pytest.fixture(scope="module")
def guarded(start_gateway) -> Gateway:
    return start_gateway("memory", CONFIG.format(ttl="30s", per_subject=1000))


def buy(gateway: Gateway, headers: dict, count: int = 1) -> list[str]:
    with gateway.client() as client:
        answers = [client.post("/ticket", headers=headers) for _ in range(count)]
        assert all(answer.status_code == 200 for answer in answers), answers[-1].text
        return [answer.json()["ticket"] for answer in answers]


def upgrade(gateway: Gateway, ticket: str) -> int:
    try:
        with open_websocket(gateway, f"topic=orders.a&ticket={ticket}"):
            return 200
    except InvalidStatus as refused:
        return refused.response.status_code


def use(gateway: Gateway, path: str, ticket: str) -> int:
    return asked("GET", f"{path}&ticket={ticket}")(gateway, {})[0]


USES = {
    "sse": lambda gateway, ticket: use(gateway, "/sse?topic=orders.a", ticket),
    "poll": lambda gateway, ticket: use(gateway, "/poll?topic=orders.a", ticket),
    "websocket": upgrade,
}


@pytest.mark.parametrize("buyer", BUYERS)
@pytest.mark.parametrize("transport", USES)
def test_a_ticket_used_twice_is_refused(guarded, buyer, transport):
    [ticket] = buy(guarded, BUYERS[buyer]())
    assert USES[transport](guarded, ticket) == 200
    for again in USES.values():
        assert again(guarded, ticket) == 401


def test_a_ticket_has_many_random_characters_and_a_time(guarded):
    with guarded.client() as client:
        answer = client.post("/ticket", headers=BUYERS["token"]())
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert set(body) == {"ticket", "expires_in"} and body["expires_in"] == 30
    tickets = {body["ticket"], *buy(guarded, BUYERS["token"](), 50)}
    assert len(tickets) == 51
    assert all(len(ticket) >= 32 and ticket.replace("-", "").replace("_", "").isalnum() for ticket in tickets)


def test_of_fifty_uses_at_once_exactly_one_works(guarded):
    for path in ["/poll?topic=orders.a", "/sse?topic=orders.a"]:
        [ticket] = buy(guarded, BUYERS["token"]())
        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(lambda _: use(guarded, path, ticket), range(50)))
        assert sorted(statuses) == [200] + [401] * 49


def test_a_ticket_gives_what_its_buyer_may_and_no_more(guarded):
    [ticket] = buy(guarded, BUYERS["key"]())
    assert use(guarded, "/poll?topic=orders.b", ticket) == 403
    # The subject is the buyer's too: only that one may refresh the session.
    [ticket] = buy(guarded, BUYERS["token"]())
    with open_websocket(guarded, f"topic=orders.a&ticket={ticket}") as socket:
        other = socket.ask({"op": "auth", "token": signed(sub="u2")})
        assert other["code"] == "forbidden"
        assert socket.ask({"op": "auth", "token": signed()})["op"] == "ok"


def test_what_is_asked_wrongly_does_not_use_a_ticket_up(guarded):
    [ticket] = buy(guarded, BUYERS["token"]())
    assert use(guarded, "/poll?topic=orders..a", ticket) == 400
    assert use(guarded, "/poll?topic=orders.a", ticket) == 200


def test_a_ticket_cannot_buy_a_ticket_or_publish(guarded):
    [ticket] = buy(guarded, BUYERS["token"]())
    for path in ["/ticket", "/topics/orders.a"]:
        for headers in [{}, bearer(ticket)]:
            door = asked("POST", f"{path}?ticket={ticket}", content="1")
            assert door(guarded, headers) == (401, "unauthorized")
    assert use(guarded, "/poll?topic=orders.a", ticket) == 200


def test_without_credentials_there_is_no_ticket(guarded):
    assert asked("POST", "/ticket")(guarded, {}) == (401, "unauthorized")
    assert asked("POST", "/ticket")(guarded, bearer("nobody")) == (401, "unauthorized")
    for bad in ["", "x", "A" * 32, "%00", "A" * 10_000]:
        status = use(guarded, "/poll?topic=orders.a", bad)
        assert status == (401 if bad not in ("", "%00") else status) and status in (400, 401)


def waited(gateway: Gateway, tickets: list[str]) -> None:
    """Uses ticket after ticket, each in a poll that is held a moment, until one is refused."""
    ends = time.monotonic() + DEADLINE_S
    head = gateway.head_as(bearer("shop-key"))
    for ticket in tickets:
        path = f"/poll?topic=orders.a&after={head}&wait=0.1"
        if use(gateway, path, ticket) == 401:
            return
        assert time.monotonic() < ends
    raise AssertionError("the last is still good")


def test_a_ticket_ends_with_its_time(start_gateway):
    gateway = start_gateway("memory", CONFIG.format(ttl="1s", per_subject=1000))
    waited(gateway, buy(gateway, BUYERS["key"](), 100))


def test_a_ticket_ends_with_the_token_that_bought_it(guarded):
    token = signed(exp=int(time.time()) + 5, sub="u3")
    waited(guarded, buy(guarded, bearer(token), 150))


def test_one_subject_has_so_many_tickets_and_another_its_own(start_gateway):
    gateway = start_gateway("memory", CONFIG.format(ttl="10m", per_subject=3))
    buy(gateway, BUYERS["token"](), 3)
    with gateway.client() as client:
        answer = client.post("/ticket", headers=BUYERS["token"]())
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) == 600
    buy(gateway, BUYERS["key"](), 3)
