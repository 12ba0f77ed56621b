"""What to do with a block whose INSERT failed: wait, halve it, or reject its last row. Pure.

A row that is rejected is out of the table until a person acts, so it needs evidence that the fault is its own: either
its values cannot be parsed at all, or it failed repeatedly while ClickHouse took a statement without rows, and other
rows. Halving needs less: it loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from processors.clickhouse.codes import FaultKind

HALVE_AFTER = 3
"""Failures of a block after which it is halved."""
REJECT_AFTER = 5
"""Failures of a single row after which it is rejected, if there is evidence."""
BIG_ROW_BYTES = 16 * 1024
"""JSON of a row that may need more memory or time than ClickHouse has, although it takes a statement without rows."""
FIRST_PAUSE_SECONDS = 0.1
FIRST_ROW_PAUSE_SECONDS = 1.0
"""Of a single row: a short lack of memory must not reject it."""
LONGEST_PAUSE_SECONDS = 5.0


class Step(Enum):
    """What happens next to a block."""

    WAIT = auto()
    """Send it again after a pause."""
    HALVE = auto()
    """Send its halves, one after the other."""
    REJECT_VALUE = auto()
    """Reject its only row: a value cannot be converted."""
    REJECT_UNSTORABLE = auto()
    """Reject its only row: ClickHouse fails because of it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a block when its INSERT has failed and the table does not have it."""

    kind: FaultKind
    """Of the last error."""
    rows: int
    size_bytes: int
    """JSON of its rows."""
    failures: int
    """In succession, after each of which the table took a statement without rows."""
    unparsable: bool
    """Whether its rows cannot be parsed even without the table."""
    others_written: bool
    """Whether other rows of the table were written since the block failed first, alone or as part of a larger one."""


def next_step(evidence: Evidence) -> Step:
    """Return what happens next to a block that failed."""
    if evidence.unparsable:
        return Step.REJECT_VALUE if evidence.rows == 1 else Step.HALVE
    if evidence.kind in {FaultKind.STATE, FaultKind.UNAVAILABLE}:
        return Step.WAIT
    if evidence.rows > 1:
        return Step.HALVE if evidence.failures >= HALVE_AFTER else Step.WAIT
    too_big = evidence.kind is FaultKind.SIZE and evidence.size_bytes >= BIG_ROW_BYTES
    if evidence.failures >= REJECT_AFTER and (evidence.others_written or too_big):
        return Step.REJECT_UNSTORABLE
    return Step.WAIT


def pause_seconds(attempt: int, rows: int = 0) -> float:
    """Return how long to wait after the failed *attempt*, counted from 1, at a block of *rows*."""
    first = FIRST_ROW_PAUSE_SECONDS if rows == 1 else FIRST_PAUSE_SECONDS
    return min(first * 2.0 ** min(attempt - 1, 30), LONGEST_PAUSE_SECONDS)
