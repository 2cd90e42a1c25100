"""nginx and haproxy in front of a gateway, as their users set them up.

Shape: `Proxy(name, gateway, folder)` is a context; `exchange` sends bytes on a connection of its own and gives all that
came back, `client` is an httpx client. Both take plain HTTP on a socket in the folder, speak TLS to the gateway and keep connections to it, which many
clients share. Both refuse `/topics/hidden…`: what arrives there came past them.
Bound: every wait ends after `DEADLINE_S`.
Failure: a proxy that is not installed is a skipped test; where `CI` is set, an error.
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from gateway import DEADLINE_S, Gateway

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream gateway {{ server {listen}; keepalive 2; }}
  server {{
    listen unix:{socket};
    location /topics/hidden {{ return 403; }}
    location / {{
      proxy_pass https://gateway;
      proxy_http_version 1.1;
      proxy_set_header Host {listen};
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_ignore_client_abort on;
    }}
  }}
}}
"""

HAPROXY = """
global
  maxconn 256
defaults
  mode http
  timeout connect 10s
  timeout client 10s
  timeout server 10s
frontend clients
  bind unix@{socket}
  http-request deny if {{ path_beg /topics/hidden }}
  default_backend gateways
backend gateways
  http-reuse always
  http-request set-header Host {listen}
  server gateway {listen} ssl verify none alpn http/1.1
"""

CONFIGS = {"nginx": NGINX, "haproxy": HAPROXY}

# It compresses what the gateway did not, and takes the cursor out of the header.
REWRITING_NGINX = NGINX.replace(
    "access_log off;",
    "access_log off; gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;",
).replace(
    "proxy_http_version 1.1;",
    "proxy_http_version 1.1; proxy_hide_header ETag; proxy_hide_header Tidewire-Cursor;",
)


class Proxy:
    """One proxy process in front of one gateway."""

    def __init__(self, name: str, gateway: Gateway, folder: Path, config: str | None = None):
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
        binary = shutil.which(name, path=path)
        if binary is None:
            assert "CI" not in os.environ, f"{name} is not installed"
            pytest.skip(f"{name} is not installed")
        self._socket = folder / "socket"
        self._host = gateway.listen
        file = folder / "proxy.conf"
        text = config or CONFIGS[name]
        file.write_text(text.format(folder=folder, socket=self._socket, listen=gateway.listen))
        command = [binary, "-c" if name == "nginx" else "-f", str(file)]
        self._said = (folder / "said.txt").open("wb")
        self._process = subprocess.Popen(command, stdout=self._said, stderr=self._said)

    def __enter__(self) -> "Proxy":
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends and self._process.poll() is None:
            with suppress(OSError):
                self._connect().close()
                return self
            time.sleep(0.05)
        raise RuntimeError(f"it did not start: {Path(self._said.name).read_text()}")

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self._process.wait(timeout=DEADLINE_S)
        self._said.close()

    def exchange(self, request: bytes) -> bytes:
        """Sends the bytes, closes the sending side, and reads to the end."""
        with self._connect() as connection:
            received = b""
            with suppress(OSError):
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                while data := connection.recv(65536):
                    received += data
            return received

    def client(self) -> httpx.Client:
        """A client that has no other way than through the proxy."""
        way = httpx.HTTPTransport(uds=str(self._socket))
        return httpx.Client(base_url=f"http://{self._host}", transport=way, timeout=DEADLINE_S)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(DEADLINE_S)
        connection.connect(str(self._socket))
        return connection
