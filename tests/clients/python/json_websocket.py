"""The `websockets` client with JSON frames, as the WebSocket tests use it.

Shape: `open_websocket(gateway, …)` gives a connection whose `take()` reads one frame, `ask()` sends one
and returns its answer. Events that come before the answer are kept in `events`.
Bound: as `BlockingWebSocket`.
"""

import json
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed

from blocking_websocket import BlockingWebSocket
from gateway import Gateway


class WebSocket:
    """One connection; `hello` is the first frame."""

    def __init__(self, connection):
        self.connection = connection
        self.events: list[dict] = []
        self.hello = self.take()
        assert self.hello["op"] == "hello", self.hello

    def take_text(self) -> str:
        """The next frame as text, heartbeats left out."""
        while True:
            text = self.connection.recv()
            assert isinstance(text, str), "only text frames are sent"
            if not text.startswith('{"op":"hb"'):
                return text

    def take(self) -> dict:
        """The next frame, heartbeats left out."""
        return json.loads(self.take_text())

    def take_events(self, count: int) -> list[dict]:
        """The next events, with nothing between them."""
        events = [self.take() for _ in range(count)]
        assert all("op" not in event for event in events), events
        return events

    def send(self, frame) -> None:
        """Sends a frame; text goes as it is."""
        self.connection.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))

    def ask(self, frame) -> dict:
        """Sends a frame and returns the frame that answers it."""
        self.send(frame)
        while True:
            answer = self.take()
            if "op" in answer:
                return answer
            self.events.append(answer)

    def end(self) -> tuple[list[dict], int, str]:
        """Waits for the end: the frames before it, the close code and its reason."""
        frames = []
        try:
            while True:
                frames.append(self.take())
        except ConnectionClosed as closed:
            received = closed.rcvd
            assert received is not None, "dropped without a Close frame"
            return frames, received.code, received.reason


@contextmanager
def open_websocket(gateway: Gateway, query: str = "", **more):
    """Opens `/ws?query` over TLS and reads the hello."""
    path = f"/ws?{query}" if query else "/ws"
    with BlockingWebSocket(gateway, path, **more) as connection:
        yield WebSocket(connection)
