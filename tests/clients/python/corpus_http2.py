"""Hostile HTTP/2: the frames that are sent after preface and SETTINGS, and what answers them.

Shape: `rows(authority)` gives `Row`s; `answer` is what `RawHttp2.outcome` says of stream 1: a status, `RST_STREAM …`,
`GOAWAY …` or `closed`; two of them with `or` where it depends on how the frames come. Where RFC 9113 leaves a choice
between the stream and the connection, the answer is the one that is given today: either is safe.
Source: RFC 9113 sections 4 to 8, RFC 7541, RFC 8441 section 4; hazards part 1 rows 5, 12, 15 and 18.
"""

from dataclasses import dataclass

from raw_http2 import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, fields, frame, header, number, request, setting,
)  # fmt: skip

PROTOCOL_ERROR = "GOAWAY PROTOCOL_ERROR"
FRAME_SIZE_ERROR = "GOAWAY FRAME_SIZE_ERROR"
# RFC 9113 section 4.3 names COMPRESSION_ERROR; the library says the more general one, and ends the connection alike.
COMPRESSION_ERROR = PROTOCOL_ERROR
FLOW_CONTROL_ERROR = "GOAWAY FLOW_CONTROL_ERROR"
STREAM_FLOW_CONTROL_ERROR = "RST_STREAM FLOW_CONTROL_ERROR"
CALM = "GOAWAY ENHANCE_YOUR_CALM"
STREAM_ERROR = "RST_STREAM PROTOCOL_ERROR"

WHOLE = END_HEADERS | END_STREAM


@dataclass(frozen=True)
class Row:
    """One connection: these frames, this answer."""

    name: str
    sent: bytes
    answer: str


def headers(block: bytes, flags: int = WHOLE, stream: int = 1) -> bytes:
    return frame(HEADERS, flags, stream, block)


