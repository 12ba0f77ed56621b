"""`python -m tests.tools`: read with every tool from an embedded ClickHouse and print the matrix.

Exits with 1 if a step of a tool showed something else than it must, or if this machine lacks Go or a JDK.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.sdk.install import MissingToolError
from tests.tools import server
from tests.tools.runs import Outcome, markdown, run, run_dbt, tools


def main() -> int:
    """Run the matrix and return the exit code."""
    outcomes: list[Outcome] = []
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sequence-tools-") as directory:
        path = Path(directory)
        with server.running(path / "state") as running:
            for tool in tools():
                try:
                    outcomes += [run(tool, running, login) for login in running.logins]
                except MissingToolError as error:
                    missing.append(f"Not run: {tool.name}: {error}\n")
            outcomes.append(run_dbt(running, path))
    sys.stdout.write(markdown(outcomes))
    for outcome in outcomes:
        for step, fault in outcome.wrong.items():
            sys.stdout.write(f"{outcome.tool.name} as {outcome.login}: {step}: {fault}\n")
    sys.stdout.writelines(missing)
    return int(bool(missing) or any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
