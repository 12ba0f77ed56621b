"""Runs the chosen comparisons in order and writes their results."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic

from deploy.embedded import kafka_jars
from deploy.local import ports, state_lock
from tests.benchmarks import (
    baseline,
    catalog,
    console,
    cookbook,
    dedupe,
    end_to_end,
    functions,
    gateway,
    names,
    persons,
    recovery,
    results,
    sink,
)
from tests.benchmarks.cluster import BenchCluster
from tests.benchmarks.errors import BenchError
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Run
from tests.benchmarks.usage import machine

Compare = Callable[[BenchCluster, Plan], Awaitable[list[Row]]]

COMPARISONS: Mapping[str, Compare] = {
    "baseline": baseline.compare,
    "gateway": gateway.compare,
    "dedupe": dedupe.compare,
    "states": dedupe.compare_states,
    "persons": persons.compare,
    "sink": sink.compare,
    "names": names.compare,
    "functions": functions.compare,
    "catalog": catalog.compare,
    "cookbook": cookbook.compare,
    "recovery": recovery.compare,
    "end-to-end": end_to_end.compare,
    "console": console.compare,
}
"""Comparisons by name, as `--only` selects them."""


def run(environ: Mapping[str, str], plan: Plan, only: str, directory: Path, say: Callable[[str], None]) -> Run:
    """Run the comparisons whose names start with *only*; write the results to *directory*."""
    chosen = {name: compare for name, compare in COMPARISONS.items() if name.startswith(only)}
    if not chosen:
        raise BenchError(f"No comparison starts with {only!r}. Available: {', '.join(COMPARISONS)}.")
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
            # Each comparison starts with empty servers, so that it does not depend on the ones before it.
            cluster = BenchCluster(environ, state / name, say)
            ports.check(cluster.services.ports())
            try:
                rows += asyncio.run(_run(cluster, plan, compare))
            except BenchError as error:
                raise BenchError(f"{name}: {error}\nThe logs of its services are in {cluster.directory}.") from error
            results.write(Run(described, rows), directory)
            shutil.rmtree(cluster.directory, ignore_errors=True)
            say(f"{name}: {monotonic() - began:.0f} s")
    return Run(described, rows)


async def _run(cluster: BenchCluster, plan: Plan, compare: Compare) -> list[Row]:
    directory = cluster.services.brokers[0].jars_directory
    wanted = kafka_jars.missing(directory, kafka_jars.listed())
    kafka_jars.fetch(directory, wanted, repository=cluster.services.settings.local.maven_repository)
    async with cluster.running():
        return await compare(cluster, plan)
