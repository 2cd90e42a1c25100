"""Hand-made bytes over TLS, because client libraries refuse to send illegal ones.

Shape: `exchange` sends bytes and reads until the server closes or one whole answer is there;
`RawWebSocket` speaks frames through wsproto and answers a ping only when told to.
Bound: every wait ends after `DEADLINE_S`.
"""

import re
import socket
from dataclasses import dataclass

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from gateway import DEADLINE_S, Gateway


def open_tls(gateway: Gateway) -> socket.socket:
    """A TLS connection that has agreed on HTTP/1.1."""
    plain = socket.create_connection((gateway.host, gateway.port), timeout=DEADLINE_S)
    # What is sent in parts travels in parts, and at once.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = gateway.tls("http/1.1")
    # An end without TLS's own goodbye is an error, not an end.
    return context.wrap_socket(plain, server_hostname=gateway.host, suppress_ragged_eofs=False)


@dataclass
class Answer:
    """One HTTP/1.1 answer; `closed` tells whether the server ended the connection after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool


def exchange(gateway: Gateway, request: bytes) -> Answer:
    """Sends the bytes, reads one answer, then looks whether the connection is still good."""
    with open_tls(gateway) as tls:
        tls.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += _read(tls)
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        while len(body) < int(headers.get("content-length", 0)):
            body += _read(tls)
        status = int(lines[0].split(" ")[1])
        # A connection that goes on would answer this; one that was closed does not.
        try:
            tls.sendall(b"GET /poll?topic=a HTTP/1.1\r\nHost: %s\r\n\r\n" % gateway.listen.encode())
            closed = tls.recv(1) == b""
        except OSError:
            closed = True
        return Answer(status, headers, body, closed)


def all_statuses(gateway: Gateway, requests: bytes) -> list[int]:
    """Sends the bytes and reads until the server ends the connection: the status of each answer."""
    with open_tls(gateway) as tls:
        tls.sendall(requests)
        received = b""
        while data := tls.recv(65536):
            received += data
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


def _read(tls: socket.socket) -> bytes:
    data = tls.recv(65536)
    assert data, "closed without a whole answer"
    return data


class RawWebSocket:
    """A WebSocket over HTTP/1.1 whose every frame is in the hands of the test."""

    def __init__(self, gateway: Gateway, target: str = "/ws"):
        self._socket = open_tls(gateway)
        self._frames = WSConnection(ConnectionType.CLIENT)
        self._waiting: list = []
        request = Request(host=gateway.listen, target=target, subprotocols=["tidewire.v1"])
        self._socket.sendall(self._frames.send(request))
        assert isinstance(self.take(), AcceptConnection)

    def take(self):
        """The next event of wsproto; pings are not answered."""
        while not self._waiting:
            data = self._socket.recv(65536)
            self._frames.receive_data(data or None)
            self._waiting = list(self._frames.events())
        return self._waiting.pop(0)

    def send_bytes(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._socket.sendall(data)

    def cut(self) -> None:
        """Drops the TCP connection without a word."""
        self._socket.close()

    def end(self) -> tuple[list[str], int]:
        """Reads to the Close frame: the text before it and its code."""
        texts: list[str] = []
        while True:
            event = self.take()
            if isinstance(event, TextMessage):
                texts.append(event.data)
            elif isinstance(event, CloseConnection):
                self._socket.close()
                return texts, event.code
            else:
                assert isinstance(event, Ping), event


def masked(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """One client frame, masked with zeros; lengths as RFC 6455 section 5.2 wants them."""
    first = (0x80 if final else 0) | opcode
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        length = bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + len(payload).to_bytes(8, "big")
    return bytes([first]) + length + bytes(4) + payload
