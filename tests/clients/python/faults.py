"""System calls of a running gateway that fail as long as a test wants it.

Failure: without Debian's package strace, or where it may not attach, the test is skipped.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from gateway import DEADLINE_S, Gateway


@contextmanager
def failing(gateway: Gateway, calls: str, when: str = "1+"):
    """Within it these calls fail with EIO: with `1` the first of each thread, with `2+` the others."""
    inject = f"inject={calls}:error=EIO:when={when}"
    command = ["strace", "-f", "-o", os.devnull, "-e", f"trace={calls}", "-e", inject]
    if shutil.which("strace") is None:
        pytest.skip("Debian's package strace is not installed")
    command += ["-p", str(gateway.pid())]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        if "attached" not in tracer.stderr.readline():
            pytest.skip("strace cannot attach to a process here")
        yield
    finally:
        tracer.terminate()
        tracer.wait(timeout=DEADLINE_S)
        tracer.stderr.close()
