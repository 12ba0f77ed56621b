"""`python -m tests.benchmarks`, which `make bench` runs: measures each stage beside what it competes with.

Results go to `bench.md` and `bench.json` in the state directory (`SEQUENCE_STATE_DIR`, by default `.sequence`).
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from deploy.errors import DeployError
from deploy.settings import LocalSettings, state_directory
from schemas.settings import SettingsError, load
from tests.benchmarks import command, results
from tests.benchmarks.errors import BenchError
from tests.benchmarks.plan import QUICK, Plan


def main() -> int:
    """Run the comparisons that the arguments choose and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", metavar="NAME", help="run only comparisons whose names start with NAME")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller states")
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds for each candidate")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=COMMAND", help="another dedupe to benchmark against"
    )
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an older bench.json to compare with")
    arguments = parser.parse_args()
    peers = dict(text.partition("=")[::2] for text in arguments.peer)
    plan = replace(QUICK if arguments.quick else Plan(), peers=peers)
    if arguments.rounds is not None:
        plan = replace(plan, rounds=arguments.rounds)
    try:
        older = None if arguments.compare is None else results.read(arguments.compare)
        done = command.run(os.environ, plan, arguments.only, state_directory(load(LocalSettings)), _say)
    except (BenchError, DeployError, SettingsError, OSError) as error:
        parser.exit(1, f"{error}\n")
    _say(f"\n{results.table(done)}")
    if older is not None:
        _say(results.comparison(done, older))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
