"""A WebSocket inside one HTTP/2 stream, made by hand: h2 frames the stream, wsproto the messages.

Shape: opens TLS with ALPN `h2`, waits for the server's SETTINGS, sends an extended CONNECT, then
`send` and `recv` text messages. `status`, `headers` and `settings` stay readable.
Bound: the peer's flow-control window; all that is received is given back at once.
Failure: a closed stream raises `Closed` with the WebSocket close code, a refusal has `body`.
Source: RFC 8441 sections 3 to 5, RFC 9113 section 6.9.
"""

import socket
from collections import deque

import h2.config
import h2.connection
import h2.events
import h2.settings
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage

from gateway import DEADLINE_S, Gateway


class Closed(Exception):
    """The stream is over; `code` is the close code, None without a Close frame."""

    def __init__(self, code: int | None, reason: str | None = None):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Http2WebSocket:
    """One WebSocket that has an HTTP/2 connection to itself."""

    def __init__(
        self,
        gateway: Gateway,
        path: str = "/ws",
        headers: tuple[tuple[str, str], ...] = (("sec-websocket-protocol", "tidewire.v1"),),
        version: str = "13",
    ):
        plain = socket.create_connection((gateway.host, gateway.port), timeout=DEADLINE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = gateway.tls("h2").wrap_socket(plain, server_hostname=gateway.host)
        assert self._socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._frames = Connection(ConnectionType.CLIENT)
        self._messages: deque[str] = deque()
        self._partial = ""
        self._closed: Closed | None = None
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.settings: dict[int, int] | None = None
        self.body = b""

        self._h2.initiate_connection()
        self._flush()
        # RFC 8441 section 3: a client asks only after the server has said that it may.
        while self.settings is None:
            self._receive()
        self._stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(
            self._stream,
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                (":path", path),
                (":authority", gateway.listen),
                ("sec-websocket-version", version),
                *headers,
            ],
        )
        self._flush()
        while self.status is None:
            self._receive()
        # A refusal has a body that ends the stream.
        while self.status != 200 and self._closed is None:
            self._receive()

    def send(self, text: str) -> None:
        """Sends one text message."""
        self._send(self._frames.send(TextMessage(text)))

    def recv(self) -> str:
        """The next text message."""
        while not self._messages:
            if self._closed:
                raise self._closed
            self._receive()
        return self._messages.popleft()

    def close(self) -> None:
        """Closes in order: Close frame, answer, end of the stream."""
        self._send(self._frames.send(CloseConnection(1000)))
        while self._closed is None:
            self._receive()
        self.cut()

    def cut(self) -> None:
        """Drops the TCP connection without a word."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        """Sends stream data as the peer's window admits it."""
        while data:
            room = self._h2.local_flow_control_window(self._stream)
            size = min(room, len(data), self._h2.max_outbound_frame_size)
            if size == 0:
                self._receive()
                continue
            self._h2.send_data(self._stream, data[:size])
            self._flush()
            data = data[size:]

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def _receive(self) -> None:
        """One read from the socket and all that follows from it."""
        data = self._socket.recv(65536)
        if not data:
            self._closed = self._closed or Closed(None)
            raise self._closed
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.settings = dict(self._h2.remote_settings.items())
            elif isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
                self.status = int(self.headers[":status"])
            elif isinstance(event, h2.events.DataReceived):
                self._give_back(event.flow_controlled_length)
                if self.status == 200 and event.data:
                    self._take(event.data)
                elif self.status != 200:
                    self.body += event.data
            elif isinstance(event, h2.events.StreamEnded):
                self._closed = self._closed or Closed(None, "END_STREAM")
            elif isinstance(event, h2.events.StreamReset):
                self._closed = self._closed or Closed(None, f"RST_STREAM {event.error_code}")
            elif isinstance(event, h2.events.ConnectionTerminated):
                self._closed = self._closed or Closed(None, f"GOAWAY {event.error_code}")
        self._flush()

    def _give_back(self, size: int) -> None:
        """Room in the windows for as much again."""
        self._h2.acknowledge_received_data(size, self._stream)

    def _take(self, data: bytes) -> None:
        """WebSocket bytes from the stream."""
        self._frames.receive_data(data)
        for event in self._frames.events():
            if isinstance(event, TextMessage):
                self._partial += event.data
                if event.message_finished:
                    self._messages.append(self._partial)
                    self._partial = ""
            elif isinstance(event, Ping):
                self._h2.send_data(self._stream, self._frames.send(event.response()))
            elif isinstance(event, CloseConnection):
                self._closed = Closed(event.code, event.reason)
