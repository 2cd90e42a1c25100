"""What a raw answer says beside its status; the hostile requests themselves stand in `corpus_http1.py`.

Source: RFC 9112 section 3.2 (Host) and section 6 (framing); protocol section 6.
"""

import json

import pytest

from raw_tls import exchange

HOST = b"Host: {listen}\r\n"
GET = b"GET /poll?topic=a.b HTTP/1.1\r\n"


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
