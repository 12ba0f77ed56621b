"""`python -m tests.benchmarks.soak`: the whole pipeline for half an hour, with the memory of each process per minute.

Each minute offers items at a fixed rate, and waits until all are rows before the next minute; surplus rows are printed.
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
"""Seconds of each minute in which items are offered; the rest generates the next items."""


def say(line: str) -> None:
    """Print *line* unbuffered."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def soak(cluster: BenchCluster, minutes: int, items_per_second: int) -> None:
    """Offer items for *minutes* minutes and print a summary of each."""
    async with cluster.running(), running_pipeline(cluster) as pipeline:
        for minute in range(1, minutes + 1):
            sample = await pipeline.sustain(items_per_second, OFFERED_SECONDS)
            memory = ", ".join(f"{name} {mib:.0f}" for name, mib in sample.peak_mib.items())
            more = ", ".join(f"{name} {value:.1f}" for name, value in sample.more.items())
            say(f"{minute}: {await pipeline.rows():,} rows; {sample.value:,.0f} items/s, {more}; MiB: {memory}")


def main() -> None:
    """Run in a temporary directory, on the ports of the local stack."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--items-per-second", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sequence-soak-") as directory:
        cluster = BenchCluster(os.environ, Path(directory), say)
        asyncio.run(soak(cluster, arguments.minutes, arguments.items_per_second))


if __name__ == "__main__":
    main()
