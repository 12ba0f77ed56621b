"""`python -m tests.benchmarks.soak`: everything at once for half an hour, with the memory of each process minute by minute.

Each minute's items are offered at one rate and have to be rows before the next begins; rows too many are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.cluster import BenchCluster
from tests.benchmarks.end_to_end import running_pipeline

OFFERED_SECONDS = 50
"""Of each minute; in the rest of it the items of the next are made."""


def say(line: str) -> None:
    """Print *line* at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def soak(world: BenchCluster, minutes: int, items_per_second: int) -> None:
    """Offer items for so many minutes and print what each came to."""
    async with world.running(), running_pipeline(world) as pipeline:
        for minute in range(1, minutes + 1):
            sample = await pipeline.sustain(items_per_second, OFFERED_SECONDS)
            memory = ", ".join(f"{name} {mib:.0f}" for name, mib in sample.peak_mib.items())
            told = ", ".join(f"{name} {value:.1f}" for name, value in sample.more.items())
            say(f"{minute}: {await pipeline.rows():,} rows; {sample.value:,.0f} items/s, {told}; MiB: {memory}")


def main() -> None:
    """Run it in a directory of its own, on the ports of the local stack."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--items-per-second", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sequence-soak-") as directory:
        world = BenchCluster(os.environ, Path(directory), say)
        asyncio.run(soak(world, arguments.minutes, arguments.items_per_second))


if __name__ == "__main__":
    main()
