"""HTTP/2 by hand: every frame is the test's, and may be one that no library sends.

Shape: `frame` and `fields` make bytes; a `RawHttp2` is a connection after preface and SETTINGS; `send` writes bytes as
they are, `outcome` reads to the first answer that a table can name: `200`, `RST_STREAM REFUSED_STREAM`, `GOAWAY
PROTOCOL_ERROR` or `closed`. `headers` are those of the last HEADERS frame, `ended` tells whether the server has closed.
Pings and SETTINGS of the server are read and not answered.
Bound: every wait ends after `DEADLINE_S`.
Source: RFC 9113 sections 4 and 6; RFC 7541 sections 5 and 6.
"""

import select
import socket
import ssl
from collections.abc import Iterator

import hpack

from gateway import DEADLINE_S, Gateway

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE = range(6)
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(6, 10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

ERRORS = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
]  # fmt: skip


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame with the length that it has."""
    return header(len(payload), kind, flags, stream) + payload


def header(length: int, kind: int, flags: int = 0, stream: int = 0) -> bytes:
    """The nine bytes before a payload, which may announce another length than follows."""
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")


def number(value: int) -> bytes:
    """Four bytes: a setting, an increment, a stream, an error."""
    return value.to_bytes(4, "big")


def setting(name: int, value: int) -> bytes:
    """One parameter of a SETTINGS frame."""
    return name.to_bytes(2, "big") + number(value)


def fields(*pairs: tuple[bytes, bytes]) -> bytes:
    """A header block of literals, which leaves no trace in the table: RFC 7541 section 6.2.2."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in pairs)


def _text(text: bytes) -> bytes:
    """A string as it is, with its length in front: RFC 7541 sections 5.1 and 5.2."""
    length, rest = len(text), b""
    if length >= 127:
        length, left = 127, length - 127
        while left >= 128:
            rest += bytes([left % 128 + 128])
            left //= 128
        rest += bytes([left])
    return bytes([length]) + rest + text


def request(
    authority: str, path: str = "/poll?topic=a.b", method: str = "GET", *more: tuple[bytes, bytes]
) -> bytes:
    """The header block of a good request, and more fields behind it."""
    pseudo = [(b":method", method.encode()), (b":scheme", b"https"), (b":path", path.encode())]
    return fields(*pseudo, (b":authority", authority.encode()), *more)


class RawHttp2:
    """A connection that has sent its preface and an empty SETTINGS frame."""

    def __init__(self, gateway: Gateway, settings: bytes = b""):
        plain = socket.create_connection((gateway.host, gateway.port), timeout=DEADLINE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = gateway.tls("h2").wrap_socket(plain, server_hostname=gateway.host)
        self._decoder = hpack.Decoder()
        self._received = b""
        self.headers: dict[str, str] = {}
        self.ended = False
        self._socket.sendall(PREFACE + frame(SETTINGS, payload=settings))

    def __enter__(self) -> "RawHttp2":
        return self

    def __exit__(self, *_) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are; reads meanwhile, so that neither side waits for the other. Stops when the server
        has closed."""
        self._socket.setblocking(False)
        left = memoryview(data)
        while left and not self.ended:
            try:
                left = left[self._socket.send(left[:CHUNK]) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._wait(writing=True)
            except OSError:
                break
            self._take()

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, stream and payload of each frame that comes, until the server closes."""
        self._socket.setblocking(False)
        while True:
            while len(self._received) >= 9:
                end = 9 + int.from_bytes(self._received[:3], "big")
                if len(self._received) < end:
                    break
                head, payload = self._received[:9], self._received[9:end]
                self._received = self._received[end:]
                if head[3] == HEADERS:
                    # Each one counts: the table of the decoder follows.
                    self.headers = dict(self._decoder.decode(payload))
                yield head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload
            if self.ended:
                return
            if not self._take():
                self._wait(writing=False)

    def outcome(self, stream: int = 1) -> str:
        """What the server says to this stream, or to the whole connection."""
        for kind, _, on, payload in self.frames():
            if kind == GOAWAY:
                return f"GOAWAY {error(payload[4:8])}"
            if kind == RST_STREAM and on == stream:
                return f"RST_STREAM {error(payload)}"
            if kind == HEADERS and on == stream:
                return self.headers[":status"]
        return "closed"

    def ends(self) -> str:
        """Reads to the end of the connection: what the last GOAWAY said, or `closed` without one."""
        said = "closed"
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                said = f"GOAWAY {error(payload[4:8])}"
        return said

    def _take(self) -> bool:
        """Takes what is there; false without anything."""
        try:
            data = self._socket.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            data = b""
        self.ended = self.ended or data == b""
        self._received += data
        return True

    def _wait(self, writing: bool) -> None:
        if not any(select.select([self._socket], [self._socket] * writing, [], DEADLINE_S)):
            raise TimeoutError("nothing happened")


def error(payload: bytes) -> str:
    """The name of an error code."""
    code = int.from_bytes(payload, "big")
    return ERRORS[code] if code < len(ERRORS) else str(code)


# One write, and one read.
CHUNK = 65536
