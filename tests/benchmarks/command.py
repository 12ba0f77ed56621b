"""`sequence bench`: the comparisons in order, and what is made of them."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic

from deploy.embedded import kafka_jars
from deploy.errors import BenchError
from deploy.local import ports, state_lock
from tests.benchmarks import baseline, dedupe, end_to_end, gateway, persons, recovery, results, sink
from tests.benchmarks.cluster import BenchCluster
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Run
from tests.benchmarks.usage import machine

Compare = Callable[[BenchCluster, Plan], Awaitable[list[Row]]]

COMPARISONS: Mapping[str, Compare] = {
    "floor": baseline.compare,
    "gateway": gateway.compare,
    "dedupe": dedupe.compare,
    "states": dedupe.compare_states,
    "persons": persons.compare,
    "sink": sink.compare,
    "recovery": recovery.compare,
    "whole": end_to_end.compare,
}
"""By the name that `--only` takes."""


def run(environ: Mapping[str, str], plan: Plan, only: str, directory: Path, say: Callable[[str], None]) -> Run:
    """Run the comparisons whose names begin with *only* and leave their results in *directory*."""
    chosen = {name: compare for name, compare in COMPARISONS.items() if name.startswith(only)}
    if not chosen:
        raise BenchError(f"there is no comparison {only!r}; there are {', '.join(COMPARISONS)}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    state = directory / "bench"
    described = machine()
    with state_lock.held(state):
        for left_over in state.iterdir():
            if left_over.name != "lock":
                shutil.rmtree(left_over, ignore_errors=True)
        rows: list[Row] = []
        for name, compare in chosen.items():
            began = monotonic()
            # Each begins with an empty broker and an empty ClickHouse, so that it does not depend on those before it.
            world = BenchCluster(environ, state / name, say)
            ports.check(world.parts.ports())
            try:
                rows += asyncio.run(_run(world, plan, compare))
            except BenchError as error:
                raise BenchError(f"{name}: {error}\nWhat each part has printed is in {world.directory}.") from error
            results.write(Run(described, rows), directory)
            shutil.rmtree(world.directory, ignore_errors=True)
            say(f"{name}: {monotonic() - began:.0f} s")
    return Run(described, rows)


async def _run(world: BenchCluster, plan: Plan, compare: Compare) -> list[Row]:
    directory = world.parts.broker.jars_directory
    wanted = kafka_jars.missing(directory, kafka_jars.listed())
    kafka_jars.fetch(directory, wanted, repository=world.parts.settings.local.maven_repository)
    async with world.running():
        return await compare(world, plan)
