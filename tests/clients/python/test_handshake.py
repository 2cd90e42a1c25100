"""Handshakes that are none: the status and the headers that say what would be one.

Source: RFC 6455 sections 4.2.1, 4.2.2 and 4.4; RFC 9110 section 15.5.22; RFC 8441; protocol section 6.
"""

import json

import pytest

from h2_websocket import Http2WebSocket
from raw_tls import exchange

GOOD = {
    "Host": "{listen}",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(method: str = "GET", more: str = "", **headers: str | None) -> bytes:
    """An upgrade with other headers; None leaves one out, `more` comes before the end as it is."""
    fields = GOOD | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"{method} /ws HTTP/1.1", *lines, more + "\r\n"]).encode()


def answer_to(gateway, sent: bytes):
    answer = exchange(gateway, sent.replace(b"{listen}", gateway.listen.encode()))
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == answer.status
    return answer


KEY = "Sec_WebSocket_Key"

BAD_KEYS = [
    ("no key", request(**{KEY: None})),
    ("an empty key", request(**{KEY: ""})),
    ("a key of 15 bytes", request(**{KEY: "AAAAAAAAAAAAAAAAAAAA"})),
    ("a key of 17 bytes", request(**{KEY: "AAAAAAAAAAAAAAAAAAAAAAA="})),
    ("a key without its padding", request(**{KEY: "dGhlIHNhbXBsZSBub25jZQ"})),
    ("a key that is no base64", request(**{KEY: "!GhlIHNhbXBsZSBub25jZQ=="})),
    ("two keys", request(more="Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")),
    ("the same key twice", request(more=f"Sec-WebSocket-Key: {GOOD['Sec-WebSocket-Key']}\r\n")),
]

NO_UPGRADES = [
    ("a plain GET", b"GET /ws HTTP/1.1\r\nHost: {listen}\r\n\r\n"),
    ("no Upgrade", request(Upgrade=None)),
    ("an Upgrade to something else", request(Upgrade="h2c")),
    ("no Connection", request(Connection=None)),
    ("a Connection that does not name the upgrade", request(Connection="keep-alive")),
    ("no version", request(Sec_WebSocket_Version=None)),
    ("version 8", request(Sec_WebSocket_Version="8")),
    ("version 12", request(Sec_WebSocket_Version="12")),
    ("version 14", request(Sec_WebSocket_Version="14")),
    ("a version that is no number", request(Sec_WebSocket_Version="thirteen")),
]


@pytest.mark.parametrize("sent", [row[1] for row in BAD_KEYS], ids=[row[0] for row in BAD_KEYS])
def test_a_bad_key_is_400(gateway, sent):
    answer = answer_to(gateway, sent)
    assert answer.status == 400
    assert json.loads(answer.body)["code"] == "bad_request"


@pytest.mark.parametrize(
    "sent", [row[1] for row in NO_UPGRADES], ids=[row[0] for row in NO_UPGRADES]
)
def test_what_is_no_upgrade_to_version_13_is_426_and_says_what_would_be(gateway, sent):
    answer = answer_to(gateway, sent)
    assert answer.status == 426
    assert json.loads(answer.body)["code"] == "upgrade_required"
    assert answer.headers["sec-websocket-version"] == "13"
    assert answer.headers["upgrade"] == "websocket"
    # RFC 9110 section 7.8: who sends Upgrade names it in Connection.
    assert "upgrade" in answer.headers["connection"].lower()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405(gateway, method):
    answer = answer_to(gateway, request(method, "Content-Length: 0\r\n"))
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


def test_names_are_compared_without_case_and_lists_are_searched(gateway):
    sent = request(Upgrade="foo, WebSocket", Connection="keep-alive, upgrade")
    answer = exchange(gateway, sent.replace(b"{listen}", gateway.listen.encode()))
    assert answer.status == 101
    # The example of RFC 6455 section 1.3.
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_plain_get_inside_http_2_is_no_websocket(gateway):
    with gateway.client(http2=True) as client:
        answer = client.get("/ws")
    # RFC 8441 section 4: it takes CONNECT there, and an Upgrade is not to be had.
    assert answer.status_code in (405, 426)
    # RFC 9113 section 8.2.2: there is no Connection in HTTP/2, and no Upgrade.
    assert "upgrade" not in answer.headers and "connection" not in answer.headers


@pytest.mark.parametrize("version", ["8", "12", "thirteen"])
def test_another_version_inside_http_2_is_426(gateway, version):
    socket = Http2WebSocket(gateway, version=version)
    assert socket.status == 426
    assert socket.headers["sec-websocket-version"] == "13"
    assert json.loads(socket.body)["code"] == "upgrade_required"
    socket.cut()
