"""The two suites as commands: kosoku, which has Autobahn's cases for Python 3, and Autobahn's own.

Shape: a suite has a name, the versions of HTTP that it is run over, and shards of its cases that run at
once; `command` starts one shard against one address. Both write the same reports: `index.json`, and a
file for each case.
Failure: a suite that ends early leaves out reports, and `verdict.py` misses their cases.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# 9: limits and performance; 12 and 13: compression.
HEAVY = ["9.*", "12.*", "13.*"]


class Kosoku:
    """Many cases at a time where they mostly wait for a time limit, a few where they move bytes.

    It compresses in one thread, and each case waits for the gateway: it takes two shards that move bytes to
    keep two cores busy.
    """

    name = "kosoku"
    ways = ["HTTP/1.1", "HTTP/2"]

    _SHARDS = {
        "waiting": ["-p", "16", *(part for group in HEAVY for part in ("-x", group))],
        "limits": ["-p", "4", "-i", "9.*", "-i", "12.*"],
        "windows": ["-p", "4", "-i", "13.*"],
    }
    shards = list(_SHARDS)

    def command(self, shard: str, address: str, reports: Path) -> list:
        options = self._SHARDS[shard]
        return [sys.executable, "-B", HERE / "judge.py", *options, "-o", reports, url(address)]


class Original:
    """One case after the other, as always; so there are more shards."""

    name = "original"
    # Over HTTP/2 it would judge the same echo by the same cases once more, for seven minutes.
    ways = ["HTTP/1.1"]

    _SHARDS = {
        "waiting": {"cases": ["*"], "exclude-cases": HEAVY},
        "limits": {"cases": ["9.*"]},
        "payloads": {"cases": ["12.*"]},
        "windows": {"cases": ["13.*"]},
    }
    shards = list(_SHARDS)

    def __init__(self, program: Path):
        self._program = program

    def command(self, shard: str, address: str, reports: Path) -> list:
        reports.mkdir(parents=True)
        server = {"agent": "tidewire", "url": url(address)}
        wanted = self._SHARDS[shard] | {"outdir": str(reports), "servers": [server]}
        specification = reports / "specification.json"
        specification.write_text(json.dumps(wanted))
        return [self._program, "--mode", "fuzzingclient", "--spec", specification]


Suite = Kosoku | Original


def url(address: str) -> str:
    return f"ws://{address}/echo"
