"""The catalogue: CPU time of its passes beside that of the INSERTs, and the rate of INSERTs with and without it.

For the CPU time, INSERTs and passes take turns, so that each has its own. A pass begins when no merge is running, as
most end in the 25 seconds between two passes of the sink: by then merges have put some new rows beside counted ones,
which the pass reads again. Looks run meanwhile, as in the sink, and one that finds a large merge of new rows begins the
pass; merges stop until it has ended.

For the rate, passes run in a thread beside the INSERTs, as in the sink. Each candidate begins with an empty table:
otherwise the merge of each 2,000,000 rows would fall to the same candidate. The typed views are made before: a sink
makes those of all events once after its start, and later those that change. "views CPU s" is what that takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from random import random
from time import monotonic, perf_counter

import msgspec

from processors.clickhouse.client import ClickHouse
from processors.engine.metrics import WorkerMetrics
from processors.sink.catalog import LOOK_SECONDS, catalog
from processors.sink.catalog_counter import Counter
from processors.sink.catalog_statement import SOURCES
from processors.sink.catalog_store import ClickHouseCatalog
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, Row
from schemas.clickhouse import EVENTS
from tests.benchmarks.cluster import BenchCluster, Namespace, until
from tests.benchmarks.names import BLOCK_ROWS, NamedRows
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row as Result
from tests.benchmarks.results import Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured
from tests.contracts.sinks import valid_lease

NAMES = (60, 6_000)
PASS_ROWS = 200_000
"""Rows of a pass: those of 25 seconds at 8,000 rows a second."""
PARTITIONS = 4
SCANS = 3
"""How often a pass reads its rows: with their properties, and twice without."""
UNIT = "rows/s"


@dataclass(slots=True)
class Load:
    """Makes blocks of rows with new source offsets, partition by partition, from rows that are made once."""

    blocks: Iterator[Block]
    made: int = 0

    def next(self, count: int) -> list[Block]:
        """Return the next *count* blocks."""
        return [self._renewed(block) for block in islice(self.blocks, count)]

    def _renewed(self, block: Block) -> Block:
        number, self.made = self.made, self.made + 1
        partition, first = number % PARTITIONS, number // PARTITIONS * BLOCK_ROWS
        rows: list[Row] = [
            msgspec.structs.replace(
                row, partition=partition, source_offset=first + at, message_id=f"m-{partition}-{first + at}"
            )  # type: ignore[call-arg, unused-ignore]  # every row of `events` has it
            for at, row in enumerate(block.rows)
        ]
        return Block(EVENTS, partition, rows)


class FirstLook:
    """A task of the catalogue's thread, run after the others: says when each has run once."""

    def __init__(self) -> None:
        self.done = threading.Event()

    def run(self, now: float) -> None:
        """Note that the others have run."""
        del now
        self.done.set()

    def forget(self) -> None:
        """Know nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One database with the catalogue, and rows with a number of names: whole blocks, and whole passes."""

    namespace: Namespace
    clickhouse: ClickHouse
    load: Load
    rows: int

    async def turns(self) -> tuple[Sample, Sample]:
        """Insert and count in turns; return both. The value is the CPU time in microseconds a row."""
        pids = {"clickhouse": self.namespace.cluster.pids()["clickhouse"]}
        sink = ClickHouseSink(self.clickhouse)
        counter = Counter(SOURCES[0], ClickHouseCatalog(self.clickhouse), valid_lease)
        inserted = counted = 0.0
        read = 0
        pass_rows = min(PASS_ROWS, self.rows)
        for _ in range(self.rows // pass_rows):
            blocks = self.load.next(pass_rows // BLOCK_ROWS)
            async with measured(pids) as inserts:
                for block in blocks:
                    await asyncio.to_thread(sink.insert, [block], valid_lease)
            await self._wait_for_pass(counter)
            # A merge that is running has changed nothing yet. Its CPU time is not that of the pass.
            await asyncio.to_thread(self.clickhouse.execute, "SYSTEM STOP MERGES events")
            async with measured(pids) as passes:
                read += await asyncio.to_thread(_count, counter)
            await asyncio.to_thread(self.clickhouse.execute, "SYSTEM START MERGES events")
            await until(self._no_merges, "merges to end", every_seconds=0.05)
            inserted += inserts.cpu_seconds["clickhouse"]
            counted += passes.cpu_seconds["clickhouse"]
        rows = self.rows // pass_rows * pass_rows
        more = {"share %": 100 * counted / inserted, "read/new": read / SCANS / rows}
        return Sample(inserted / rows * 1e6), Sample(counted / rows * 1e6, more=more)

    async def _wait_for_pass(self, counter: Counter) -> None:
        """Return when the sink would begin a pass: at a look that finds a large merge, or when merges have ended."""
        next_look = monotonic() + LOOK_SECONDS * random()  # no secret

        async def is_time() -> bool:
            nonlocal next_look
            if await self._no_merges():
                return True
            if monotonic() < next_look:
                return False
            next_look += LOOK_SECONDS
            return await asyncio.to_thread(lambda: counter.is_mixing(counter.look()))

        await until(is_time, "merges to end", every_seconds=0.05)

    async def _no_merges(self) -> bool:
        merges = await asyncio.to_thread(self.clickhouse.query, "SELECT count() AS running FROM system.merges")
        return int(merges[0]["running"]) == 0

    async def rate(self, *, counts: bool) -> Sample:
        """Insert rows into the empty table as fast as possible; the value is the rate. Typed views are made before."""
        pids = {"clickhouse": self.namespace.cluster.pids()["clickhouse"]}
        first_look = FirstLook()
        kept = catalog(self.namespace.services.clickhouse_settings, valid_lease, WorkerMetrics(), [first_look])
        async with measured(pids) as start:
            if counts:
                kept.start()
                kept.set_owner(counts=True)
                await until(first_look.done.is_set, "typed views to be made", every_seconds=0.05)
        await asyncio.to_thread(self.clickhouse.execute, "TRUNCATE TABLE events")
        sink = ClickHouseSink(self.clickhouse)
        blocks = self.load.next(self.rows // BLOCK_ROWS)
        async with measured(pids) as used:
            began = perf_counter()
            for block in blocks:
                await asyncio.to_thread(sink.insert, [block], valid_lease)
            seconds = perf_counter() - began
        kept.stop()
        await asyncio.to_thread(_count, Counter(SOURCES[0], ClickHouseCatalog(self.clickhouse), valid_lease))
        rows = len(blocks) * BLOCK_ROWS
        more = {"views CPU s": start.cpu_seconds["clickhouse"]} if counts else {}
        return Sample(rows / seconds, used.per_million(rows), more=more)


def _count(counter: Counter) -> int:
    """Count everything and return the rows that were read."""
    read = 0
    while (lag := counter.look()).ranges:
        if (done := counter.count(lag)) is not None:
            read += done.work.read_rows
    return read


async def compare(cluster: BenchCluster, plan: Plan) -> list[Result]:
    """Compare INSERTs with passes, and the rate of INSERTs with and without them."""
    results: list[Result] = []
    async with cluster.namespace("catalog") as namespace:
        clickhouse = await asyncio.to_thread(namespace.migrate)
        for names in NAMES:
            await asyncio.to_thread(clickhouse.execute, "TRUNCATE TABLE events")
            await asyncio.to_thread(ClickHouseCatalog(clickhouse).begin_generation)
            made = list(NamedRows("properties", names).blocks(EVENTS, min(PASS_ROWS, plan.counted_rows)))
            trial = Trial(namespace, clickhouse, Load(cycle(made)), plan.counted_rows)
            results += await _of_names(trial, names, plan, cluster)
    return results


async def _of_names(trial: Trial, names: int, plan: Plan, cluster: BenchCluster) -> list[Result]:
    group = f"catalogue: CPU time, {names:,} names"
    samples = [await trial.turns() for _ in range(plan.rounds)]
    inserts, passes = [list(each) for each in zip(*samples, strict=True)]
    for sample in passes:
        cluster.say(f"{group}: a pass takes {sample.more['share %']:.0f} % of its INSERTs")
    unit = "µs of CPU/row"
    rates = await run_interleaved(
        f"catalogue: rate, {names:,} names",
        [
            Candidate("without the catalogue", UNIT, lambda: trial.rate(counts=False)),
            Candidate("with the catalogue", UNIT, lambda: trial.rate(counts=True)),
        ],
        plan.rounds,
        cluster.say,
    )
    return [Result(group, "INSERT", unit, inserts), Result(group, "pass", unit, passes), *rates]
