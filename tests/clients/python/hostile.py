"""A WebSocket whose every byte is the test's, over either version of HTTP.

Shape: a `Hostile` is open and has had its hello when it exists; `send` writes bytes as they are and
reads meanwhile, `end` reads to the Close frame, `next_message` to the next message. `deflate` tells whether
`permessage-deflate` was offered and agreed. What the server sends is parsed by wsproto, strictly.
Bound: every wait ends after `DEADLINE_S`.
Failure: a connection that ends without a Close frame raises `Dropped`.
Source: RFC 6455 sections 5 and 7, RFC 8441, RFC 7692.
"""

import json
import select
import ssl
from collections import deque
from contextlib import suppress

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from gateway import DEADLINE_S, Gateway
from h2_websocket import Closed, Http2WebSocket
from raw_tls import open_tls

VERSIONS = ["HTTP/1.1", "HTTP/2"]


class Dropped(Exception):
    """The connection ended without a Close frame."""


class Http1Pipe:
    """Bytes of a WebSocket over HTTP/1.1."""

    def __init__(self, gateway: Gateway, target: str, headers: dict[str, str]):
        self._socket = open_tls(gateway)
        lines = [f"GET {target} HTTP/1.1", f"Host: {gateway.listen}"]
        lines += ["Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self._socket.recv(65536)
            assert data, "closed during the handshake"
            head += data
        head, _, self._early = head.partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        assert status.startswith("HTTP/1.1 101 "), status
        pairs = [field.partition(":") for field in fields]
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self._socket.setblocking(False)

    def write(self, data: bytes) -> int:
        """Writes what there is room for; `OSError` when the server takes no more."""
        try:
            return self._socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def read(self) -> bytes | None:
        """What is there; None without anything, `b""` at the end in order (TLS `close_notify`)."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            return self._socket.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def wait(self, reading: bool, writing: bool, seconds: float = DEADLINE_S) -> None:
        """Waits until one of these may go on; `TimeoutError` when neither may in time."""
        readers, writers = [self._socket] * reading, [self._socket] * writing
        if not any(select.select(readers, writers, [], seconds)):
            raise TimeoutError("nothing happened")

    def close(self) -> None:
        self._socket.close()


class Http2Pipe(Http2WebSocket):
    """Bytes of a WebSocket inside an HTTP/2 stream. While `is_stingy`, the server gets no more room to send."""

    is_stingy = False

    def __init__(self, gateway: Gateway, target: str, headers: dict[str, str]):
        self._bytes = b""
        names = [(name.lower(), value) for name, value in headers.items()]
        super().__init__(gateway, target, tuple(names))
        assert self.status == 200, self.status

    def write(self, data: bytes) -> int:
        """Writes what the windows admit; `OSError` when the server takes no more."""
        if self._closed is not None:
            raise ConnectionResetError(self._closed.reason)
        size = min(self._room(), len(data), self._h2.max_outbound_frame_size)
        if size > 0:
            self._h2.send_data(self._stream, data[:size])
            self._flush()
        return size

    def read(self) -> bytes | None:
        """As `Http1Pipe.read`; the end in order is END_STREAM."""
        if self._bytes:
            data, self._bytes = self._bytes, b""
            return data
        if self._closed is None:
            return None
        if self._closed.reason != "END_STREAM":
            raise ConnectionResetError(self._closed.reason)
        return b""

    def wait(self, reading: bool, writing: bool, seconds: float = DEADLINE_S) -> None:
        """Receives, which is also how room comes; nothing where there is room already."""
        if self._closed is not None or (writing and self._room()):
            return
        if not self._socket.pending() and not select.select([self._socket], [], [], seconds)[0]:
            raise TimeoutError("nothing happened")
        with suppress(Closed):
            self._receive()

    def close(self) -> None:
        self.cut()

    def _room(self) -> int:
        """What may be sent now; nothing on a stream that is over."""
        if self._closed is not None:
            return 0
        return self._h2.local_flow_control_window(self._stream)

    def _give_back(self, size: int) -> None:
        if not self.is_stingy:
            super()._give_back(size)

    def _take(self, data: bytes) -> None:
        self._bytes += data


class Hostile:
    """An open session on `/ws`, after its hello."""

    def __init__(self, gateway: Gateway, version: str, deflate: bool = False):
        self._offer = PerMessageDeflate()
        headers = {"Sec-WebSocket-Protocol": "tidewire.v1"}
        if deflate:
            offer = f"permessage-deflate; {self._offer.offer()}"
            headers["Sec-WebSocket-Extensions"] = offer
        pipe = Http1Pipe if version == "HTTP/1.1" else Http2Pipe
        self.pipe = pipe(gateway, "/ws", headers)
        agreed = self.pipe.headers.get("sec-websocket-extensions", "")
        self.deflate = agreed.startswith("permessage-deflate")
        if self.deflate:
            self._offer.finalize(agreed)
        extensions = [self._offer] if self.deflate else []
        self._frames = Connection(ConnectionType.CLIENT, extensions)
        self._events: deque = deque()
        self._partial = ""
        assert self.next_message()["op"] == "hello"

    def __enter__(self) -> "Hostile":
        return self

    def __exit__(self, *_) -> None:
        self.pipe.close()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are, to the end or until the server takes no more; reads meanwhile, so that
        neither side waits for the other."""
        left = memoryview(data)
        while left and not self._is_closed():
            try:
                left = left[self.pipe.write(bytes(left[:CHUNK])) :]
            except OSError:
                return
            if not self._receive() and left:
                self.pipe.wait(reading=True, writing=True)

    def next_message(self) -> dict:
        """The next message that is not a heartbeat."""
        while True:
            event = self._next()
            if isinstance(event, TextMessage):
                message = json.loads(event.data)
                if message["op"] != "hb":
                    return message
            else:
                assert isinstance(event, (Ping, Pong)), event

    def end(self) -> tuple[int, str | None]:
        """Reads to the Close frame: its code and its reason."""
        while True:
            event = self._next()
            if isinstance(event, CloseConnection):
                return event.code, event.reason
            assert isinstance(event, (TextMessage, Ping, Pong)), event

    def next_pong(self, payload: bytes) -> None:
        """Reads to the pong with this payload."""
        while True:
            event = self._next()
            assert isinstance(event, (TextMessage, Ping, Pong)), event
            if isinstance(event, Pong) and event.payload == payload:
                return

    def ends_in_order(self) -> None:
        """Reads to the end of the connection: TLS `close_notify`, or END_STREAM."""
        while (data := self.pipe.read()) != b"":
            if data is None:
                self.pipe.wait(reading=True, writing=False)

    def _next(self):
        while not self._events:
            if not self._receive():
                self.pipe.wait(reading=True, writing=False)
        return self._events.popleft()

    def _is_closed(self) -> bool:
        return any(isinstance(event, CloseConnection) for event in self._events)

    def _receive(self) -> bool:
        """Takes what is there; true when it was anything."""
        try:
            data = self.pipe.read()
        except OSError as error:
            raise Dropped(error) from error
        if data == b"":
            raise Dropped("ended in order, without a Close frame")
        if data is None:
            return False
        self._frames.receive_data(data)
        for event in self._frames.events():
            if isinstance(event, TextMessage):
                self._partial += event.data
                if not event.message_finished:
                    continue
                event, self._partial = TextMessage(self._partial), ""
            self._events.append(event)
        return True


# One write.
CHUNK = 65536
