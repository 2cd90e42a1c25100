"""Runs Autobahn's cases (kosoku) through the relay, once for each version of HTTP.

Shape: one gateway with `--conformance-echo`; for each version a relay, and the cases in three shards at
once: those that mostly wait for a time limit, many at a time, and twice those that move bytes, a few at a
time. kosoku compresses in one thread, and each case waits for the gateway: it takes two of them to keep two
cores busy.
Bound: `SHARD_S` for a shard; kosoku has time limits of its own for every case.
Failure: see `verdict.py`; besides, connections that the gateway ended without a goodbye (TLS
`close_notify`, END_STREAM), which the relay writes down.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import ROOT, Gateway, gateway, relay
from verdict import Verdict, reasons, stale

HERE = Path(__file__).resolve().parent
REPORTS = ROOT / "target" / "conformance"
SHARD_S = 900.0

WAYS = {"HTTP/1.1": "http1", "HTTP/2": "http2"}

# 9: limits and performance; 12 and 13: compression.
MOVING = [["9.*", "12.*"], ["13.*"]]
SHARDS = {
    "waiting": [
        "-p",
        "16",
        *(part for groups in MOVING for group in groups for part in ("-x", group)),
    ],
    **{
        f"moving-{number}": ["-p", "4", *(part for group in groups for part in ("-i", group))]
        for number, groups in enumerate(MOVING, 1)
    },
}


def run_way(gateway: Gateway, way: str, folder: Path) -> tuple[Verdict, list[str]]:
    """All cases over one version of HTTP: what they came to, and what else went wrong."""
    began, cpu = time.monotonic(), gateway.cpu_seconds()
    errors = folder / f"relay-{WAYS[way]}.txt"
    reports, problems = [], []
    with relay(gateway, WAYS[way], errors) as address:
        running = {name: start(way, name, address) for name in SHARDS}
        for name, process in running.items():
            said = wait(process)
            found = read(report_folder(way, name))
            seconds = time.monotonic() - began
            print(f"{way}, {name}: {len(found)} cases, {seconds:.0f} s", flush=True)
            if process.returncode != 0:
                problems.append(f"{way}: kosoku ({name}) ended with {process.returncode}: {said}")
            reports += found
    lost = [line for line in errors.read_text().splitlines() if line.startswith("gateway: ")]
    if lost:
        problems.append(f"{way}: {len(lost)} connections ended in disorder, such as {lost[0]}")
    verdict = Verdict.of(way, reports)
    print(verdict.table())
    print(f"answers of group 12: {verdict.payload} bytes, sent as {verdict.sent}")
    used = gateway.cpu_seconds() - cpu
    print(
        f"gateway: {used:.1f} CPU-seconds, at most {gateway.peak_mib():.0f} MiB resident\n",
        flush=True,
    )
    return verdict, problems


def start(way: str, shard: str, address: str) -> subprocess.Popen:
    """One run of kosoku."""
    folder = report_folder(way, shard)
    command = [sys.executable, "-B", HERE / "judge.py", *SHARDS[shard]]
    command += ["-o", folder, f"ws://{address}/echo"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait(process: subprocess.Popen) -> str:
    """Waits for the end of a shard; gives what it said, shortened."""
    try:
        said, _ = process.communicate(timeout=SHARD_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        said = f"took more than {SHARD_S:.0f} s\n{said}"
    return "; ".join(said.splitlines()[:4])


def read(folder: Path) -> list[dict]:
    """The reports of a shard; none when it wrote none."""
    index = folder / "index.json"
    if not index.is_file():
        return []
    (cases,) = json.loads(index.read_text()).values()
    return [json.loads((folder / case["reportfile"]).read_text()) for case in cases.values()]


def report_folder(way: str, shard: str) -> Path:
    return REPORTS / WAYS[way] / shard


def main() -> int:
    allowed = reasons((HERE / "non_strict.txt").read_text())
    shutil.rmtree(REPORTS, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="tidewire-conformance-") as temporary:
        folder = Path(temporary)
        with gateway(folder) as server:
            outcomes = [run_way(server, way, folder) for way in WAYS]
    verdicts = [verdict for verdict, _ in outcomes]
    problems = [problem for _, more in outcomes for problem in more]
    problems += [problem for verdict in verdicts for problem in verdict.problems(allowed)]
    problems += stale(allowed, verdicts)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
