"""A wall clock that a test moves; the monotonic clock of the process goes on.

Shape: `movable_clock(folder)` gives a file and the environment of a process that reads its wall clock from it; `set_clock`
says how many seconds it differs from the real one.
Failure: without Debian's package faketime the test is skipped.
"""

from pathlib import Path

import pytest


def movable_clock(folder: Path) -> tuple[Path, dict[str, str]]:
    """The file that moves the clock, and the environment for `Gateway`."""
    found = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("Debian's package faketime is not installed")
    offset = folder / "offset"
    set_clock(offset, 0)
    return offset, {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


def set_clock(offset: Path, seconds: int) -> None:
    """Counts at once; the file is never seen half written."""
    new = offset.with_suffix(".new")
    new.write_text(f"{seconds:+}\n")
    new.rename(offset)
