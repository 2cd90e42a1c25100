"""Requests that no client library sends, as bytes over TLS.

Source: RFC 9112 section 3.2 (Host) and section 6 (framing); protocol section 6.
"""

import json

import pytest

from raw_tls import all_statuses, exchange

HOST = b"Host: {listen}\r\n"
GET = b"GET /poll?topic=a.b HTTP/1.1\r\n"
POST = b"POST /topics/a.b HTTP/1.1\r\n"

BAD_REQUESTS = [
    ("no Host", GET + b"\r\n"),
    ("two Hosts", GET + HOST + b"Host: evil.example\r\n\r\n"),
    ("the same Host twice", GET + HOST + HOST + b"\r\n"),
    ("no Host on a WebSocket upgrade", b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: "
     b"Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"),
    ("no Host on a publish", POST + b"Content-Length: 1\r\n\r\n1"),
    ("two lengths that differ", POST + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n1"),
    ("a length that is no number", POST + HOST + b"Content-Length: one\r\n\r\n1"),
    ("a chunk size that is no number",
     POST + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n1\r\n0\r\n\r\n"),
    ("a chunk size beyond 64 bits",
     POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n1ffffffffffffffff0\r\n1\r\n0\r\n\r\n"),
    ("a length and a chunked body",
     POST + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a chunked body and a length",
     POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"),
    ("chunked twice", POST + HOST + b"Transfer-Encoding: chunked\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked and something else",
     POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("a coding that is not chunked", POST + HOST + b"Transfer-Encoding: identity\r\n\r\n1"),
    ("a length with a sign", POST + HOST + b"Content-Length: +1\r\n\r\n1"),
    ("two lengths in one", POST + HOST + b"Content-Length: 1, 1\r\n\r\n1"),
    ("a chunk that is longer than its size",
     POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n12\r\n0\r\n\r\n"),
    ("a size line without CR",
     POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\n1\r\n0\r\n\r\n"),
    ("a trailer without CR",
     POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\nX: 1\n\r\n\r\n"),
    ("a space before the colon", GET + HOST + b"X-Tide : 1\r\n\r\n"),
    ("a folded header", GET + HOST + b"X-Tide: 1\r\n 2\r\n\r\n"),
    ("a NUL in a header", GET + HOST + b"X-Tide: 1\x002\r\n\r\n"),
    ("a bare CR in a header", GET + HOST + b"X-Tide: 1\r2\r\n\r\n"),
    ("no HTTP at all", b"\x16\x03\x01 hello\r\n\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    "request_bytes", [row[1] for row in BAD_REQUESTS], ids=[row[0] for row in BAD_REQUESTS]
)
def test_a_malformed_request_is_400_and_the_connection_ends(gateway, request_bytes):
    answer = exchange(gateway, request_bytes.replace(b"{listen}", gateway.listen.encode()))
    assert answer.status == 400
    assert answer.closed
    assert gateway.is_alive()


SMUGGLED = b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "first",
    [
        POST + HOST + b"Content-Length: 1\r\n\r\n1",
        POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
def test_a_request_with_two_lengths_behind_a_good_one_is_400_and_the_end(gateway, first):
    host = HOST.replace(b"{listen}", gateway.listen.encode())
    requests = first.replace(HOST, host) + POST + host + SMUGGLED
    assert all_statuses(gateway, requests) == [201, 400]


@pytest.mark.parametrize(
    "first",
    [
        GET + HOST + b"Connection: Upgrade\r\nUpgrade: anything\r\n\r\n",
        GET.replace(b"1.1", b"1.0") + HOST + b"Connection: keep-alive\r\nUpgrade: x\r\n\r\n",
    ],
    ids=["HTTP/1.1", "HTTP/1.0"],
)
def test_nothing_is_read_behind_an_upgrade_that_was_not_granted(gateway, first):
    host = HOST.replace(b"{listen}", gateway.listen.encode())
    upgrade = first.replace(HOST, host)
    assert all_statuses(gateway, upgrade + POST + host + SMUGGLED) == [200]


@pytest.mark.parametrize("hosts", [b"", HOST + HOST], ids=["missing", "doubled"])
def test_a_missing_or_doubled_host_is_told_as_a_problem(gateway, hosts):
    hosts = hosts.replace(b"{listen}", gateway.listen.encode())
    answer = exchange(gateway, GET + hosts + b"\r\n")
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["code"] == "bad_request"


def test_a_well_formed_raw_request_is_served_and_the_connection_stays(gateway):
    answer = exchange(gateway, GET + HOST.replace(b"{listen}", gateway.listen.encode()) + b"\r\n")
    assert answer.status == 200
    assert not answer.closed


def test_a_header_of_a_mebibyte_is_refused(gateway):
    host = HOST.replace(b"{listen}", gateway.listen.encode())
    answer = exchange(gateway, GET + host + b"X-Tide: " + b"x" * (1 << 20) + b"\r\n\r\n")
    assert answer.status == 431
    assert gateway.is_alive()
