"""A server of public keys that does what the test says, and counts what it is asked.

Shape: `KeyServer(kids)` listens on loopback; `keys(…)` changes its set, `says(…)` its whole answer, `hold()` keeps
answers back until `release()`.
Source: RFC 7517; hazards: requests that the gateway makes.
"""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway import DEADLINE_S
from tokens import PRIVATE_KEYS, SECRET, b64

MAKERS = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def public_jwk(algorithm: str, kid: str) -> dict:
    jwk = MAKERS[algorithm].to_jwk(PRIVATE_KEYS[algorithm].public_key(), as_dict=True)
    return jwk | {"kid": kid}


class KeyServer:
    """One address with a set of keys behind it; with a certificate and its key it speaks TLS."""

    def __init__(self, certificate: tuple[Path, Path] | None = None, /, **kids: str):
        self._lock = threading.Condition()
        self._asked = 0
        self._held = False
        self.keys(**kids)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                try:
                    self.wfile.write(outer._answer())
                except OSError:
                    pass  # whoever asked has given up

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self._server.server_port}/keys"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def keys(self, **kids: str) -> None:
        """Serves these keys: `kid=algorithm`; beside them one that is a secret and one of no known kind."""
        keys = [public_jwk(algorithm, kid) for kid, algorithm in kids.items()]
        keys.append({"kty": "oct", "kid": "secret", "k": b64(SECRET.encode())})
        keys.append({"kty": "future", "kid": "future"})
        body = json.dumps({"keys": keys})
        self.says(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}")

    def says(self, answer: str) -> None:
        with self._lock:
            self._says = answer.encode()

    def hold(self) -> None:
        with self._lock:
            self._held = True

    def release(self) -> None:
        with self._lock:
            self._held = False
            self._lock.notify_all()

    @property
    def asked(self) -> int:
        with self._lock:
            return self._asked

    def wait_until_asked(self, times: int) -> None:
        """Waits for that many requests in all."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._asked >= times, DEADLINE_S)

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self) -> bytes:
        with self._lock:
            self._asked += 1
            self._lock.notify_all()
            self._lock.wait_for(lambda: not self._held)
            return self._says
