"""What a raw answer says beside its status; the hostile requests themselves stand in `corpus_http1.py`.

Source: RFC 9112 section 3.2 (Host) and section 6 (framing); protocol section 6.
"""

import json

import pytest

from raw_tls import all_statuses, exchange

HOST = b"Host: {listen}\r\n"
GET = b"GET /poll?topic=a.b HTTP/1.1\r\n"
POST = b"POST /topics/a.b HTTP/1.1\r\n"


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
