"""One HTTP/2 request by hand: an answer may come while the body is still sent.

Shape: `exchange(gateway, headers, body)` sends as the windows admit and gives the whole answer.
Bound: every wait ends after `DEADLINE_S`.
Source: RFC 9113 section 8.1: a server that has answered in full may stop the rest of the body with
RST_STREAM and NO_ERROR, and a client must not lose the answer by it. Client libraries do (httpx waits
for ever, curl 7.88 ends with 92), so they cannot judge it.
"""

import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from gateway import DEADLINE_S, Gateway

STREAM = 1


@dataclass
class Answer:
    """What came; `sent` is how much of the body had gone out by then."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: int = 0
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


def exchange(gateway: Gateway, path: str, headers: dict[str, str], body: bytes) -> Answer:
    """Posts the body over a connection of its own."""
    config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    h2_side = h2.connection.H2Connection(config)
    answer = Answer()
    plain = socket.create_connection((gateway.host, gateway.port), timeout=DEADLINE_S)
    with gateway.tls("h2").wrap_socket(plain, server_hostname=gateway.host) as tls:
        h2_side.initiate_connection()
        pseudo = {":method": "POST", ":path": path, ":scheme": "https"}
        pseudo[":authority"] = gateway.listen
        h2_side.send_headers(STREAM, list((pseudo | headers).items()))
        while not answer.ended:
            while (size := _send_some(h2_side, body[answer.sent :])) > 0:
                answer.sent += size
            tls.sendall(h2_side.data_to_send())
            _read(tls, h2_side, answer)
        return answer


def _send_some(h2_side: h2.connection.H2Connection, rest: bytes) -> int:
    """One DATA frame, if the windows have room for it and something is left."""
    room = h2_side.local_flow_control_window(STREAM) if rest else 0
    size = min(room, h2_side.max_outbound_frame_size, len(rest))
    if size > 0:
        h2_side.send_data(STREAM, rest[:size], end_stream=size == len(rest))
    return size


def _read(tls, h2_side: h2.connection.H2Connection, answer: Answer) -> None:
    data = tls.recv(65536)
    assert data, "closed without a whole answer"
    for event in h2_side.receive_data(data):
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            h2_side.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = event.error_code
