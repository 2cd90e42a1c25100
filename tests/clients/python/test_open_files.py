"""A flood of connections while the process has few open files.

Method: the gateway runs under a small limit of open files; later that limit is put below what it has
open already, so that every accept fails, and back.
Source: hazards, faults 9 and 19.
"""

import contextlib
import re
import socket

import httpx
import pytest

from gateway import DEADLINE_S, Gateway
from json_websocket import WebSocket, open_websocket
from waiting import until

OPEN_FILES = 256


@pytest.fixture
def narrow(tmp_path):
    gateway = Gateway(tmp_path, "disk", open_files=OPEN_FILES).start()
    yield gateway
    gateway.stop()


def test_a_flood_of_connections_leaves_sessions_and_the_admin_port_alive(narrow, topic):
    with open_websocket(narrow, f"topic={topic}") as session:
        assert_delivers(session, topic)
        with contextlib.ExitStack() as stack:
            flood(narrow, stack, 400)
            # A new connection to the admin port each time.
            until(lambda: refused(narrow) > 0)
            assert narrow.is_alive()
            assert_delivers(session, topic)
            with admin_client(narrow) as admin:
                assert metric(admin, ACCEPT_FAILURES) == 0
        until(lambda: is_served(narrow))


def test_no_open_file_at_all_is_survived_and_told_once_each_time(narrow, topic):
    with open_websocket(narrow, f"topic={topic}") as session, admin_client(narrow) as admin:
        assert_delivers(session, topic)
        assert metric(admin, ACCEPT_FAILURES) == 0
        narrow.limit_open_files(narrow.highest_open_file() + 1)
        with contextlib.ExitStack() as stack:
            flood(narrow, stack, 20)
            until(lambda: metric(admin, ACCEPT_FAILURES) > 10)
            assert_delivers(session, topic)
            narrow.limit_open_files(OPEN_FILES)
            until(lambda: is_served(narrow))
        told = narrow.stderr.read_text().count("no connections can be accepted for now")
        assert 0 < told < metric(admin, ACCEPT_FAILURES)


def assert_delivers(session: WebSocket, topic: str) -> None:
    """Publishes and gets the event on a connection that is open already."""
    answer = session.ask({"op": "publish", "ref": 1, "topic": topic, "data": "tide"})
    assert answer["op"] == "ok", answer
    event = session.events.pop() if session.events else session.take()
    assert event["id"] == answer["id"]


def flood(gateway: Gateway, stack: contextlib.ExitStack, count: int) -> None:
    """Connections that are opened and say nothing."""
    for _ in range(count):
        address = (gateway.host, gateway.port)
        stack.enter_context(socket.create_connection(address, timeout=DEADLINE_S))


def admin_client(gateway: Gateway) -> httpx.Client:
    """A client that keeps its connection."""
    kept = httpx.Limits(keepalive_expiry=None)
    return httpx.Client(base_url=gateway.admin, timeout=DEADLINE_S, trust_env=False, limits=kept)


def metric(admin: httpx.Client, name: str) -> int:
    found = re.search(rf"^{re.escape(name)} (\d+)$", admin.get("/metrics").text, re.MULTILINE)
    return int(found[1]) if found else 0


def refused(gateway: Gateway) -> int:
    with admin_client(gateway) as admin:
        return metric(admin, 'tidewire_refused_total{limit="connections_total"}')


def is_served(gateway: Gateway) -> bool:
    try:
        with gateway.client() as client:
            return client.get("/openapi.json").status_code == 200
    except httpx.HTTPError:
        return False


ACCEPT_FAILURES = "tidewire_accept_failures_total"
