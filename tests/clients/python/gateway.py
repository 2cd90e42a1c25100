"""One real gateway process, started and stopped by a test.

Shape: `Gateway.start()` runs the binary, waits for its `ready` and `admin` lines, then `url`,
`ws_url`, `tls()` and `client()` lead to it; `publish…` are plain HTTP requests.
Bound: every wait has one deadline, `DEADLINE_S`.
Failure: a gateway that does not start, exits with another code than 0 or panics fails the test.
Source: protocol section 10.
"""

import json
import os
import queue
import re
import resource
import signal
import ssl
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[3]

# Far above what any step takes: it is met by a hang only.
DEADLINE_S = 30.0


def binary() -> Path:
    """`TIDEWIRE_BIN`, else the release build, else the debug build."""
    named = os.environ.get("TIDEWIRE_BIN")
    found = (
        [Path(named).absolute()]
        if named
        else [
            ROOT / "target/release/tidewire",
            ROOT / "target/debug/tidewire",
        ]
    )
    for path in found:
        if path.is_file():
            return path
    raise FileNotFoundError(f"no tidewire binary at {', '.join(map(str, found))}; build it first")


class Gateway:
    """A `tidewire serve` process on loopback, with its own data folder."""

    def __init__(
        self,
        folder: Path,
        engine: str = "memory",
        config: str = "",
        log_to_pipe: bool = False,
        environment: dict[str, str] | None = None,
        open_files: int | None = None,
    ):
        self.folder = folder
        self.engine = engine
        self.data_dir = folder / "data"
        self.stderr = folder / "stderr.txt"
        self.listen = "127.0.0.1:0"
        self.url = self.admin = ""
        self._log_to_pipe = log_to_pipe
        self._environment = environment or {}
        self._open_files = open_files
        self._flags: list[str] = []
        if config:
            (folder / "tidewire.toml").write_text(config)
            self._flags = ["--config", str(folder / "tidewire.toml")]
        self._process: subprocess.Popen | None = None
        self._publisher: httpx.Client | None = None

    def start(self) -> "Gateway":
        """Runs the binary and waits until it takes connections; a restart keeps the port."""
        command = [str(binary()), "serve", *self._flags]
        command += ["--listen", self.listen, "--admin", "127.0.0.1:0"]
        command += ["--engine", self.engine, "--data-dir", str(self.data_dir)]
        if self._open_files is not None:
            command = ["sh", "-c", f'ulimit -n {self._open_files}; exec "$@"', "sh", *command]
        with self.stderr.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=_environment() | self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if self._log_to_pipe else errors,
                text=True,
            )
        self._signalled = False
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(self._process.stdout, lines), daemon=True).start()
        self.url = self.admin = ""
        ends = time.monotonic() + DEADLINE_S
        while not (self.url and self.admin):
            line = lines.get(timeout=max(0.0, ends - time.monotonic()))
            if line is None:
                raise RuntimeError(f"the gateway did not start: {self.stderr.read_text()}")
            word, _, rest = line.partition(" ")
            if word == "ready":
                self.url = rest
            elif word == "admin":
                self.admin = rest
        self.listen = self.url.removeprefix("https://")
        self._publisher = self.client()
        return self

    def close_log(self) -> None:
        """Closes the reading end of the log, as `2>&1 | head` does."""
        self._process.stderr.close()

    def signal(self, number: int) -> None:
        """Sends a signal to the process; the caller waits for what follows."""
        self._signalled = True
        self._process.send_signal(number)

    def pid(self) -> int:
        """The process, for who looks at it or gets in its way."""
        return self._process.pid

    def wait(self) -> int:
        """Waits for the end of the process and returns its exit code."""
        if self._publisher is not None:
            self._publisher.close()
        return self._process.wait(timeout=DEADLINE_S)

    def stop(self) -> None:
        """Stops the process in order: SIGTERM, exit code 0, no panic on the way."""
        if self._process is None:
            return
        # A second SIGTERM would end the process at once.
        if self._process.poll() is None and not self._signalled:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._process = None
        assert code == 0, f"exit code {code}: {self.stderr.read_text()}"
        assert "panicked" not in self.stderr.read_text()

    def is_alive(self) -> bool:
        """True while the process runs and says that it is well."""
        well = httpx.get(f"{self.admin}/healthz", timeout=DEADLINE_S, trust_env=False)
        return self._process.poll() is None and well.status_code == 200

    def resident_bytes(self) -> int:
        """Memory of the process that is resident now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def highest_open_file(self) -> int:
        """The largest number of a file that the process has open."""
        return max(int(each.name) for each in Path(f"/proc/{self._process.pid}/fd").iterdir())

    def limit_open_files(self, count: int) -> None:
        """Lets the running process open files with numbers below this only."""
        number = resource.RLIMIT_NOFILE
        _, hard = resource.prlimit(self._process.pid, number)
        resource.prlimit(self._process.pid, number, (count, hard))
    def descriptors(self) -> int:
        """Files and sockets that the process has open."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def cpu_seconds(self) -> float:
        """Processor time of the process so far, its own and the kernel's for it."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for_sessions(self, count: int) -> None:
        """Waits until that many sessions are open, held polls included."""
        ends = time.monotonic() + DEADLINE_S
        while f"\ntidewire_sessions {count}\n" not in self.metrics():
            assert time.monotonic() < ends, f"never {count} sessions"

    def ends(self) -> Counter[int]:
        """How many sessions have ended with which close code."""
        rows = re.findall(
            r'^tidewire_session_ends_total\{code="(\d+)"\} (\d+)', self.metrics(), re.MULTILINE
        )
        return Counter({int(code): int(count) for code, count in rows})

    def sockets(self) -> int:
        """Connections that are open on the public port; the publisher's own does not count."""
        self._publisher.close()
        self._publisher = self.client()
        return int(re.search(r"^tidewire_sockets (\d+)", self.metrics(), re.MULTILINE)[1])

    def metrics(self) -> str:
        """What the admin port counts."""
        return httpx.get(f"{self.admin}/metrics", timeout=DEADLINE_S, trust_env=False).text

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def ws_url(self) -> str:
        return self.url.replace("https://", "wss://")

    @property
    def ca(self) -> Path:
        """The certificate that the gateway made: what a client has to trust."""
        return self.data_dir / "tls" / "cert.pem"

    def tls(self, *alpn: str) -> ssl.SSLContext:
        """A context that trusts this gateway alone and checks its name."""
        context = ssl.create_default_context(cafile=self.ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def client(self, http2: bool = False, **more) -> httpx.Client:
        """An httpx client; with `http2` it can speak nothing else."""
        more.setdefault("timeout", DEADLINE_S)
        return httpx.Client(
            base_url=self.url,
            verify=self.tls(),
            http1=not http2,
            http2=http2,
            trust_env=False,
            **more,
        )

    def publish(self, topic: str, data, event_type: str | None = None, **headers: str) -> str:
        """Publishes one JSON event and returns its id."""
        element = {"topic": topic, "data": data}
        if event_type is not None:
            element["type"] = event_type
        answer = self._publisher.post("/publish", json=element, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def publish_all(self, elements: list[dict]) -> list[str]:
        """Publishes many events in arrays as large as they may be; returns their ids."""
        ids: list[str] = []
        for at in range(0, len(elements), 1000):
            answer = self._publisher.post("/publish", json=elements[at : at + 1000])
            assert answer.status_code == 200, answer.text
            ids += [each["id"] for each in answer.json()]
        return ids

    def head(self) -> str:
        """The cursor of now."""
        answer = self._publisher.get("/poll", params={"topic": "head.of.the.log"})
        assert answer.status_code == 200, answer.text
        return answer.json()["cursor"]

    def head_as(self, credentials: dict[str, str]) -> str:
        """The same for somebody who may read `orders.a`, where not everybody may everything."""
        answer = self._publisher.get("/poll", params={"topic": "orders.a"}, headers=credentials)
        assert answer.status_code == 200, answer.text
        return answer.json()["cursor"]


def compact(data) -> str:
    """JSON without white space, as an event carries it."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def _environment() -> dict[str, str]:
    """Ours without what the gateway would take for its configuration, such as `TIDEWIRE_BIN`."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TIDEWIRE_") or name == "TIDEWIRE_LOG"
    }


def _pump(pipe, lines: queue.Queue) -> None:
    """Moves output lines into the queue, then the end mark; keeps the pipe from filling."""
    for line in pipe:
        lines.put(line.rstrip("\n"))
    lines.put(None)
