"""Faults for the fault suite, and for nothing else: places where a worker kills or stops itself, mechanisms taken out.

A check that was never seen failing is no check. The suite proves the promise by killing workers at the worst moments,
and proves itself by taking one mechanism out at a time and turning red. Both are asked for by environment variables
that no deployment sets, and a worker that finds one says so loudly at its start.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Mapping

KILL_AT = "SEQUENCE_TEST_KILL_AT"
"""`POINT:N`: SIGKILL at the Nth time that the worker reaches POINT."""
STOP_AT = "SEQUENCE_TEST_STOP_AT"
"""`POINT:N`: SIGSTOP every Nth time that the worker reaches POINT; it goes on there when it gets SIGCONT."""
LOSE = "SEQUENCE_TEST_LOSE"
"""`N`: every Nth run of records that is fetched is lost on its way to its stage."""
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
        "fail_fast",
        "join",
    }
)

log = logging.getLogger(__name__)

_every: dict[tuple[str, signal.Signals], int] = {}
_passed: Counter[str] = Counter()
_without: set[str] = set()
_lose: list[int] = []


def arm(environ: Mapping[str, str]) -> None:
    """Read which faults are asked for; ValueError for one that does not exist."""
    _every.clear()
    _passed.clear()
    _without.clear()
    _lose.clear()
    for variable, number in ((KILL_AT, signal.SIGKILL), (STOP_AT, signal.SIGSTOP)):
        if place := environ.get(variable):
            point, _, times = place.partition(":")
            if point not in POINTS:
                raise ValueError(f"{variable}: no such point: {point}")
            _every[point, number] = int(times or "1")
            log.warning("TEST: this worker sends itself %s at %s", number.name, place)
    if every := environ.get(LOSE):
        _lose.append(int(every))
        log.warning("TEST: this worker loses one run of records in %s", every)
    if mechanism := environ.get(WITHOUT):
        if mechanism not in MECHANISMS:
            raise ValueError(f"{WITHOUT}: no such mechanism: {mechanism}")
        _without.add(mechanism)
        log.warning("TEST: this worker runs without %s and loses or doubles events", mechanism)


def reach(point: str) -> None:
    """Pass *point*: where the suite wants it, the process dies here, or stands still."""
    _passed[point] += 1
    for (place, number), times in _every.items():
        if place == point and _passed[point] % times == 0:
            os.kill(os.getpid(), number)


def loses_run() -> bool:
    """Return whether the run that was fetched now is to be lost."""
    _passed[LOSE] += 1
    return any(_passed[LOSE] % every == 0 for every in _lose)


def without(mechanism: str) -> bool:
    """Return whether *mechanism* is taken out."""
    return mechanism in _without
