"""The table `lag` and the view `lag_now`: written beside a stage that hangs, and telling since when it lags."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from deploy.operate import lag_samples
from deploy.operate.kafka_reader import Members
from deploy.operate.lag import StageLag
from deploy.operate.lag_samples import Recorder, Row, rows
from deploy.operate.offsets import Input
from processors.clickhouse.client import ClickHouse
from tests.support import logs
from tests.support.services import eventually
from tests.support.sink_pipeline import Pipeline

NOW = round(time.time())


@pytest.fixture(autouse=True)
def _empty(client: ClickHouse) -> None:
    client.execute("TRUNCATE TABLE lag")


def sink(waiting: Sequence[int], oldest: float | None, now: float, members: int = 1) -> list[Row]:
    """Return the sample of a sink at *now*, with records that wait since *oldest* in its partitions."""
    inputs = {
        ("s.events.v1", number): Input("s.events.v1", number, 0, 100, 100 - count)
        for number, count in enumerate(waiting)
    }
    times = {key: round(1000 * oldest) for key in inputs} if oldest is not None else {}
    return list(rows([StageLag("sink", Members("Stable", ("host",) * members), inputs, times)], "s", now))


def write(client: ClickHouse, *samples: list[Row]) -> None:
    body = b"\n".join(msgspec.json.encode(row) for sample in samples for row in sample)
    client.execute("INSERT INTO lag FORMAT JSONEachRow", body)


def newest(client: ClickHouse) -> dict[str, object]:
    [row] = client.query("SELECT * FROM lag_now")
    return row


def moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.000"


def test_stage_that_keeps_up_has_no_since(client: ClickHouse) -> None:
    write(client, sink([0, 0], None, NOW - 20), sink([5, 0], NOW - 12, NOW - 10), sink([0, 0], None, NOW))
    row = newest(client)

    assert (row["stage"], row["measured_at"], row["workers"]) == ("sink", moment(NOW), 1)
    assert (int(str(row["waiting"])), row["seconds"], row["since"]) == (0, 0, None)


def test_since_is_the_arrival_of_the_first_record_that_waited(client: ClickHouse) -> None:
    """The sink writes some of it meanwhile, so that the oldest record that waits now is a later one."""
    write(
        client,
        *(sink([9, 9], NOW - 400, NOW - 350), sink([0, 0], None, NOW - 300)),
        *(sink([1, 0], NOW - 105, NOW - 100), sink([50, 0], NOW - 104, NOW - 90), sink([70, 7], NOW - 30, NOW)),
    )
    row = newest(client)

    assert (int(str(row["waiting"])), row["seconds"], row["since"]) == (77, 30, moment(NOW - 104))


def test_age_that_could_not_be_read_neither_begins_nor_ends_a_lag(client: ClickHouse) -> None:
    write(client, sink([0], None, NOW - 60), sink([5], NOW - 45, NOW - 20), sink([8], None, NOW, members=0))
    row = newest(client)

    assert (row["workers"], row["seconds"], row["since"]) == (0, None, moment(NOW - 45))


def test_measurement_says_how_old_it_is(client: ClickHouse) -> None:
    write(client, sink([0], None, time.time() - 3600))

    assert 3600 <= float(str(newest(client)["age_seconds"])) < 3700


def test_records_that_no_worker_reads_are_recorded_until_they_are_committed(
    client: ClickHouse, pipeline: Pipeline
) -> None:
    pipeline.send(20)
    topics = pipeline.topics

    assert asyncio.run(recorded(pipeline, client.database)) > 0
    assert behind(client) == {"dedupe": (20, True), "sink": (20, True)}

    for stage, topic in (("dedupe", topics.items), ("sink", topics.events)):
        logs.commit(pipeline.kafka, f"{topics.prefix}-{stage}", topic, logs.ends(pipeline.kafka, topic))
    asyncio.run(recorded(pipeline, client.database))

    assert behind(client) == {}


def behind(client: ClickHouse) -> dict[str, tuple[int, bool]]:
    """Return the records that wait for each stage, and whether they are from this test."""
    found = client.query("SELECT stage, waiting, seconds < 60 AS is_young FROM lag_now WHERE waiting > 0")
    return {row["stage"]: (int(row["waiting"]), bool(row["is_young"])) for row in found}


async def recorded(pipeline: Pipeline, database: str) -> int:
    """Record a sample, and return the number of its rows."""
    recorder = Recorder(pipeline.kafka, replace(pipeline.clickhouse, database=database))
    try:
        return await recorder.record()
    finally:
        await recorder.close()


def test_failing_clickhouse_skips_samples_and_is_logged_once(
    client: ClickHouse, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(pipeline.clickhouse, database=client.database)

    async def sampled() -> None:
        running = asyncio.create_task(lag_samples.run(pipeline.kafka, settings, 0.05))
        try:
            await until(lambda: len(caplog.records) > 0)
            # The samples that fail meanwhile are no other message.
            await asyncio.to_thread(client.query, "SELECT sleep(0.3)")
            await asyncio.to_thread(client.execute, "RENAME TABLE lag_away TO lag")
            await until(lambda: client.query("SELECT 1 FROM lag LIMIT 1") != [])
        finally:
            running.cancel()
            await asyncio.wait({running})

    client.execute("RENAME TABLE lag TO lag_away")
    with caplog.at_level(logging.WARNING, lag_samples.__name__):
        asyncio.run(sampled())

    [logged] = [each.getMessage() for each in caplog.records if each.name == lag_samples.__name__]
    assert logged.startswith("the lag cannot be recorded and is measured again: ClickHouse at ")


async def until(condition: Callable[[], bool]) -> None:
    """Wait in a thread until *condition* holds."""
    await asyncio.to_thread(eventually, condition, "the condition of the test holds")
