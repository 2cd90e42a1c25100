"""Foreign clients as subscribers of one shape: open with a cursor, take events, be cut.

Shape: `READERS[name](gateway, topics, after)`; then `next()` gives event after event, `cursor` is the
place after the last one that was given (before the first: what the transport said on opening).
`gaps` keeps every gap that was told. `cut()` drops the connection without a word. Keyword arguments are further parameters of the query.
Bound: every wait ends after `DEADLINE_S`.
Source: protocol section 3, "One cursor, every transport".
"""

import json
import select
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
from httpx_sse import EventSource, ServerSentEvent

from blocking_websocket import BlockingWebSocket
from gateway import DEADLINE_S, Gateway
from h2_websocket import Http2WebSocket


def query(topics: list[str], after: str | None, **more) -> str:
    """Query parameters as every transport takes them."""
    pairs = [("topic", topic) for topic in topics]
    if after is not None:
        pairs.append(("after", after))
    return urlencode([*pairs, *more.items()])


class Reader:
    """What the readers share: the cursor moves with each event that was given out."""

    def __init__(self):
        self.cursor: str | None = None
        self.resumed: bool | None = None
        self.gaps: list[dict] = []

    def next(self) -> dict:
        """The next event; control messages on the way are noted."""
        event = self._next_event()
        self.cursor = event["id"]
        return event

    def _hello(self, hello: dict) -> None:
        self.cursor = hello["cursor"]
        self.resumed = hello["resumed"]

    def _gap(self, gap: dict) -> None:
        self.gaps.append(gap)
        self.cursor = gap["cursor"]

    def _next_event(self) -> dict:
        raise NotImplementedError

    def cut(self) -> None:
        raise NotImplementedError


class WebSocketReader(Reader):
    """Python `websockets`, HTTP/1.1 Upgrade."""

    def __init__(self, gateway: Gateway, topics: list[str], after: str | None, **more):
        super().__init__()
        self._open(gateway, f"/ws?{query(topics, after, **more)}")
        hello = json.loads(self._recv())
        assert hello["op"] == "hello", hello
        self._hello(hello)

    def _open(self, gateway: Gateway, path: str) -> None:
        self._connection = BlockingWebSocket(gateway, path)

    def _recv(self) -> str:
        return self._connection.recv()

    def _next_event(self) -> dict:
        while True:
            message = json.loads(self._recv())
            if "op" not in message:
                return message
            if message["op"] == "gap":
                self._gap(message)
            else:
                assert message["op"] == "hb", message

    def cut(self) -> None:
        self._connection.cut()


class Http2WebSocketReader(WebSocketReader):
    """Hand-made extended CONNECT (RFC 8441)."""

    def _open(self, gateway: Gateway, path: str) -> None:
        self._connection = Http2WebSocket(gateway, path)
        assert self._connection.status == 200


class EventStreamReader(Reader):
    """`httpx` and `httpx-sse` over HTTP/1.1."""

    http2 = False

    def __init__(self, gateway: Gateway, topics: list[str], after: str | None, **more):
        super().__init__()
        self._blocks = self._open(gateway, f"/sse?{query(topics, after, **more)}")
        hello = next(self._blocks)
        assert hello.event == "hello", hello
        self._hello(json.loads(hello.data))

    def _open(self, gateway: Gateway, path: str) -> Iterator[ServerSentEvent]:
        self._client = gateway.client(http2=self.http2)
        request = self._client.build_request("GET", path, headers={"Accept": "text/event-stream"})
        self._response = self._client.send(request, stream=True)
        assert self._response.status_code == 200
        return EventSource(self._response).iter_sse()

    def _next_event(self) -> dict:
        for block in self._blocks:
            if block.event == "message":
                event = json.loads(block.data)
                assert block.id == event["id"]
                return event
            if block.event == "gap":
                self._gap(json.loads(block.data))
            else:
                assert block.event == "hb", block
        raise EOFError("the stream ended")

    def cut(self) -> None:
        self._response.close()
        self._client.close()


class Http2EventStreamReader(EventStreamReader):
    """`httpx` and `httpx-sse` over HTTP/2."""

    http2 = True


class CurlReader(EventStreamReader):
    """`curl -N` as the connection; `httpx-sse` parses what it prints."""

    def _open(self, gateway: Gateway, path: str) -> Iterator[ServerSentEvent]:
        version = "--http2" if self.http2 else "--http1.1"
        command = ["curl", "-sS", "-N", version, "--noproxy", "*", "--cacert", str(gateway.ca)]
        self._curl = subprocess.Popen([*command, gateway.url + path], stdout=subprocess.PIPE)
        response = httpx.Response(
            200, headers={"Content-Type": "text/event-stream"}, content=self._printed()
        )
        return EventSource(response).iter_sse()

    def _printed(self) -> Iterator[bytes]:
        """Output of curl as it comes, each wait with the deadline."""
        pipe = self._curl.stdout
        while True:
            ready, _, _ = select.select([pipe], [], [], DEADLINE_S)
            if not ready:
                raise TimeoutError("curl printed nothing")
            data = pipe.read1(65536)
            if not data:
                return
            yield data

    def cut(self) -> None:
        self._curl.kill()
        self._curl.wait(timeout=DEADLINE_S)
        self._curl.stdout.close()


class Http2CurlReader(CurlReader):
    """`curl -N --http2`."""

    http2 = True


class PollReader(Reader):
    """A loop of long-polls with `httpx`."""

    def __init__(self, gateway: Gateway, topics: list[str], after: str | None, **more):
        super().__init__()
        self._client = gateway.client()
        self._topics = topics
        self._more = {"limit": 1000} | more
        # Where the reader was, and the cursor of the answer.
        self.empty_answers: list[tuple[str, str]] = []
        self._events: deque[dict] = deque()
        self._answered = self.cursor = after
        if after is None:
            self._ask()

    def _ask(self) -> None:
        path = f"/poll?{query(self._topics, self._answered, **self._more)}"
        answer = self._client.get(path)
        assert answer.status_code == 200, answer.text
        # It stands in place of a cursor, and now there is one.
        self._more.pop("last", None)
        answer = answer.json()
        self._answered = answer["cursor"]
        if "gap" in answer:
            self._gap(answer["gap"])
        self._events.extend(answer["events"])
        if not self._events:
            if self.cursor is not None:
                self.empty_answers.append((self.cursor, self._answered))
            self.cursor = self._answered

    def _next_event(self) -> dict:
        ends = time.monotonic() + DEADLINE_S
        while not self._events:
            if time.monotonic() > ends:
                raise TimeoutError("the polls brought nothing")
            self._ask()
        return self._events.popleft()

    def cut(self) -> None:
        self._client.close()


READERS: dict[str, type[Reader]] = {
    "websockets": WebSocketReader,
    "websocket over HTTP/2": Http2WebSocketReader,
    "httpx-sse": EventStreamReader,
    "httpx-sse over HTTP/2": Http2EventStreamReader,
    "curl -N": CurlReader,
    "curl -N --http2": Http2CurlReader,
    "httpx polls": PollReader,
}
