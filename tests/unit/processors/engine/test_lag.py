"""The lag of partitions: in records and in seconds, also while Kafka or the stage does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from processors.engine.aiokafka_patches import SlimRecord
from processors.engine.lag import CACHED_SECONDS, Lag, LagReader
from processors.engine.offsets import LogOffsets
from processors.engine.partition_task import Backlog
from processors.engine.stage import RecordBatch
from schemas.broker_clock import BrokerClock
from tests.unit.processors.engine.stages import ITEMS

AHEAD_SECONDS = 1000.0
"""The brokers' clock is that far ahead."""


class Kafka:
    """Kafka as the lag sees it: one log, and what the group has committed."""

    def __init__(self) -> None:
        self.log = LogOffsets(0, 10)
        self.group: dict[TP, int] = {}
        self.record_ages: dict[int, float] = {}
        """Age in seconds of the record at each offset."""
        self.is_up = True
        self.reads = 0

    async def read(self, partitions: Iterable[TP]) -> dict[TP, LogOffsets]:
        self.reads += 1
        self._answer()
        return dict.fromkeys(partitions, self.log)

    async def committed(self, group: str, partitions: Iterable[TP]) -> dict[TP, int]:
        assert group == "group"
        self._answer()
        return {tp: self.group[tp] for tp in partitions if tp in self.group}

    async def times(self, offsets: Mapping[TP, int]) -> dict[TP, int]:
        self._answer()
        return {tp: broker_ms(self.record_ages[offset]) for tp, offset in offsets.items() if offset in self.record_ages}

    def _answer(self) -> None:
        if not self.is_up:
            raise KafkaConnectionError


class Worker:
    """A worker that reads one partition."""

    def __init__(self) -> None:
        self.kafka, self.clock = Kafka(), BrokerClock()
        self.clock.observe(int((time.time() + AHEAD_SECONDS) * 1000), time.time(), time.time())
        self.backlog: Backlog | None = waiting(processed_offset=9)
        self.reader = LagReader("group", self.kafka, self.clock, lambda: {ITEMS}, self.backlogs)

    def backlogs(self) -> dict[TP, Backlog]:
        return {} if self.backlog is None else {ITEMS: self.backlog}

    async def lag(self) -> Lag:
        """Measure anew, and return the lag."""
        self.reader._began_at = float("-inf")
        await self.reader.measure()
        return self.reader.lags()[ITEMS]


def broker_ms(age_seconds: float) -> int:
    """Return the brokers' time *age_seconds* ago."""
    return int((time.time() + AHEAD_SECONDS - age_seconds) * 1000)


def waiting(processed_offset: int, *, ready: bool = True, oldest_ms: int | None = None) -> Backlog:
    return Backlog(ready, processed_offset, 0, 0, oldest_ms, None)


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def test_nothing_waits_when_the_end_is_processed(worker: Worker) -> None:
    assert await worker.lag() == Lag(0, 0.0)


async def test_lag_is_the_age_of_the_first_fetched_record(worker: Worker) -> None:
    worker.backlog = waiting(5, oldest_ms=broker_ms(40.0))

    lag = await worker.lag()

    assert lag.records == 4
    assert lag.seconds == pytest.approx(40.0, abs=0.2)


async def test_time_of_a_record_that_was_not_fetched_is_read(worker: Worker) -> None:
    worker.backlog = waiting(5)
    worker.kafka.record_ages = {6: 40.0, 7: 20.0}

    lag = await worker.lag()

    assert lag.records == 4
    assert lag.seconds == pytest.approx(40.0, abs=0.2)


async def test_lag_without_a_time_counts_from_when_it_was_noticed(worker: Worker) -> None:
    worker.backlog = waiting(5)
    first = await worker.lag()
    worker.reader._oldest[ITEMS] = worker.reader._oldest[ITEMS]._replace(time=time.time() + AHEAD_SECONDS - 30.0)

    assert first.seconds < 1.0
    assert (await worker.lag()).seconds == pytest.approx(30.0, abs=0.2)


async def test_expired_records_are_no_lag(worker: Worker) -> None:
    worker.backlog, worker.kafka.log = waiting(5), LogOffsets(8, 10)
    worker.kafka.record_ages = {8: 40.0}

    assert (await worker.lag()).records == 2


@pytest.mark.parametrize("backlog", [None, waiting(-1, ready=False)], ids=["recovering", "without a start"])
@pytest.mark.parametrize(("committed", "records"), [({ITEMS: 4}, 6), ({}, 10)])
async def test_lag_counts_from_the_committed_offset_until_the_start_is_known(
    worker: Worker, backlog: Backlog | None, committed: dict[TP, int], records: int
) -> None:
    worker.backlog, worker.kafka.group = backlog, committed
    worker.kafka.record_ages = {0: 90.0, 4: 50.0}

    lag = await worker.lag()

    assert lag.records == records
    assert lag.seconds == pytest.approx(worker.kafka.record_ages[10 - records], abs=0.2)


async def test_lag_in_seconds_grows_while_kafka_does_not_answer(worker: Worker) -> None:
    worker.backlog = waiting(5, oldest_ms=broker_ms(40.0))
    await worker.lag()
    worker.kafka.is_up = False
    worker.backlog = waiting(5, oldest_ms=broker_ms(70.0))

    lag = await worker.lag()

    assert lag.records == 4
    assert lag.seconds == pytest.approx(70.0, abs=0.2)


async def test_time_without_an_answer_is_known(worker: Worker) -> None:
    await worker.lag()
    answered = worker.reader.unknown_seconds
    assert answered is not None
    worker.reader._answered_at -= 20.0
    worker.kafka.is_up = False
    await worker.lag()

    assert answered < 1.0
    assert worker.reader.unknown_seconds == pytest.approx(20.0, abs=1.0)


async def test_worker_without_partitions_has_no_lag_and_nothing_unknown(worker: Worker) -> None:
    await worker.lag()
    worker.backlog = None
    worker.reader._assigned = set

    assert worker.reader.lags() == {}
    assert worker.reader.unknown_seconds is None


async def test_kafka_is_asked_at_most_once_a_second(worker: Worker) -> None:
    for _ in range(20):
        await worker.reader.measure()

    assert CACHED_SECONDS == 1.0
    assert worker.kafka.reads == 1


@pytest.mark.parametrize(("first_offset", "measured"), [(8, True), (10, True), (11, False), (5, False)])
async def test_record_at_the_end_that_was_asked_for_measures_the_clock(
    worker: Worker, first_offset: int, *, measured: bool
) -> None:
    await worker.lag()
    before = worker.clock.offset_seconds
    # A step of the clock is noticed at once.
    stepped = {10: broker_ms(-500.0)}
    records = [
        SlimRecord(offset, stepped.get(offset, 0), b"", b"", ()) for offset in range(first_offset, first_offset + 4)
    ]

    worker.reader.fetched(ITEMS, RecordBatch(ITEMS.topic, ITEMS.partition, records))

    assert before == pytest.approx(AHEAD_SECONDS, abs=0.1)
    assert worker.clock.offset_seconds == pytest.approx(AHEAD_SECONDS + 500.0 * measured, abs=0.1)
