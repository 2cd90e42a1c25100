"""No request comes past a proxy: nginx and haproxy see the same end of a body as the gateway behind them.

Method: each row hides a publish behind or inside the body of another request. The proxy refuses the hidden one where it
sees it; so an event in its topic came past the proxy.
Source: RFC 9112 section 11.2; hazards part 1 row 12.
"""

import pytest

from gateway import Gateway
from proxies import CONFIGS, Proxy

CHUNKED = b"Transfer-Encoding: chunked"

# Fields by which the two ends could come to different bodies. `{length}` is one that takes in the hidden request.
FIELDS = [
    ("a length before a coding", b"Content-Length: {length}\r\n" + CHUNKED),
    ("a length behind a coding", CHUNKED + b"\r\nContent-Length: {length}"),
    ("two lengths", b"Content-Length: 5\r\nContent-Length: {length}"),
    ("two lengths, the long one first", b"Content-Length: {length}\r\nContent-Length: 5"),
    ("two lengths in one field", b"Content-Length: 5, {length}"),
    ("a length with a plus", b"Content-Length: +{length}\r\n" + CHUNKED),
    ("a length with a space", b"Content-Length : {length}\r\n" + CHUNKED),
    ("a length with an underscore", b"Content_Length: {length}\r\n" + CHUNKED),
    ("a coding with a space before the colon", b"Content-Length: {length}\r\nTransfer-Encoding : chunked"),
    ("a coding with an underscore", b"Content-Length: {length}\r\nTransfer_Encoding: chunked"),
    ("a coding with a tab", b"Content-Length: {length}\r\nTransfer-Encoding:\tchunked"),
    ("a coding with a vertical tab", b"Content-Length: {length}\r\nTransfer-Encoding: \x0bchunked"),
    ("a coding in capitals", b"Content-Length: {length}\r\nTransfer-Encoding: CHUNKED"),
    ("a coding on the next line", b"Content-Length: {length}\r\nTransfer-Encoding:\r\n chunked"),
    ("a coding in quotes", b'Content-Length: {length}\r\nTransfer-Encoding: "chunked"'),
    ("an unknown coding", b"Content-Length: {length}\r\nTransfer-Encoding: xchunked"),
    ("an unknown coding and chunked", b"Content-Length: {length}\r\nTransfer-Encoding: cow\r\n" + CHUNKED),
    ("chunked and an unknown coding", b"Content-Length: {length}\r\n" + CHUNKED + b"\r\nTransfer-Encoding: cow"),
    ("identity and chunked", b"Content-Length: {length}\r\nTransfer-Encoding: identity, chunked"),
    ("chunked twice", b"Content-Length: {length}\r\n" + CHUNKED + b", chunked"),
    ("a coding behind a NUL", b"Content-Length: {length}\r\nX-Tide: \x00\r\n" + CHUNKED),
    ("a coding behind a bare CR", b"Content-Length: {length}\r\nX-Tide: 1\r" + CHUNKED),
    ("a coding behind a bare LF", b"Content-Length: {length}\nX-Tide: 1\n" + CHUNKED),
    ("a coding that Connection names", b"Content-Length: {length}\r\nConnection: Transfer-Encoding\r\n" + CHUNKED),
    ("a length that Connection names", CHUNKED + b"\r\nConnection: Content-Length\r\nContent-Length: {length}"),
    ("an expectation", b"Expect: 100-continue\r\nContent-Length: {length}\r\n" + CHUNKED),
]  # fmt: skip

# What stands before the hidden request: the body as chunks and as bytes, with ends that look like one.
STARTS = [
    b"0\r\n\r\n",
    b"1\r\n1\r\n0\r\n\r\n",
    b"1;a\n\r\n1\r\n0\r\n\r\n",
    b"0\n\n",
    b"1\r\n1\r\n0\r\n\r\nX: ",
    b"1" * 5,
]


@pytest.fixture(scope="module")
def behind(start_gateway) -> Gateway:
    """A gateway that stands behind a proxy."""
    return start_gateway("memory", "[limits]\npublishes_per_second = 1000000\n")


@pytest.mark.parametrize("name", CONFIGS)
def test_no_request_comes_past_a_proxy(behind, name, tmp_path_factory):
    # A socket's path has to be short.
    with Proxy(name, behind, tmp_path_factory.mktemp("p")) as proxy:
        for number, (what, fields) in enumerate(FIELDS):
            for method in (b"POST /topics/open.a", b"GET /poll?topic=open.a&wait=0"):
                for start in STARTS:
                    hidden = (
                        b"POST /topics/hidden.%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
                        % number
                    )
                    body = start + hidden
                    framed = fields.replace(b"{length}", b"%d" % len(body))
                    proxy.exchange(
                        method + b" HTTP/1.1\r\nHost: a\r\n" + framed + b"\r\n\r\n" + body
                    )
            assert retained(behind, f"hidden.{number}") == 0, what
            # Whoever shares the connection behind the proxy gets an answer, and it is its own.
            assert own_answer(proxy, number), what
        assert retained(behind, "open.a") > 0


def own_answer(proxy: Proxy, number: int) -> bool:
    answer = proxy.exchange(
        b"GET /topics/own.%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number
    )
    return answer.startswith(b"HTTP/1.1 200 ") and b'"topic":"own.%d"' % number in answer


def retained(gateway: Gateway, topic: str) -> int:
    with gateway.client() as client:
        return client.get(f"/topics/{topic}").json()["retained"]
