"""`sequence bench`: the comparisons in order, and what is made of them."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic

from deploy.bench import dedupe, floor, gateway, persons, recovery, results, sink, whole
from deploy.bench.plan import Plan
from deploy.bench.results import Row, Run
from deploy.bench.site import World
from deploy.bench.usage import machine
from deploy.errors import BenchError
from deploy.local import jars, lock, ports

Compare = Callable[[World, Plan], Awaitable[list[Row]]]

COMPARISONS: Mapping[str, Compare] = {
    "floor": floor.compare,
    "gateway": gateway.compare,
    "dedupe": dedupe.compare,
    "states": dedupe.compare_states,
    "persons": persons.compare,
    "sink": sink.compare,
    "recovery": recovery.compare,
    "whole": whole.compare,
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
    with lock.held(state):
        for left_over in state.iterdir():
            if left_over.name != "lock":
                shutil.rmtree(left_over, ignore_errors=True)
        rows: list[Row] = []
        for name, compare in chosen.items():
            began = monotonic()
            # Each begins with an empty broker and an empty ClickHouse, so that it does not depend on those before it.
            world = World(environ, state / name, say)
            ports.check(world.parts.ports())
            try:
                rows += asyncio.run(_run(world, plan, compare))
            except BenchError as error:
                raise BenchError(f"{name}: {error}\nWhat each part has printed is in {world.directory}.") from error
            results.write(Run(described, rows), directory)
            shutil.rmtree(world.directory, ignore_errors=True)
            say(f"{name}: {monotonic() - began:.0f} s")
    return Run(described, rows)


async def _run(world: World, plan: Plan, compare: Compare) -> list[Row]:
    directory = world.parts.broker.jars_directory
    wanted = jars.missing(directory, jars.listed())
    jars.fetch(directory, wanted, repository=world.parts.settings.local.maven_repository)
    async with world.running():
        return await compare(world, plan)
