"""What the reports of the cases come to: a table, and the problems in words.

Shape: `Verdict.of(way, reports)` counts; `table` shows; `problems` says what may not be. Pure: no
process, no file.
Unit: cases. A case with a bad closing handshake has failed, whatever its messages were.
Failure: a case that is missing, failed, unimplemented, non-strict without a reason on the list, or
whose connection ended without a Close frame; a server that agreed to compress and hardly ever does.
Source: RFC 6455 and RFC 7692, by Autobahn's cases; hazards part 4.
"""

from collections import Counter
from dataclasses import dataclass, field

# Autobahn's cases in each group.
GROUPS = {
    "1": 16,
    "2": 11,
    "3": 7,
    "4": 10,
    "5": 20,
    "6": 145,
    "7": 37,
    "9": 54,
    "10": 1,
    "12": 90,
    "13": 126,
}
CASES = 517

# Bytes on the wire for each byte of the answers in group 12, of which a good part cannot be compressed.
COMPRESSED_MAX = 0.8

# Cases that a problem names.
SHOWN_MAX = 25

COLUMNS = ["passed", "non-strict", "informational", "failed", "unimplemented"]
_COLUMN_OF = {
    "OK": "passed",
    "NON-STRICT": "non-strict",
    "INFORMATIONAL": "informational",
    "UNIMPLEMENTED": "unimplemented",
}


def column_of(report: dict) -> str:
    """The column of one case."""
    if report["behaviorClose"] not in ("OK", "INFORMATIONAL"):
        return "failed"
    return _COLUMN_OF.get(report["behavior"], "failed")


def is_bare(report: dict) -> bool:
    """The connection ended with neither a code nor a closing handshake: Autobahn accepts that, we do not."""
    return report["remoteCloseCode"] is None and not report["wasClean"]


@dataclass
class Verdict:
    """All cases over one version of HTTP."""

    way: str
    column: dict[str, str] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    milliseconds: Counter = field(default_factory=Counter)
    # What came back in group 12, which bounds no window: as it is, and as it was on the wire.
    payload: int = 0
    sent: int = 0

    @classmethod
    def of(cls, way: str, reports: list[dict]) -> "Verdict":
        """Counts the reports of cases; one that comes twice is an error."""
        verdict = cls(way)
        for report in reports:
            case = report["id"]
            if case in verdict.column:
                raise ValueError(f"case {case} was reported twice")
            verdict.column[case] = column_of(report)
            verdict.milliseconds[_group(case)] += report["duration"]
            if is_bare(report):
                verdict.bare.append(case)
            if _group(case) == "12" and (traffic := report["trafficStats"]):
                verdict.payload += traffic["incomingOctetsAppLevel"]
                verdict.sent += traffic["incomingOctetsWebSocketLevel"]
        return verdict

    def cases(self, column: str) -> list[str]:
        """The cases of one column, in order."""
        return sorted((case for case, its in self.column.items() if its == column), key=_order)

    def table(self) -> str:
        """A row for each group of cases, and their sum."""
        head = ["group", "cases", *COLUMNS, "no close", "seconds"]
        rows = [self._row(group, [group]) for group in GROUPS]
        rows.append(self._row("all", list(GROUPS)))
        widths = [len(name) + 2 for name in head]
        lines = [
            "".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
            for line in [head, *rows]
        ]
        return "\n".join([self.way, *lines])

    def _row(self, name: str, groups: list[str]) -> list[str]:
        columns = Counter(its for case, its in self.column.items() if _group(case) in groups)
        bare = sum(_group(case) in groups for case in self.bare)
        seconds = sum(self.milliseconds[group] for group in groups) / 1000
        counts = [columns.total(), *(columns[column] for column in COLUMNS), bare]
        return [name, *map(str, counts), f"{seconds:.1f}"]

    def problems(self, allowed: dict[str, str]) -> list[str]:
        """What may not be, a sentence each."""
        found = []
        for group, expected in GROUPS.items():
            there = sum(_group(case) == group for case in self.column)
            if there != expected:
                found.append(f"group {group}: {there} cases were reported, not {expected}")
        if len(self.column) != CASES:
            found.append(f"{len(self.column)} cases were reported, not {CASES}")
        surprising = [case for case in self.cases("non-strict") if case not in allowed]
        for what, cases in [
            ("failed", self.cases("failed")),
            ("unimplemented", self.cases("unimplemented")),
            ("non-strict without a reason in non_strict.txt", surprising),
            ("ended without a Close frame", sorted(self.bare, key=_order)),
        ]:
            if cases:
                found.append(f"{len(cases)} cases {what}: {_some(cases)}")
        if self.sent > COMPRESSED_MAX * self.payload:
            found.append(f"answers were not compressed: {self.payload} bytes as {self.sent}")
        return [f"{self.way}: {problem}" for problem in found]


def stale(allowed: dict[str, str], verdicts: list[Verdict]) -> list[str]:
    """Entries of the list that nothing needs any more."""
    needed = {case for verdict in verdicts for case in verdict.cases("non-strict")}
    return [f"non_strict.txt: {case} is strict now" for case in allowed if case not in needed]


def reasons(text: str) -> dict[str, str]:
    """The list of cases that may be non-strict; an entry without a reason is an error."""
    allowed = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            case, _, reason = line.partition(" ")
            if not reason.strip():
                raise ValueError(f"non_strict.txt: {case} has no reason")
            allowed[case] = reason.strip()
    return allowed


def _some(cases: list[str]) -> str:
    """The first of them; the reports have all."""
    more = len(cases) - SHOWN_MAX
    return " ".join(cases[:SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _group(case: str) -> str:
    return case.partition(".")[0]


def _order(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]
