"""Result of a scenario, and the report of all results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from tests.faults.invariants import COUNTS, Figures


class Result(msgspec.Struct, frozen=True):
    """Result of one scenario; a row of the report."""

    name: str
    seconds: float
    """Duration, including the start of the stack and the checks."""
    at: datetime
    """Time of completion."""
    repetitions: int = 0
    must_violate: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    violations: dict[str, int] = {}
    """Counts that must be zero, by name."""
    recovery_seconds: float = 0.0
    """Time from the last response until all groups had zero lag."""
    largest_process: str = ""
    notes: list[str] = []
    error: str = ""

    @property
    def has_violations(self) -> bool:
        """Whether any count that must be zero is not."""
        return any(self.violations.values())

    @property
    def passed(self) -> bool:
        """Whether the result is as expected. A scenario with an error never passes: late records look lost."""
        if self.must_violate:
            return not self.error and any(self.violations.get(name, 0) for name in self.must_violate)
        return not self.error and not self.has_violations

    @property
    def verdict(self) -> str:
        """Return the verdict as text."""
        if not self.passed:
            return f"FAILED {self.error.splitlines()[-1] if self.error else ''}"
        return "red, as expected" if self.must_violate else "ok"


def counted(figures: Figures | None) -> dict[str, int]:
    """Return the counts of *figures*."""
    return {} if figures is None else {name: getattr(figures, name) for name in COUNTS}


def report(results: Iterable[Result]) -> str:
    """Return all results as a Markdown table."""
    lines = [
        "Measured by `make faults`. *at* is the time of completion.",
        "",
        "| scenario | times | items | lost | doubled | wrong persons | other | idle after | largest process | at | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | --- |",
        *(_row(result) for result in results),
    ]
    return "\n".join(lines) + "\n"


def _row(result: Result) -> str:
    violations = dict(result.violations)
    doubled = violations.pop("doubled", 0) + violations.pop("doubled_source_offsets", 0)
    figures = (
        result.counts.get("items", "-"),
        violations.pop("lost", "-"),
        doubled,
        violations.pop("wrong_persons", "-"),
    )
    other = ", ".join(f"{name} {count}" for name, count in violations.items() if count) or "0"
    remarks = "; ".join([result.verdict, *result.notes])
    return (
        f"| {result.name} | {result.repetitions} | {' | '.join(map(str, figures))} | {other} | "
        f"{result.recovery_seconds:.0f} s | {result.largest_process} | "
        f"{result.at.astimezone(UTC):%Y-%m-%d %H:%M} | {remarks} |"
    )
