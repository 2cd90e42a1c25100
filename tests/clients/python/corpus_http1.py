"""Hostile HTTP/1.1: what is sent, and the status that answers it.

Shape: `ROWS` of `Row`; `{listen}` in the bytes stands for the gateway's address. `ends` tells whether the connection must
be over after the answer: always where it is not certain which byte the next request begins with.
Source: RFC 9112 sections 2 to 7, RFC 9110 sections 5 and 15; protocol section 6; hazards part 1 rows 1, 5, 12 and 15;
field, section 4, lines 1, 2 and 15.
"""

from dataclasses import dataclass

HOST = b"Host: {listen}\r\n"
GET = b"GET /poll?topic=a.b&wait=0 HTTP/1.1\r\n"
POST = b"POST /topics/a.b HTTP/1.1\r\n"
CHUNKED = POST + HOST + b"Transfer-Encoding: chunked\r\n"
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@dataclass(frozen=True)
class Row:
    """One connection: these bytes, this answer."""

    name: str
    sent: bytes
    status: int
    ends: bool


def line(request_line: bytes) -> bytes:
    """A whole request with this first line."""
    return request_line + b"\r\n" + HOST + b"\r\n"


def get(header: bytes) -> bytes:
    """A GET with one more header line."""
    return GET + HOST + header + b"\r\n\r\n"


def post(header: bytes, body: bytes) -> bytes:
    """A publish with one more header line, and a body as it is."""
    return POST + HOST + header + b"\r\n\r\n" + body


def bad(name: str, sent: bytes, status: int = 400) -> Row:
    """Refused, and the connection ends."""
    return Row(name, sent, status, ends=True)


def good(name: str, sent: bytes, status: int) -> Row:
    """Answered, and the connection goes on."""
    return Row(name, sent, status, ends=False)


