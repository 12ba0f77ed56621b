"""What came of a scenario, and the report of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from tests.faults.invariants import COUNTS, Figures


class Result(msgspec.Struct, frozen=True):
    """A row of the report."""

    name: str
    seconds: float
    """How long it took, stack and counting included."""
    at: datetime
    """When it ended."""
    repetitions: int = 0
    must_turn: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    faults: dict[str, int] = {}
    """What must be zero, by name."""
    recovery_seconds: float = 0.0
    """From the last answer until nothing was left to do."""
    largest: str = ""
    notes: list[str] = []
    error: str = ""

    @property
    def is_red(self) -> bool:
        """Whether what has to be zero is not."""
        return any(self.faults.values())

    @property
    def passed(self) -> bool:
        """Whether it is as it has to be. What came to no end shows nothing: what is only late looks lost."""
        if self.must_turn:
            return not self.error and any(self.faults.get(name, 0) for name in self.must_turn)
        return not self.error and not self.is_red

    @property
    def verdict(self) -> str:
        """Return what is to be said of it."""
        if not self.passed:
            return f"FAILED {self.error.splitlines()[-1] if self.error else ''}"
        return "red, as it must be" if self.must_turn else "ok"


def counted(figures: Figures | None) -> dict[str, int]:
    """Return the counts of *figures*."""
    return {} if figures is None else {name: getattr(figures, name) for name in COUNTS}


def report(results: Iterable[Result]) -> str:
    """Return the table."""
    lines = [
        "Measured by `make faults`; the time is that of the end of each scenario.",
        "",
        "| scenario | times | items | lost | doubled | wrong persons | other faults | idle after | largest | at | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | --- |",
        *(_row(result) for result in results),
    ]
    return "\n".join(lines) + "\n"


def _row(result: Result) -> str:
    faults = dict(result.faults)
    doubled = faults.pop("doubled", 0) + faults.pop("doubled_origins", 0)
    figures = (result.counts.get("items", "-"), faults.pop("lost", "-"), doubled, faults.pop("wrong_persons", "-"))
    other = ", ".join(f"{name} {count}" for name, count in faults.items() if count) or "0"
    remarks = "; ".join([result.verdict, *result.notes])
    return (
        f"| {result.name} | {result.repetitions} | {' | '.join(map(str, figures))} | {other} | "
        f"{result.recovery_seconds:.0f} s | {result.largest} | {result.at.astimezone(UTC):%Y-%m-%d %H:%M} | {remarks} |"
    )
