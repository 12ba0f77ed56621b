"""A consumer of the running pipeline is exact while the worker and the consumer itself are killed."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from schemas.records import Record, item_record
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.support import logs
from tests.support.consumer_programs import errors, killed, program, started, stored
from tests.support.records import track
from tests.support.services import eventually
from tests.support.worker_process import Worker

ROUNDS, COUNT = 4, 200


def items(number: int) -> list[Record]:
    """Return the items of round *number*, a tenth of them twice."""
    fresh = [item_record(track(f"m{each}")) for each in range(number * COUNT, (number + 1) * COUNT)]
    return [*fresh, *fresh[::10]]


def append_late(settings: KafkaSettings, topics: Topics, draws: Random) -> int:
    """Append a batch of old events to each partition, as a worker that was paused does; return their number."""
    late = []
    for partition in range(4):
        events = [record for record in logs.read(settings, topics.events) if record.partition == partition]
        first = draws.randrange(len(events))
        late += [Record(each.key, each.value, each.headers) for each in events[first : first + 40]]
    logs.write(settings, topics.events, late)
    return len(late)


async def consume(settings: KafkaSettings, directory: Path, draws: Random, lives: list[int]) -> None:
    """Run the consumer of the page with a database for ever; it is killed at random."""
    while True:
        # A group of its own joins at once.
        source = killed(program("sqlite3", settings, f"-consumer-{len(lives)}"), draws)
        async with started(source, directory) as process:
            lives.append(process.pid)
            if await process.wait() != -signal.SIGKILL:
                raise AssertionError(await errors(process))


async def without_the_rule(settings: KafkaSettings, directory: Path, records: int) -> list[str]:
    """Return the messageIds that the consumer delivers if it takes each of *records* for new."""
    source = program("sqlite3", settings, "-control")
    broken = source.replace("record.headers):", "record.headers) or True:")
    assert broken != source
    async with started(broken, directory):
        await asyncio.to_thread(eventually, lambda: len(stored(directory)) == records, "all records are stored")
    return stored(directory)


@pytest.mark.timeout(300)
async def test_consumer_of_the_pipeline_delivers_each_event_once(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    draws, lives, late, written = Random(11), list[int](), 0, 0
    directory, control = tmp_path / "consumer", tmp_path / "control"
    directory.mkdir()
    control.mkdir()
    consumer = asyncio.create_task(consume(kafka_settings, directory, Random(12), lives))
    expected = {f"m{each}" for each in range(ROUNDS * COUNT)}

    def processed() -> bool:
        return logs.committed(kafka_settings, f"{topics.prefix}-dedupe", topics.items) == written

    def delivered() -> bool:
        return consumer.done() or set(stored(directory)) >= expected

    try:
        with Worker("dedupe", kafka_settings, tmp_path, faults={"SEQUENCE_TEST_KILL_AT": "produced:2"}) as worker:
            for number in range(ROUNDS):
                await asyncio.to_thread(logs.write, kafka_settings, topics.items, items(number))
                written += len(items(number))
                await asyncio.to_thread(worker.until, processed, "all items are processed")
                late += await asyncio.to_thread(append_late, kafka_settings, topics, draws)
            await asyncio.to_thread(eventually, delivered, "all events are delivered", within_seconds=90)
    finally:
        consumer.cancel()
        await asyncio.wait([consumer])
    assert consumer.cancelled(), consumer.exception()
    log = await asyncio.to_thread(logs.read, kafka_settings, topics.events)
    assert Counter(stored(directory)) == Counter(expected)
    assert worker.exits >= 2, "it was killed, and it ended because of records that it had not written"
    assert len(lives) >= 3
    doubled = await without_the_rule(kafka_settings, control, len(log))
    assert len(doubled) >= len(expected) + late
