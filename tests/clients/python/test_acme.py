"""A certificate from an authority: Debian's `pebble`, which looks for the proof on the gateway's own port.

Method: pebble and its name server run on loopback; every name leads to 127.0.0.1. Without them the
test is skipped aloud.
Source: RFC 8555, RFC 8737.
"""

import contextlib
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from gateway import DEADLINE_S, Gateway
from waiting import until

DOMAIN = "gate.tidewire.test"
TOOLS = ("pebble", "pebble-challtestsrv", "openssl")


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, below those that the system gives to outgoing connections."""
    free: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with contextlib.suppress(OSError), socket.socket() as each:
            each.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            break
    return free


class Authority:
    """pebble and its name server; they look for the proof on `proof_port`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port, self.management, self.names, self.dns, self.proof_port, unused = free_ports(6)
        self.ca = folder / "directory.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-days", "2", "-subj", "/CN=pebble", "-addext"]
            + ["subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "directory.key"]
            + ["-addext", "basicConstraints=critical,CA:FALSE", "-out", self.ca],
            check=True,
            capture_output=True,
        )
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.ca),
            "privateKey": str(folder / "directory.key"),
            "httpPort": unused,
            "tlsPort": self.proof_port,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        self._processes: list[subprocess.Popen] = []

    def start(self) -> None:
        self._run(
            ["pebble-challtestsrv", "-defaultIPv6", "", "-http01", "", "-https01", ""]
            + ["-tlsalpn01", "", "-dns01", f"127.0.0.1:{self.dns}"]
            + ["-management", f"127.0.0.1:{self.names}"]
        )
        self._run(
            ["pebble", "-config", str(self.folder / "pebble.json")]
            + ["-dnsserver", f"127.0.0.1:{self.dns}"]
        )
        until(self._answers)

    def root(self) -> str:
        """What vouches for the certificates that it gives."""
        url = f"https://127.0.0.1:{self.management}/roots/0"
        return httpx.get(url, verify=self._trust(), trust_env=False).raise_for_status().text

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def _run(self, command: list[str]) -> None:
        # The proof is really looked for, at once, and no request is turned away for the fun of it.
        settings = {"PEBBLE_VA_ALWAYS_VALID": "0", "PEBBLE_VA_NOSLEEP": "1"}
        settings["PEBBLE_WFE_NONCEREJECT"] = "0"
        with (self.folder / f"{command[0]}.txt").open("ab") as log:
            self._processes.append(
                subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
            )

    def _answers(self) -> bool:
        try:
            self.root()
        except httpx.TransportError:
            return False
        return True

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)


@pytest.fixture
def authority(tmp_path):
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)} (`bash tests/run tools`)")
    authority = Authority(tmp_path)
    yield authority
    authority.stop()


class CertifiedGateway(Gateway):
    """A gateway whose certificate comes from an authority."""

    @property
    def ca(self) -> Path:
        return self.folder / "root.pem"

    def certificate(self, *alpn: str) -> bytes | None:
        """What it shows for its domain, once that is good."""
        plain = socket.create_connection((self.host, self.port), timeout=DEADLINE_S)
        try:
            with self.tls(*alpn).wrap_socket(plain, server_hostname=DOMAIN) as tls:
                assert tls.selected_alpn_protocol() == alpn[0]
                return tls.getpeercert(binary_form=True)
        except ssl.SSLError:
            plain.close()
            return None


def test_a_certificate_is_got_kept_and_used_again_without_the_authority(authority, tmp_path):
    gateway = CertifiedGateway(
        tmp_path,
        "memory",
        f"""
        [tls.acme]
        domains = ["{DOMAIN}"]
        contact = ["ops@tidewire.test"]
        directory_url = "https://localhost:{authority.port}/dir"
        ca_file = "{authority.ca}"
        """,
    )
    gateway.listen = f"127.0.0.1:{authority.proof_port}"
    authority.start()
    gateway.ca.write_text(authority.root())
    gateway.start()
    until(lambda: gateway.certificate("h2") is not None)
    got = gateway.certificate("http/1.1")
    # Whoever pretends to be the authority, when nothing is to be proven, sees no certificate.
    assert gateway.certificate("acme-tls/1") is None
    gateway.stop()

    authority.stop()
    gateway.start()
    until(lambda: gateway.certificate("h2") is not None)
    assert gateway.certificate("h2") == got
    for kept in (gateway.data_dir / "acme").iterdir():
        assert kept.parent.stat().st_mode & 0o077 == 0
    gateway.stop()
