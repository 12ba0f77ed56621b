"""Faults for the fault suite, and for nothing else: places where a worker kills itself, mechanisms taken out.

A check that was never seen failing is no check. The suite proves the promise by killing workers at the worst moments,
and proves itself by taking one mechanism out at a time and turning red. Both are asked for by environment variables
that no deployment sets, and a worker that finds one says so loudly at its start.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping

KILL_AT = "SEQUENCE_TEST_KILL_AT"
"""`POINT:N`: SIGKILL at the Nth time that the worker reaches POINT."""
WITHOUT = "SEQUENCE_TEST_WITHOUT"
"""The mechanism to take out, one of `MECHANISMS`."""

POINTS = frozenset({"decided", "produced", "applied", "inserted", "processed"})
MECHANISMS = frozenset(
    {
        "produce_before_apply",
        "origins",
        "contiguous_in",
        "contiguous_out",
        "sink_position",
        "end_process",
    }
)

log = logging.getLogger(__name__)

_remaining: dict[str, int] = {}
_without: set[str] = set()


def arm(environ: Mapping[str, str]) -> None:
    """Read which faults are asked for; ValueError for one that does not exist."""
    _remaining.clear()
    _without.clear()
    if kill_at := environ.get(KILL_AT):
        point, _, times = kill_at.partition(":")
        if point not in POINTS:
            raise ValueError(f"{KILL_AT}: no such point: {point}")
        _remaining[point] = int(times or "1")
        log.warning("TEST: this worker kills itself at %s", kill_at)
    if mechanism := environ.get(WITHOUT):
        if mechanism not in MECHANISMS:
            raise ValueError(f"{WITHOUT}: no such mechanism: {mechanism}")
        _without.add(mechanism)
        log.warning("TEST: this worker runs without %s and loses or doubles events", mechanism)


def reach(point: str) -> None:
    """Pass *point*: where the suite wants it, the process dies here."""
    if point in _remaining:
        _remaining[point] -= 1
        if _remaining[point] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def without(mechanism: str) -> bool:
    """Return whether *mechanism* is taken out."""
    return mechanism in _without
