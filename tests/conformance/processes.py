"""The gateway and the relay as child processes.

Shape: `gateway(folder)` and `relay(...)` are contexts that give the process; inside, both are ready.
Bound: `READY_S` for a start and `STOP_S` for an end; both are met by a hang only.
Failure: a process that does not start, a gateway that panics or does not end in order.
"""

import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30.0
STOP_S = 30.0

# Group 9 sends messages of 16 MiB, and some cases send as fast as they can.
CONFIG = """
[limits]
event_max_bytes = "16MiB"
frames_per_second = 100000000
connections_per_address = 10000
sessions_per_address = 10000
"""


@dataclass
class Gateway:
    """A running gateway that serves `/echo`."""

    process: subprocess.Popen
    address: str
    certificate: Path

    def cpu_seconds(self) -> float:
        """Processor time so far, its own and the kernel's for it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """The most memory that it had resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@contextmanager
def gateway(folder: Path):
    """A gateway on loopback; afterwards it must end in order."""
    (folder / "tidewire.toml").write_text(CONFIG)
    data = folder / "data"
    command = [str(_binary()), "serve", "--config", str(folder / "tidewire.toml")]
    command += ["--listen", "127.0.0.1:0", "--admin", "off", "--engine", "memory"]
    command += ["--data-dir", str(data), "--conformance-echo"]
    errors = folder / "gateway.txt"
    with _child(command, errors) as process:
        address = _ready(process, errors).removeprefix("https://")
        yield Gateway(process, address, data / "tls" / "cert.pem")
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=STOP_S)
        said = errors.read_text()
        if code != 0 or "panicked" in said:
            raise RuntimeError(f"the gateway ended with {code}: {said}")


@contextmanager
def relay(gateway: Gateway, over: str, errors: Path):
    """The relay to this gateway; gives the address where it takes plain WebSocket."""
    command = [str(ROOT / "target/debug/relay"), "--to", gateway.address]
    command += ["--trust", str(gateway.certificate), "--over", over]
    with _child(command, errors) as process:
        yield _ready(process, errors)


@contextmanager
def _child(command: list[str], errors: Path):
    """A child without our own variables; killed when it is still there at the end."""
    ours = [name for name in os.environ if name.startswith("TIDEWIRE_")]
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    with errors.open("wb") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, env=environment, text=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _ready(process: subprocess.Popen, errors: Path) -> str:
    """Waits for the line `ready ADDRESS`."""
    late = Timer(READY_S, process.kill)
    late.start()
    try:
        for line in process.stdout:
            word, _, address = line.strip().partition(" ")
            if word == "ready":
                return address
    finally:
        late.cancel()
    raise RuntimeError(f"{process.args[0]} did not start: {errors.read_text()}")


def _binary() -> Path:
    named = os.environ.get("TIDEWIRE_BIN")
    return Path(named).absolute() if named else ROOT / "target/debug/tidewire"
