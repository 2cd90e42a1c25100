"""One open session for each transport, of one shape: it is open when it exists, and `end()` says how it ended.

Shape: `SESSIONS[name](gateway, topic, key)` opens; `end()` gives the events that came and the close code or status.
Bound: every wait ends after `DEADLINE_S`.
"""

import json
import threading

from httpx_sse import EventSource

from gateway import DEADLINE_S, Gateway
from json_websocket import WebSocket
from blocking_websocket import BlockingWebSocket


def bearer(key: str | None) -> dict[str, str]:
    """The header of a credential, if there is one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


class OpenWebSocket:
    """Over HTTP/1.1."""

    kicked = refused = 4004

    def __init__(self, gateway: Gateway, topic: str, key: str | None = None):
        self._connection = BlockingWebSocket(
            gateway, f"/ws?topic={topic}", additional_headers=bearer(key)
        )
        self.socket = WebSocket(self._connection)
        self.session = self.socket.hello["session"]

    def end(self) -> tuple[list[dict], int]:
        frames, code, _ = self.socket.end()
        (bye,) = [frame for frame in frames if frame.get("op") == "bye"]
        assert bye["code"] == code
        # Nobody who was sent away for good is told when to come back.
        assert ("retry_ms" in bye) == (code >= 4100 or code == 1001)
        return [frame for frame in frames if "op" not in frame], code

    def close(self) -> None:
        self._connection.close()


class OpenEventStream:
    """Over HTTP/1.1."""

    http2 = False
    kicked = refused = 4004

    def __init__(self, gateway: Gateway, topic: str, key: str | None = None):
        self._client = gateway.client(http2=self.http2)
        request = self._client.build_request(
            "GET", "/sse", params={"topic": topic}, headers=bearer(key)
        )
        self._answer = self._client.send(request, stream=True)
        assert self._answer.status_code == 200, self._answer.status_code
        self._blocks = EventSource(self._answer).iter_sse()
        self.session = json.loads(next(self._blocks).data)["session"]

    def end(self) -> tuple[list[dict], int]:
        blocks = [block for block in self._blocks if block.event != "hb"]
        bye = json.loads(blocks.pop().data)
        assert ("retry_ms" in bye) == (bye["code"] >= 4100 or bye["code"] == 1001)
        return [json.loads(block.data) for block in blocks], bye["code"]

    def close(self) -> None:
        self._answer.close()
        self._client.close()


class Http2EventStream(OpenEventStream):
    """Over HTTP/2."""

    http2 = True


class HeldPoll:
    """A poll that waits; it has no name that its client is told."""

    session = None
    # Without and with revoked credentials.
    kicked, refused = 403, 401

    def __init__(self, gateway: Gateway, topic: str, key: str | None = None):
        self._client = gateway.client(headers=bearer(key))
        start = self._client.get("/poll", params={"topic": topic})
        assert start.status_code == 200, start.text
        params = {"topic": topic, "after": start.json()["cursor"], "wait": 55}
        self._answers = []
        self._held = threading.Thread(
            target=lambda: self._answers.append(self._client.get("/poll", params=params)),
            daemon=True,
        )
        self._held.start()

    def end(self) -> tuple[list[dict], int]:
        self._held.join(timeout=DEADLINE_S)
        (answer,) = self._answers
        events = answer.json()["events"] if answer.status_code == 200 else []
        return events, answer.status_code

    def close(self) -> None:
        # A test that ends in order has ended the poll before.
        if not self._held.is_alive():
            self._client.close()


SESSIONS = {
    "websocket": OpenWebSocket,
    "sse": OpenEventStream,
    "sse over HTTP/2": Http2EventStream,
    "poll": HeldPoll,
}
