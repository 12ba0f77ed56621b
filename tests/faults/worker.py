"""Test-only entry point: `python -m tests.faults.worker ARGUMENTS` runs `sequence ARGUMENTS`, interrupted or mutated.

The variables below say how. No module of the product reads them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.faults import suspended_clock

KILL_AT = "SEQUENCE_TEST_KILL_AT"
"""`FAILPOINT:N`: SIGKILL at the Nth hit of FAILPOINT."""
STOP_AT = "SEQUENCE_TEST_STOP_AT"
"""`FAILPOINT:N`: SIGSTOP at every Nth hit of FAILPOINT, until SIGCONT."""
LOSE = "SEQUENCE_TEST_LOSE"
"""`N`: every Nth fetched batch is lost between the consumer and its stage."""
WITHOUT = "SEQUENCE_TEST_WITHOUT"
"""Name of the mutant to apply."""
SUSPENDED = "SEQUENCE_TEST_SUSPENDED"
"""Set: the monotonic clock stands still while the process is stopped."""
CLOCKS = "SEQUENCE_TEST_CLOCKS"
"""Directory with the clocks of a gateway; see `tests.faults.shifted_clocks`."""
STUCK = "SEQUENCE_TEST_STUCK"
"""File with the number of a partition whose batches dedupe does not finish while the file exists."""
ARMED = "SEQUENCE_TEST_ARMED"
"""Directory of the points at which a process is killed; see `tests.faults.points`."""
COPY_SECONDS = "SEQUENCE_TEST_COPY_SECONDS"
"""Seconds that a migration takes longer to copy each table."""
VARIABLES = frozenset({ARMED, KILL_AT, STOP_AT, LOSE, WITHOUT, SUSPENDED, CLOCKS, STUCK, COPY_SECONDS})


def command(kind: str, environ: Mapping[str, str]) -> list[str]:
    """Return the command of worker *kind*: the product's own unless *environ* asks for an interruption or a mutant."""
    if any(environ.get(name) for name in VARIABLES):
        return [sys.executable, "-m", "tests.faults.worker", *_arguments(kind)]
    return [sys.executable, "-m", "deploy.cli", *_arguments(kind)]


def _arguments(kind: str) -> list[str]:
    return [kind] if kind == "gateway" else ["worker", kind]


def _main() -> None:
    if os.environ.get(SUSPENDED):
        suspended_clock.install()

    from deploy.cli import main  # noqa: PLC0415  # `command` is asked by processes that run no worker
    from tests.faults.interruptions import arm  # noqa: PLC0415
    from tests.faults.mutants import replace  # noqa: PLC0415

    arm(os.environ, replace)
    if directory := os.environ.get(ARMED):
        from tests.faults.points import install  # noqa: PLC0415  # needs what commands need

        install(Path(directory), sys.argv[1:], replace)
    main(sys.argv[1:])


if __name__ == "__main__":
    _main()