REQUEST_LINES = [
    bad("no HTTP at all", b"\x16\x03\x01 hello\r\n\r\n"),
    bad("HTTP/0.9", b"GET /\r\n\r\n"),
    bad("HTTP/3.0 in the first line", line(b"GET / HTTP/3.0")),
    bad("HTTP/1.2", line(b"GET / HTTP/1.2")),
    bad("http/1.1 in small letters", line(b"GET / http/1.1")),
    bad("no path", line(b"GET HTTP/1.1")),
    bad("a path without its slash", line(b"GET poll?topic=a.b HTTP/1.1")),
    bad("two spaces before the version", line(b"GET /  HTTP/1.1")),
    bad("a space inside the path", line(b"GET /poll?topic=a b HTTP/1.1")),
    bad("a tab as separator", line(b"GET\t/\tHTTP/1.1")),
    bad("a NUL in the path", line(b"GET /poll?topic=a\x00b HTTP/1.1")),
    bad("a bare CR in the path", line(b"GET /poll?topic=a\rb HTTP/1.1")),
    bad("a NUL in the method", line(b"G\x00T / HTTP/1.1")),
    bad("a colon in the method", line(b"GE:T / HTTP/1.1")),
    bad("HTTP/2's preface, broken", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"),
    good("an unknown method", line(b"TIDE /poll?topic=a.b HTTP/1.1"), 405),
    good("TRACE", line(b"TRACE /poll?topic=a.b HTTP/1.1"), 405),
    good("a method of 1,000 letters", line(b"A" * 1000 + b" /poll?topic=a.b HTTP/1.1"), 405),
    good("a path that climbs", line(b"GET /../../etc/passwd HTTP/1.1"), 404),
    good("a path that climbs, encoded", line(b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1"), 404),
    good("a path with a backslash", line(b"GET /..\\..\\etc\\passwd HTTP/1.1"), 404),
    good("a path encoded twice", line(b"GET /%252e%252e/etc/passwd HTTP/1.1"), 404),
    good("two slashes before a route", line(b"GET //poll?topic=a.b HTTP/1.1"), 404),
    good("a path with a NUL, encoded", line(b"GET /%00 HTTP/1.1"), 404),
    bad("a target of another host", line(b"GET http://evil.example/poll?topic=a.b HTTP/1.1")),
    bad("a path of 64 KiB", line(b"GET /poll?topic=" + b"a" * 65536 + b" HTTP/1.1"), 431),
]  # fmt: skip

HOSTS = [
    bad("no Host", GET + b"\r\n"),
    bad("no Host with HTTP/1.0", b"GET /poll?topic=a.b HTTP/1.0\r\n\r\n"),
    bad("two Hosts", GET + HOST + b"Host: evil.example\r\n\r\n"),
    bad("the same Host twice", GET + HOST + HOST + b"\r\n"),
    bad("an empty Host", GET + b"Host:\r\n\r\n"),
    bad("a Host with a path", GET + b"Host: {listen}/poll\r\n\r\n"),
    bad("a Host with a user", GET + b"Host: me@{listen}\r\n\r\n"),
    bad("a Host with a space", GET + b"Host: a b\r\n\r\n"),
    bad("a Host with a comma", GET + b"Host: {listen}, evil.example\r\n\r\n"),
    bad("a Host with a port beyond 16 bits", GET + b"Host: 127.0.0.1:70000\r\n\r\n"),
    bad("a Host beyond ASCII", GET + b"Host: \xc3\xa9\r\n\r\n"),
    bad("no Host on a WebSocket upgrade", b"GET /ws HTTP/1.1\r\n" + UPGRADE + b"\r\n"),
    bad("two Hosts on a WebSocket upgrade", b"GET /ws HTTP/1.1\r\n" + HOST + HOST + UPGRADE + b"\r\n"),
    bad("no Host on a publish", POST + b"Content-Length: 1\r\n\r\n1"),
]  # fmt: skip

HEADERS = [
    bad("a space before the colon", get(b"X-Tide : 1")),
    bad("a tab before the colon", get(b"X-Tide\t: 1")),
    bad("a space before the name", get(b" X-Tide: 1")),
    bad("a folded header", get(b"X-Tide: 1\r\n 2")),
    bad("a folded header by a tab", get(b"X-Tide: 1\r\n\t2")),
    bad("no name", get(b": 1")),
    bad("no colon", get(b"X-Tide")),
    bad("a name beyond ASCII", get(b"X-T\xc3\xafde: 1")),
    bad("a name in brackets", get(b"(X-Tide): 1")),
    bad("a NUL in a name", get(b"X-\x00: 1")),
    bad("a NUL in a value", get(b"X-Tide: 1\x002")),
    bad("a bare CR in a value", get(b"X-Tide: 1\r2")),
    bad("a bell in a value", get(b"X-Tide: \x07")),
    bad("a DEL in a value", get(b"X-Tide: \x7f")),
    bad("101 fields", get(b"\r\n".join(b"X-%d: 1" % n for n in range(101))), 431),
    bad("5,000 fields", get(b"\r\n".join(b"X-%d: 1" % n for n in range(5000))), 431),
    bad("a field of 17 KiB", get(b"X-Tide: " + b"x" * (17 << 10)), 431),
    bad("a field of a mebibyte", get(b"X-Tide: " + b"x" * (1 << 20)), 431),
    bad("a name of 64 KiB", get(b"X" * 65536 + b": 1"), 431),
    good("bytes beyond ASCII in a value that nobody reads", get(b"X-Tide: \xff\xfe"), 200),
    good("bytes beyond ASCII as credentials", get(b"Authorization: Bearer \xff\xfe"), 401),
    good("two credentials", get(b"Authorization: Bearer a\r\nAuthorization: Bearer b"), 401),
    good("a forwarded Host that is another", get(b"X-Forwarded-Host: evil.example"), 200),
    bad("an upgrade to HTTP/2 in plain text", get(b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings"), 200),
]  # fmt: skip

BODIES = [
    bad("two lengths that differ", POST + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n1"),
    bad("two lengths in one field", post(b"Content-Length: 1, 1", b"1")),
    bad("a length that is no number", post(b"Content-Length: one", b"1")),
    bad("a length with a plus", post(b"Content-Length: +1", b"1")),
    bad("a negative length", post(b"Content-Length: -1", b"1")),
    bad("a length in hexadecimal", post(b"Content-Length: 0x1", b"1")),
    bad("an empty length", post(b"Content-Length:", b"1")),
    bad("a length beyond 64 bits", post(b"Content-Length: 18446744073709551617", b"1")),
    bad("a length with a space inside", post(b"Content-Length: 1 0", b"1")),
    bad("a length too large to be taken", post(b"Content-Length: 18446744073709551000", b""), 413),
    bad("Transfer-Encoding with HTTP/1.0", b"POST /topics/a.b HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"),
    bad("Transfer-Encoding: identity", post(b"Transfer-Encoding: identity", b"1")),
    bad("Transfer-Encoding: xchunked", post(b"Transfer-Encoding: xchunked", b"1\r\n1\r\n0\r\n\r\n")),
    bad("Transfer-Encoding: chunked, identity", post(b"Transfer-Encoding: chunked, identity", b"1\r\n1\r\n0\r\n\r\n")),
    bad("Transfer-Encoding: gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", b"1\r\n1\r\n0\r\n\r\n")),
    bad("Transfer-Encoding: chunked, chunked", post(b"Transfer-Encoding: chunked, chunked", b"1\r\n1\r\n0\r\n\r\n")),
    bad("Transfer-Encoding twice", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"1\r\n1\r\n0\r\n\r\n")),
    bad("Transfer-Encoding twice, one of them unknown", post(b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", b"1\r\n1\r\n0\r\n\r\n")),
    bad("Transfer-Encoding: chunked with a vertical tab", post(b"Transfer-Encoding: \x0bchunked", b"1\r\n1\r\n0\r\n\r\n")),
    bad("a chunk size that is no number", CHUNKED + b"\r\nzz\r\n1\r\n0\r\n\r\n"),
    bad("a chunk size beyond 64 bits", CHUNKED + b"\r\n1ffffffffffffffff0\r\n1\r\n0\r\n\r\n"),
    bad("a negative chunk size", CHUNKED + b"\r\n-1\r\n1\r\n0\r\n\r\n"),
    bad("a chunk size with 0x", CHUNKED + b"\r\n0x1\r\n1\r\n0\r\n\r\n"),
    bad("no chunk size", CHUNKED + b"\r\n\r\n1\r\n0\r\n\r\n"),
    bad("a chunk that is longer than it says", CHUNKED + b"\r\n1\r\n12\r\n0\r\n\r\n"),
    bad("a chunk without its line end", CHUNKED + b"\r\n1\r\n10\r\n\r\n"),
    bad("a chunk extension of 64 KiB", CHUNKED + b"\r\n1;" + b"x" * 65536 + b"\r\n1\r\n0\r\n\r\n"),
    bad("a bare LF in a chunk extension", CHUNKED + b"\r\n1;a\n\r\n1\r\n0\r\n\r\n"),
    bad("a trailer of 64 KiB", CHUNKED + b"\r\n1\r\n1\r\n0\r\nX-Tide: " + b"x" * 65536 + b"\r\n\r\n"),
    bad("a thousand trailers", CHUNKED + b"\r\n1\r\n1\r\n0\r\n" + b"X-Tide: 1\r\n" * 1000 + b"\r\n"),
    bad("a body of 2 MiB in chunks", CHUNKED + b"\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 31, 413),
    good("a body that is packed", post(b"Content-Encoding: gzip\r\nContent-Length: 1", b"1"), 415),
    good("a body that is called identity", post(b"Content-Encoding: identity\r\nContent-Length: 1", b"1"), 415),
    good("the same length twice", POST + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n1", 201),
    good("a body on a GET", GET + HOST + b"Content-Length: 1\r\n\r\n1", 200),
]  # fmt: skip

FIELDS = [
    *(
        good(f"If-None-Match: {name}", get(b"If-None-Match: " + value), 200)
        for name, value in [
            ("a minus one", b"-1"), ("empty", b""), ("a quote", b'"'), ("weak", b'W/"x"'), ("foreign", b'"x"'),
            ("ten thousand letters", b'"' + b"x" * 10_000 + b'"'), ("bytes", b'"\xff\xfe"'), ("repeated", b'"x"\r\nIf-None-Match: "y"'),
        ]
    ),
    *(
        good(f"Last-Event-ID: {name}", b"GET /sse?topic=a.b HTTP/1.1\r\n" + HOST + b"Last-Event-ID: " + value + b"\r\n\r\n", 400)
        for name, value in [
            ("a minus one", b"-1"), ("a colon", b":"), ("ten thousand letters", b"k" * 10_000), ("bytes", b"\xff\xfe"),
            ("an escape", b"%1b%5b31m"), ("a tab inside", b"a\tb"),
        ]
    ),
    *(
        good(f"Idempotency-Key: {name}", post(b"Idempotency-Key: " + value + b"\r\nContent-Length: 1", b"1"), 400)
        for name, value in [("empty", b""), ("bytes", b"\xff"), ("201 bytes", b"k" * 201), ("twice", b"a\r\nIdempotency-Key: b")]
    ),
    *(
        good(f"type: {name}", b"POST /topics/a.b?type=" + value + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\n1", 400)
        for name, value in [("a CR", b"a%0Ddata:x"), ("a LF", b"a%0Adata:x"), ("a NUL", b"a%00"), ("101 bytes", b"t" * 101)]
    ),
    *(
        good(f"topic: {name}", b"POST /topics/" + value + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\n1", 400)
        for name, value in [
            ("a CR", b"a%0Db"), ("a LF", b"a%0Ab"), ("a NUL", b"a%00"), ("U+2028", b"a%E2%80%A8"), ("a dot encoded twice", b"a%252eb"),
            ("composed", b"%C3%A9"), ("decomposed", b"e%CC%81"), ("an empty level", b"a..b"), ("a broken escape", b"a%zz"), ("half an escape", b"a%2"),
        ]
    ),
    *(
        good(f"Origin: {name}", get(b"Origin: " + value), 403)
        for name, value in [
            ("null", b"null"), ("empty", b""), ("twice", b"https://{listen}\r\nOrigin: https://{listen}"),
            ("a suffix", b"https://{listen}.evil.example"), ("a user", b"https://{listen}@evil.example"),
            ("plain", b"http://{listen}"), ("bytes", b"https://\xff"), ("two in one", b"https://{listen} https://{listen}"),
        ]
    ),
]  # fmt: skip

ROWS = [*REQUEST_LINES, *HOSTS, *HEADERS, *BODIES, *FIELDS]
