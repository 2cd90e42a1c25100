"""Scanners that others have written, against a real gateway.

Shape: one function for each tool; it gives what the tool found, as sentences. `sslscan` looks at TLS, `slowhttptest` holds
connections open in three ways, `schemathesis` sends what /openapi.json allows and what it does not.
Bound: `TOOL_S` for each tool.
Failure: any finding; a tool that is missing or that says nothing that is understood.
Source: hazards part 1 rows 12, 13, 15, 17 and 22, part 4.
"""

import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients" / "python"))

from gateway import Gateway  # noqa: E402 - it lies with the clients

TOOL_S = 120

# Short limits, so that slowhttptest sees them; the key may forget, so that schemathesis comes past the 401.
KEY = "scanner"
CONFIG = """
[auth.anonymous]
subscribe = [">"]
publish = [">"]
[[auth.keys]]
name = "scanner"
sha256 = "6105d8625ada3c9bf514062b5696e9d7aa11e4b5e2c3d8629713f0bf2e45f6fd"
publish = [">"]
subscribe = [">"]
forget = [">"]
[limits]
header_timeout = "2s"
body_timeout = "2s"
write_timeout = "2s"
publishes_per_second = 1000000
"""

TLS_VERSIONS = {"TLSv1.2", "TLSv1.3"}
# Authenticated encryption with a key that was agreed for this connection.
TLS12_SUITES = ("ECDHE-ECDSA-AES", "ECDHE-ECDSA-CHACHA20-POLY1305")

SLOW = {
    "headers (-H)": ["-H", "-i", "1"],
    "bodies (-B)": ["-B", "-i", "1", "-s", "8192"],
    "readers (-X)": ["-X", "-w", "1", "-y", "8", "-n", "1", "-z", "8", "-k", "3"],
}


def sslscan(gateway: Gateway) -> list[str]:
    """Protocols, suites, and the old flaws of TLS."""
    report = run(["sslscan", "--xml=-", "--show-certificate", gateway.listen])
    test = xml.fromstring(report.stdout).find("ssltest")
    found = []
    versions = {
        f"{each.get('type').upper()}v{each.get('version')}"
        for each in test.iter("protocol")
        if each.get("enabled") == "1"
    }
    if versions != TLS_VERSIONS:
        found.append(f"protocols {sorted(versions)}")
    suites = [(each.get("sslversion"), each.get("cipher")) for each in test.iter("cipher")]
    if {version for version, _ in suites} != TLS_VERSIONS:
        found.append(f"suites {suites}")
    weak = [suite for version, suite in suites if version == "TLSv1.2" and not strong(suite)]
    weak += [
        each.get("cipher")
        for each in test.iter("cipher")
        if each.get("strength") != "acceptable" and each.get("strength") != "strong"
    ]
    if weak:
        found.append(f"weak suites {weak}")
    for name, attribute in [("compression", "supported"), ("renegotiation", "supported")]:
        if any(each.get(attribute) == "1" for each in test.iter(name)):
            found.append(f"{name} is supported")
    found += [
        f"heartbleed in {each.get('sslversion')}"
        for each in test.iter("heartbleed")
        if each.get("vulnerable") != "0"
    ]
    return found


def strong(suite: str) -> bool:
    """ECDHE and AEAD."""
    return suite.startswith(TLS12_SUITES) and ("GCM" in suite or "POLY1305" in suite)


def slowhttptest(gateway: Gateway) -> list[str]:
    """Two hundred connections that hardly move: the gateway gives all of them up, and serves others meanwhile."""
    gateway.publish("slow.a", "x" * 60_000)
    found = []
    for name, arguments in SLOW.items():
        command = ["slowhttptest", "-c", "200", "-r", "200", "-l", "25", "-p", "3", *arguments]
        command += ["-u", f"{gateway.url}/topics/slow.a/events"]
        began = time.monotonic()
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            try:
                is_given_up = gives_up(gateway, process)
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            said = re.sub(r"\x1b\[[0-9;]*m", "", output.read())
        print(f"slowhttptest {name}: {time.monotonic() - began:.0f} s", flush=True)
        if not is_given_up and "No open connections left" not in said:
            found.append(f"slow {name}: not all were given up: {last_lines(said)}")
        if re.search(r"service available:\s+NO", said):
            found.append(f"slow {name}: others were not served: {last_lines(said)}")
    if not gateway.is_alive():
        found.append("the gateway is not well after slowhttptest")
    return found


def gives_up(gateway: Gateway, process: subprocess.Popen) -> bool:
    """Whether the gateway has closed all connections of the tool but its probe, while the tool still holds them. Each
    look is a request of somebody else, who must be served."""
    most = 0
    while process.poll() is None:
        gateway.head()
        held = gateway.sockets()
        most = max(most, held)
        if most >= 100 and held <= 1:
            return True
        time.sleep(0.1)
    return False


def schemathesis(gateway: Gateway) -> list[str]:
    """Every operation of /openapi.json but the two that never end: /sse, and /ws, which is no HTTP."""
    tool = Path(sys.executable).with_name("schemathesis")
    command = [tool, "--config-file", HERE / "schemathesis.toml", "run"]
    command += [f"{gateway.url}/openapi.json", "--url", gateway.url, "--tls-verify", gateway.ca]
    command += ["-H", f"Authorization: Bearer {KEY}", "--no-color"]
    # The same requests each time: a stage that fails by chance tells nothing.
    command += ["--generation-deterministic"]
    command += ["--exclude-path", "/sse", "--exclude-path", "/ws", "--request-timeout", "20"]
    command += ["--phases", "examples,coverage,fuzzing", "-n", "100", "--continue-on-failure"]
    report = run(command)
    print("\n".join(report.stdout.splitlines()[-8:]), flush=True)
    return [] if report.returncode == 0 else [f"schemathesis: {report.stdout}"]


def run(command: list) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TOOL_S,
            check=False,
        )


def last_lines(said: str) -> str:
    return " | ".join(line.strip() for line in said.splitlines()[-20:] if line.strip())


TOOLS: list[Callable[[Gateway], list[str]]] = [sslscan, slowhttptest, schemathesis]


def main() -> int:
    found = []
    with tempfile.TemporaryDirectory(prefix="tidewire-scanners-") as folder:
        gateway = Gateway(Path(folder), "memory", CONFIG).start()
        for tool in TOOLS:
            began = time.monotonic()
            problems = tool(gateway)
            print(
                f"{tool.__name__}: {len(problems)} findings, {time.monotonic() - began:.0f} s",
                flush=True,
            )
            found += problems
        gateway.stop()
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
