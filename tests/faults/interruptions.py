"""Interruptions of a worker under test: signals at failpoints, lost batches, mutants.

`tests.faults.worker` applies in a worker process what its environment asks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gateway.http import ingest_handler
from gateway.kafka import publisher
from processors.clickhouse import partition_key
from processors.clickhouse.client import ClickHouse
from processors.dedupe.stage import DedupeStage
from processors.engine import failpoints
from processors.engine.fetch_epochs import FetchEpochs
from processors.engine.stage import RecordBatch
from processors.sink.insert import ClickHouseSink
from tests.faults.mutants import MUTANTS, Patch
from tests.faults.shifted_clocks import ShiftedTime
from tests.faults.worker import CLOCKS, COPY_SECONDS, KILL_AT, LOSE, STOP_AT, STUCK, WITHOUT

POINTS = frozenset(
    {"decided", "produced", "applied", "inserted", "processed"}
    | {"recorded", "kept", "removed", "listed", "noted", "hidden"}
)
INSERTING = "inserting"
"""A point of the tests alone: before an INSERT is made, its lease included."""

log = logging.getLogger(__name__)


def arm(environ: Mapping[str, str], patch: Patch) -> None:
    """Apply what *environ* asks for; ValueError for a failpoint or mutant that does not exist."""
    signals: dict[str, tuple[signal.Signals, int]] = {}
    for variable, number in ((KILL_AT, signal.SIGKILL), (STOP_AT, signal.SIGSTOP)):
        if place := environ.get(variable):
            point, _, times = place.partition(":")
            if point not in POINTS | {INSERTING}:
                raise ValueError(f"{variable}: no such failpoint: {point}")
            signals[point] = number, int(times or "1")
            log.warning("TEST: this worker sends itself %s at %s", number.name, place)
    if signals:
        hit = _signalling(signals)
        patch(failpoints, "hit", hit)
        patch(ClickHouseSink, "insert", _hitting(hit, ClickHouseSink.insert))
    if every := environ.get(LOSE):
        patch(FetchEpochs, "is_current", _losing(FetchEpochs.is_current, int(every)))
        log.warning("TEST: this worker loses one fetched batch in %s", every)
    if directory := environ.get(CLOCKS):
        patch(publisher, "time", ShiftedTime(Path(directory) / "broker"))
        patch(ingest_handler, "time", ShiftedTime(Path(directory) / "gateway"))
        log.warning("TEST: the clocks of this gateway are those in %s", directory)
    _delay(environ, patch)
    if mechanism := environ.get(WITHOUT):
        if mechanism not in MUTANTS:
            raise ValueError(f"{WITHOUT}: no such mutant: {mechanism}")
        MUTANTS[mechanism](patch)
        log.warning("TEST: this worker runs without %s and loses or doubles events", mechanism)


def _delay(environ: Mapping[str, str], patch: Patch) -> None:
    if file := environ.get(STUCK):
        patch(DedupeStage, "process", _sticking(DedupeStage.process, Path(file)))
    if seconds := environ.get(COPY_SECONDS):
        patch(partition_key, "_copy", _lasting(partition_key._copy, float(seconds)))


def _sticking(
    process: Callable[[DedupeStage, RecordBatch], Awaitable[None]], file: Path
) -> Callable[[DedupeStage, RecordBatch], Awaitable[None]]:
    async def waits(self: DedupeStage, batch: RecordBatch) -> None:
        while file.exists() and batch.partition == int(file.read_text()):  # noqa: ASYNC110, ASYNC240  # a file has no event
            await asyncio.sleep(0.2)
        await process(self, batch)

    return waits


def _lasting(copy: Callable[[ClickHouse, str, str], int], seconds: float) -> Callable[[ClickHouse, str, str], int]:
    def copies_and_waits(clickhouse: ClickHouse, table: str, target: str) -> int:
        rows = copy(clickhouse, table, target)
        time.sleep(seconds)
        return rows

    return copies_and_waits


def _signalling(signals: Mapping[str, tuple[signal.Signals, int]]) -> Callable[[str], None]:
    hits: Counter[str] = Counter()

    def hit(name: str) -> None:
        hits[name] += 1
        if name in signals and hits[name] % signals[name][1] == 0:
            os.kill(os.getpid(), signals[name][0])

    return hit


def _hitting(hit: Callable[[str], None], insert: Callable[..., None]) -> Callable[..., None]:
    def hitting(*arguments: object) -> None:
        hit(INSERTING)
        insert(*arguments)

    return hitting


def _losing(is_current: Callable[..., bool], every: int) -> Callable[..., bool]:
    fetched: Counter[str] = Counter()

    def loses_every_nth(*arguments: object) -> bool:
        if not is_current(*arguments):
            return False
        fetched[LOSE] += 1
        return fetched[LOSE] % every != 0

    return loses_every_nth
