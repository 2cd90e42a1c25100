"""The asyncio client of `websockets`, driven call by call from plain code.

Shape: `BlockingWebSocket(gateway, path, …)` is open when it exists; `recv`, `send`, `ping`, `close`, `cut`.
Why not the library's own blocking client: it reads in a second thread, and in Python 3.11 two threads
on one TLS connection can lose a write (seen: one upgrade request in 2,000 never left).
Between two calls nothing runs, so a protocol ping waits for the next call.
Bound: every wait ends after `DEADLINE_S`.
"""

import asyncio

from websockets.asyncio.client import connect

from gateway import DEADLINE_S, Gateway


class BlockingWebSocket:
    """One connection and the event loop that it has to itself."""

    def __init__(self, gateway: Gateway, path: str = "/ws", **more):
        more.setdefault("subprotocols", ["tidewire.v1"])
        self._loop = asyncio.new_event_loop()
        opening = connect(
            gateway.ws_url + path,
            ssl=gateway.tls(),
            proxy=None,
            max_size=None,
            open_timeout=DEADLINE_S,
            close_timeout=DEADLINE_S,
            ping_interval=None,
            **more,
        )
        try:
            self.connection = self._run(_opened(opening))
        except BaseException:
            self._loop.close()
            raise

    def __enter__(self) -> "BlockingWebSocket":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def subprotocol(self) -> str | None:
        return self.connection.subprotocol

    @property
    def close_code(self) -> int | None:
        return self.connection.close_code

    def recv(self) -> str | bytes:
        """The next message."""
        return self._run(self.connection.recv())

    def send(self, message: str | bytes) -> None:
        """Sends one message."""
        self._run(self.connection.send(message))

    def ping(self, payload: bytes) -> None:
        """Sends a protocol ping and waits for the pong with the same payload."""

        async def ping() -> None:
            await (await self.connection.ping(payload))

        self._run(ping())

    def close(self, code: int = 1000) -> None:
        """The closing handshake, unless the connection is closed already."""
        if not self._loop.is_closed():
            self._run(self.connection.close(code))
            self._loop.close()

    def cut(self) -> None:
        """Drops the TCP connection without a word."""
        self.connection.transport.abort()
        self._run(self.connection.wait_closed())
        self._loop.close()

    def _run(self, work):
        return self._loop.run_until_complete(asyncio.wait_for(work, DEADLINE_S))


async def _opened(opening):
    return await opening