def rows(authority: str) -> list[Row]:
    """Every row, for a gateway at this address."""
    good = headers(request(authority))
    open_post = headers(request(authority, "/topics/a.b", "POST"), END_HEADERS)
    host = authority.encode()
    method, scheme = (b":method", b"GET"), (b":scheme", b"https")
    path, name = (b":path", b"/poll?topic=a.b&wait=0"), (b":authority", host)

    def asks(*pairs: tuple[bytes, bytes]) -> bytes:
        return headers(fields(*pairs))

    def with_field(key: bytes, value: bytes) -> bytes:
        return headers(request(authority, "/poll?topic=a.b&wait=0", "GET", (key, value)))

    frames = [
        ("DATA on stream 0", frame(DATA, 0, 0, b"1"), PROTOCOL_ERROR),
        ("DATA on an idle stream", frame(DATA, 0, 1, b"1"), PROTOCOL_ERROR),
        ("DATA whose padding is longer than it", open_post + frame(DATA, PADDED, 1, b"\x05abc"), PROTOCOL_ERROR),
        ("DATA with padding and without its length", open_post + frame(DATA, PADDED, 1), PROTOCOL_ERROR),
        ("DATA beyond the frame size", open_post + frame(DATA, 0, 1, bytes(16385)), FRAME_SIZE_ERROR),
        ("HEADERS on stream 0", headers(request(authority), stream=0), PROTOCOL_ERROR),
        ("HEADERS on an even stream", headers(request(authority), stream=2), PROTOCOL_ERROR),
        ("HEADERS on an older stream", headers(request(authority), stream=5) + headers(request(authority), stream=3), PROTOCOL_ERROR),
        ("HEADERS whose padding is longer than it", frame(HEADERS, WHOLE | PADDED, 1, b"\xff" + request(authority)), PROTOCOL_ERROR),
        ("HEADERS too short for its priority", frame(HEADERS, WHOLE | WITH_PRIORITY, 1, b"\x00"), PROTOCOL_ERROR),
        ("HEADERS that depend on themselves", frame(HEADERS, WHOLE | WITH_PRIORITY, 1, number(1) + b"\x10" + request(authority)), STREAM_ERROR),
        ("HEADERS and then a frame of another stream", headers(request(authority), END_STREAM) + frame(PING, payload=bytes(8)), PROTOCOL_ERROR),
        ("HEADERS and then a CONTINUATION of another stream", headers(request(authority), END_STREAM) + frame(CONTINUATION, END_HEADERS, 3), PROTOCOL_ERROR),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
        ("CONTINUATION of whole HEADERS", open_post + frame(CONTINUATION, END_HEADERS, 1), PROTOCOL_ERROR),
        ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR),
        ("PRIORITY of four bytes", frame(PRIORITY, 0, 1, bytes(4)), PROTOCOL_ERROR),
        ("RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, number(8)), PROTOCOL_ERROR),
        ("RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, number(8)), PROTOCOL_ERROR),
        ("RST_STREAM of three bytes", good + frame(RST_STREAM, 0, 1, bytes(3)), PROTOCOL_ERROR),
        ("SETTINGS on stream 1", frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
        ("SETTINGS of five bytes", frame(SETTINGS, payload=bytes(5)), PROTOCOL_ERROR),
        ("SETTINGS that acknowledge with a payload", frame(SETTINGS, ACK, 0, bytes(6)), PROTOCOL_ERROR),
        ("SETTINGS that enable push by 2", frame(SETTINGS, payload=setting(2, 2)), PROTOCOL_ERROR),
        ("SETTINGS with a window beyond 31 bits", frame(SETTINGS, payload=setting(4, 1 << 31)), PROTOCOL_ERROR),
        ("SETTINGS with a frame size of 1", frame(SETTINGS, payload=setting(5, 1)), PROTOCOL_ERROR),
        ("SETTINGS with a frame size beyond 24 bits", frame(SETTINGS, payload=setting(5, 1 << 24)), PROTOCOL_ERROR),
        ("an acknowledgement that nobody waits for", frame(SETTINGS, ACK) * 2, PROTOCOL_ERROR),
        ("PUSH_PROMISE by a client", frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + request(authority)), PROTOCOL_ERROR),
        ("PING on stream 1", frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
        ("PING of seven bytes", frame(PING, payload=bytes(7)), PROTOCOL_ERROR),
        ("GOAWAY on stream 1", frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
        ("GOAWAY of seven bytes", frame(GOAWAY, payload=bytes(7)), PROTOCOL_ERROR),
        ("WINDOW_UPDATE of zero for the connection", frame(WINDOW_UPDATE, payload=number(0)), PROTOCOL_ERROR),
        ("WINDOW_UPDATE of zero for a stream", open_post + frame(WINDOW_UPDATE, 0, 1, number(0)), PROTOCOL_ERROR),
        ("WINDOW_UPDATE beyond 31 bits for the connection", frame(WINDOW_UPDATE, payload=number((1 << 31) - 1)), FLOW_CONTROL_ERROR),
        ("WINDOW_UPDATE beyond 31 bits for a stream", open_post + frame(WINDOW_UPDATE, 0, 1, number((1 << 31) - 1)), STREAM_FLOW_CONTROL_ERROR),
        ("WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, number(1)), PROTOCOL_ERROR),
        ("WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, payload=bytes(3)), PROTOCOL_ERROR),
        ("a frame that announces 16 MiB", header(0xFFFFFF, DATA, 0, 1), FRAME_SIZE_ERROR),
        ("a frame of an unknown type", frame(0x42, 0xFF, 1, b"tide") + good, "200"),
        ("HTTP/1.1 behind the preface", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", FRAME_SIZE_ERROR),
    ]  # fmt: skip

    packed = [
        ("an index beyond the table", headers(b"\xff\xff\x07"), COMPRESSION_ERROR),
        ("the index 0", headers(b"\x80"), COMPRESSION_ERROR),
        ("a number without end", headers(b"\xff" + b"\xff" * 20), COMPRESSION_ERROR),
        ("a string that is cut off", headers(b"\x00\x7fabc"), COMPRESSION_ERROR),
        ("a Huffman string that is none", headers(b"\x00\x84\xff\xff\xff\xff\x01a"), COMPRESSION_ERROR),
        ("a table beyond what was agreed", headers(b"\x3f\xe1\xff\x03" + request(authority)), COMPRESSION_ERROR),
        ("a change of the table behind a field", headers(request(authority) + b"\x20"), COMPRESSION_ERROR),
        ("one field of 4,000 bytes, four thousand times", headers(request(authority) + b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 4000), CALM),
        ("a string that announces 16 MiB", headers(b"\x00\x7f\x81\xff\xff\x07abc"), COMPRESSION_ERROR),
    ]  # fmt: skip

    requests = [
        ("no method", asks(scheme, path, name), STREAM_ERROR),
        ("no path", asks(method, scheme, name), STREAM_ERROR),
        ("no scheme", asks(method, path, name), STREAM_ERROR),
        ("no authority and no Host", asks(method, scheme, path), "400"),
        ("an authority and another Host", asks(method, scheme, path, name, (b"host", b"evil.example")), "400"),
        ("two Hosts", asks(method, scheme, path, (b"host", host), (b"host", host)), "400"),
        ("an authority with a user", asks(method, scheme, path, (b":authority", b"me@" + host)), "400"),
        ("an empty authority", asks(method, scheme, path, (b":authority", b"")), STREAM_ERROR),
        ("two methods", asks(method, method, scheme, path, name), STREAM_ERROR),
        ("two paths", asks(method, scheme, path, path, name), STREAM_ERROR),
        ("an empty path", asks(method, scheme, (b":path", b""), name), STREAM_ERROR),
        ("a path without its slash", asks(method, scheme, (b":path", b"poll"), name), STREAM_ERROR),
        ("a pseudo-field behind a field", asks(method, scheme, (b"x-tide", b"1"), path, name), STREAM_ERROR),
        ("an unknown pseudo-field", asks(method, scheme, path, name, (b":tide", b"1")), PROTOCOL_ERROR),
        ("a pseudo-field of an answer", asks(method, scheme, path, name, (b":status", b"200")), STREAM_ERROR),
        ("a name in capitals", with_field(b"X-Tide", b"1"), PROTOCOL_ERROR),
        ("an empty name", with_field(b"", b"1"), PROTOCOL_ERROR),
        ("a name with a space", with_field(b"x tide", b"1"), PROTOCOL_ERROR),
        ("a name with a line end", with_field(b"x-tide\r\nx", b"1"), PROTOCOL_ERROR),
        ("a value with a line end", with_field(b"x-tide", b"1\r\nx-forged: 1"), PROTOCOL_ERROR),
        ("a value with a NUL", with_field(b"x-tide", b"\x00"), PROTOCOL_ERROR),
        ("Connection", with_field(b"connection", b"close"), STREAM_ERROR),
        ("Keep-Alive", with_field(b"keep-alive", b"timeout=5"), STREAM_ERROR),
        ("Upgrade", with_field(b"upgrade", b"websocket"), STREAM_ERROR),
        ("Transfer-Encoding", with_field(b"transfer-encoding", b"chunked"), STREAM_ERROR),
        ("Proxy-Connection", with_field(b"proxy-connection", b"close"), STREAM_ERROR),
        ("TE that is not trailers", with_field(b"te", b"gzip"), STREAM_ERROR),
        ("a length and a shorter body", headers(request(authority, "/topics/a.b", "POST", (b"content-length", b"5")), END_HEADERS) + frame(DATA, END_STREAM, 1, b"1"), STREAM_ERROR),
        ("a length and a longer body", headers(request(authority, "/topics/a.b", "POST", (b"content-length", b"1")), END_HEADERS) + frame(DATA, END_STREAM, 1, b"12345"), STREAM_ERROR),
        ("a length that is no number", headers(request(authority, "/topics/a.b", "POST", (b"content-length", b"one")), END_HEADERS) + frame(DATA, END_STREAM, 1, b"1"), STREAM_ERROR),
        ("two lengths that differ", headers(request(authority, "/topics/a.b", "POST", (b"content-length", b"1"), (b"content-length", b"2")), END_HEADERS) + frame(DATA, END_STREAM, 1, b"1"), STREAM_ERROR),
        # Malformed by RFC 9113 section 8.1. The library drops the field, and nothing here reads a trailer.
        ("a trailer with a pseudo-field", open_post + frame(DATA, 0, 1, b"1") + headers(fields(method)), "201"),
        ("a second request on the same stream", good + good, PROTOCOL_ERROR),
        ("DATA after the end of the request", headers(request(authority, "/sse?topic=a.b")) + frame(DATA, 0, 1, b"1"), PROTOCOL_ERROR),
        ("a field of 17 KiB", headers(request(authority, "/poll", "GET", (b"x-tide", b"x" * 16000)), END_STREAM) + frame(CONTINUATION, END_HEADERS, 1, fields((b"x-tide", b"x" * 1400))), "431"),
        ("1,000 fields", headers(request(authority) + fields(*[(b"x-%d" % n, b"1") for n in range(1000)])), "431"),
        ("CONNECT to somewhere else", asks((b":method", b"CONNECT"), (b":authority", b"evil.example:443")), "404"),
        ("CONNECT for another protocol", asks((b":method", b"CONNECT"), (b":protocol", b"connect-udp"), scheme, (b":path", b"/ws"), name, (b"sec-websocket-version", b"13")), "400"),
        ("a protocol without CONNECT", asks(method, (b":protocol", b"websocket"), scheme, path, name), STREAM_ERROR),
        ("extended CONNECT without a path", asks((b":method", b"CONNECT"), (b":protocol", b"websocket"), scheme, name), STREAM_ERROR),
        ("extended CONNECT from another site", asks((b":method", b"CONNECT"), (b":protocol", b"websocket"), scheme, (b":path", b"/ws"), name, (b"sec-websocket-version", b"13"), (b"origin", b"https://evil.example")), "403"),
        ("an Origin that is null", with_field(b"origin", b"null"), "403"),
        ("an Origin twice", headers(request(authority, "/poll?topic=a.b", "GET", (b"origin", b"https://" + host), (b"origin", b"https://" + host))), "403"),
        ("a path that climbs", asks(method, scheme, (b":path", b"/../../etc/passwd"), name), "404"),
        ("a path with a line end, encoded", asks(method, scheme, (b":path", b"/poll?topic=a%0d%0ab"), name), "400"),
        ("a path in another form", asks(method, scheme, (b":path", b"https://evil.example/poll?topic=a.b"), name), STREAM_ERROR),
        ("the method PRI", asks((b":method", b"PRI"), scheme, path, name), "405"),
        ("the scheme http", asks(method, (b":scheme", b"http"), path, name), "200"),
    ]  # fmt: skip

    return [Row(*row) for row in [*frames, *packed, *requests]]
