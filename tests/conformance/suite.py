"""Runs Autobahn's cases through the relay, for each suite over its versions of HTTP.

Shape: one gateway with `--conformance-echo`; for each suite and version a relay, and the suite's shards
at once. `suite.py [WSTEST]`: the program of the original suite, where there is one.
Bound: `SHARD_S` for a shard; the suites have time limits of their own for every case.
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
from suites import Kosoku, Original, Suite
from verdict import Verdict, reasons, stale

HERE = Path(__file__).resolve().parent
REPORTS = ROOT / "target" / "conformance"
SHARD_S = 1800.0

WAYS = {"HTTP/1.1": "http1", "HTTP/2": "http2"}


def run_way(gateway: Gateway, suite: Suite, way: str, folder: Path) -> tuple[Verdict, list[str]]:
    """All cases of a suite over one version of HTTP: what they came to, and what else went wrong."""
    title = f"{suite.name} over {way}"
    began, cpu = time.monotonic(), gateway.cpu_seconds()
    errors = folder / f"relay-{suite.name}-{WAYS[way]}.txt"
    reports, problems = [], []
    with relay(gateway, WAYS[way], errors) as address:
        running = {
            shard: start(suite.command(shard, address, report_folder(suite, way, shard)))
            for shard in suite.shards
        }
        for shard, process in running.items():
            said = wait(process)
            found = read(report_folder(suite, way, shard))
            seconds = time.monotonic() - began
            print(f"{title}, {shard}: {len(found)} cases, {seconds:.0f} s", flush=True)
            if process.returncode != 0:
                problems.append(f"{title}: {shard} ended with {process.returncode}: {said}")
            reports += found
    lost = [line for line in errors.read_text().splitlines() if line.startswith("gateway: ")]
    if lost:
        problems.append(f"{title}: {len(lost)} connections ended in disorder, such as {lost[0]}")
    verdict = Verdict.of(title, reports)
    print(verdict.table())
    print(f"answers of group 12: {verdict.payload} bytes, sent as {verdict.sent}")
    used = gateway.cpu_seconds() - cpu
    print(
        f"gateway: {used:.1f} CPU-seconds, at most {gateway.peak_mib():.0f} MiB resident\n",
        flush=True,
    )
    return verdict, problems


def start(command: list) -> subprocess.Popen:
    """One shard of a suite."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait(process: subprocess.Popen) -> str:
    """Waits for the end of a shard; gives what it said last, shortened."""
    try:
        said, _ = process.communicate(timeout=SHARD_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        said += f"\ntook more than {SHARD_S:.0f} s"
    return "; ".join(said.splitlines()[-4:])


def read(folder: Path) -> list[dict]:
    """The reports of a shard; none when it wrote none."""
    index = folder / "index.json"
    if not index.is_file():
        return []
    (cases,) = json.loads(index.read_text()).values()
    return [json.loads((folder / case["reportfile"]).read_text()) for case in cases.values()]


def report_folder(suite: Suite, way: str, shard: str) -> Path:
    return REPORTS / suite.name / WAYS[way] / shard


def main(programs: list[str]) -> int:
    suites = [Kosoku(), *(Original(Path(program)) for program in programs)]
    allowed = reasons((HERE / "non_strict.txt").read_text())
    shutil.rmtree(REPORTS, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="tidewire-conformance-") as temporary:
        folder = Path(temporary)
        with gateway(folder) as server:
            outcomes = [
                run_way(server, suite, way, folder) for suite in suites for way in suite.ways
            ]
    verdicts = [verdict for verdict, _ in outcomes]
    problems = [problem for _, more in outcomes for problem in more]
    problems += [problem for verdict in verdicts for problem in verdict.problems(allowed)]
    problems += stale(allowed, verdicts)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
