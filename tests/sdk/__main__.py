"""`python -m tests.sdk`: run every library against a stack of its own and print the matrix.

Exits with 1 if an item was lost or stored twice, or if this machine lacks what a library needs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.invariants import wait_until_idle
from tests.faults.stack import Stack
from tests.sdk.libraries import installed, libraries
from tests.sdk.matrix import Outcome, markdown, outcomes
from tests.sdk.runs import GATEWAY, run_all


@contextmanager
def _stack() -> Iterator[Stack]:
    with (
        tempfile.TemporaryDirectory(prefix="sequence-sdk-") as directory,
        Stack(Path(directory), GATEWAY, each=1) as stack,
    ):
        yield stack


def main() -> int:
    """Run the matrix and return the exit code."""
    machine = installed()
    with _stack() as stack:
        runs = run_all(libraries(thorough=True), machine, gateway=stack.gateways[0], token=stack.token)
        wait_until_idle(stack)
        found = outcomes(stack, runs)
    sys.stdout.write(markdown(outcome.cells for outcome in found))
    for reason in machine.missing.values():
        sys.stdout.write(f"Not run: {reason}\n")
    return int(bool(machine.missing) or any(map(_is_wrong, found)))


def _is_wrong(outcome: Outcome) -> bool:
    expected = outcome.run.library.expected
    return outcome.lost != 0 or len(outcome.rows) != expected.rows or outcome.codes != expected.rejected


if __name__ == "__main__":
    sys.exit(main())
