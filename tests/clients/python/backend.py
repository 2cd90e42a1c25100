"""A user's backend that answers the gateway's hooks, for tests.

Shape: `Backend()` listens on loopback in threads of its own; `answer` is a function from a question to
status and body, set by the test; `questions` are those that came, each with its headers.
Bound: every wait ends after `DEADLINE_S`.
Source: protocol, "Hooks".
"""

import json
import queue
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gateway import DEADLINE_S

SECRET = "whsec-for-tests-0123456789"


@dataclass(frozen=True)
class Question:
    """One POST as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Backend:
    """A server for as long as the test lasts; use it as a context."""

    def __init__(self, certificate: Path | None = None, key: Path | None = None):
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                backend._serve(self)

            def do_GET(self):
                backend._serve(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://localhost:{self.port}/hook"
        self.answer = lambda question: (200, {"allow": True})
        self._lock = threading.Lock()
        self._questions: list[Question] = []
        self._came: queue.Queue[Question] = queue.Queue()
        self._now = 0
        # The most questions that were under way at a time.
        self.most = 0
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        question = Question(handler.path, headers, body)
        with self._lock:
            self._questions.append(question)
            self._now += 1
            self.most = max(self.most, self._now)
        self._came.put(question)
        try:
            status, answer, *more = self.answer(question)
        finally:
            with self._lock:
                self._now -= 1
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        try:
            handler.send_response(status)
            for name, value in (more[0] if more else {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(payload)))
            handler.end_headers()
            handler.wfile.write(payload)
        except OSError:
            # The gateway did not wait.
            handler.close_connection = True

    @property
    def questions(self) -> list[Question]:
        """All that came so far."""
        with self._lock:
            return list(self._questions)

    def asked(self, hook: str) -> list[dict]:
        """What was asked by one hook."""
        return [each.json for each in self.questions if each.json["hook"] == hook]

    def next(self) -> Question:
        """Waits for the next question."""
        return self._came.get(timeout=DEADLINE_S)

    def config(self, *hooks: str, url: str | None = None, more: str = "", each: str = "") -> str:
        """The part of the configuration that leads here."""
        # Far above what an answer takes, so that none is repeated on a busy machine.
        if "timeout" not in more:
            more = f'timeout = "20s"\n{more}'
        text = f'[hooks]\nsecret = "{SECRET}"\nallow_private = true\n{more}\n'
        for hook in hooks:
            text += f'[hooks.{hook}]\nurl = "{url or self.url}"\n{each}\n'
        return text
