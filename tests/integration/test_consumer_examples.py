"""The consumers of `docs/consumers.md` run as they are shown, apart from addresses, on a real broker."""

from __future__ import annotations

import asyncio
import json
import signal
from asyncio.subprocess import Process
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from schemas.records import Record, event_headers
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.support import logs
from tests.support.consumer_programs import errors, killed, line, printed, program, started, stored
from tests.support.services import eventually

NO_CONFLUENT = pytest.mark.skipif(find_spec("confluent_kafka") is None, reason="confluent-kafka is not installed")

# What a worker leaves that was paused after two records and resumed after another had written all three.
REPEATED = [3, 5, 8, 3, 5, 9]


def event(source_offset: int, key: bytes = b"dev/same-partition") -> Record:
    message_id = f"m-{source_offset}"
    value = json.dumps({"messageId": message_id}).encode()
    return Record(key, value, event_headers(message_id.encode(), source_offset))


def names(source_offsets: Iterable[int]) -> list[str]:
    return [f"m-{source_offset}" for source_offset in source_offsets]


async def write(settings: KafkaSettings, topics: Topics, source_offsets: Iterable[int]) -> None:
    """Write an event for each of *source_offsets*, all to one partition, one after the other."""
    await asyncio.to_thread(logs.write, settings, topics.events, map(event, source_offsets))


async def stored_when(directory: Path, expected: Sequence[str]) -> list[str]:
    """Return the messageIds in the database once they have as many as *expected*."""
    await asyncio.to_thread(eventually, lambda: len(stored(directory)) >= len(expected), f"{len(expected)} are stored")
    return stored(directory)


async def test_rule_in_a_few_lines_prints_each_event_once(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    await write(kafka_settings, topics, REPEATED)

    assert await printed(program("highest source offset", kafka_settings), tmp_path, lines=4) == names((3, 5, 8, 9))


async def test_reader_of_rejected_items_prints_them(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    value = json.dumps({"messageId": "m-1", "code": "event_required"}).encode()
    await asyncio.to_thread(logs.write, kafka_settings, topics.rejected, [Record(b"dev/digest", value, ())])

    assert await printed(program("rejected.v1", kafka_settings), tmp_path, lines=1) == ["m-1"]


@pytest.mark.parametrize(
    ("memory", "expected"), [(True, (3, 5, 8, 9, 12)), (False, (3, 5, 8, 5, 9, 12))], ids=["helper", "control"]
)
async def test_consumer_with_a_database_continues_inside_a_dip(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path, *, memory: bool, expected: tuple[int, ...]
) -> None:
    source = program("sqlite3", kafka_settings, "-2")
    if not memory:
        known = "            self.consumer.seek(tp, offset)"
        assert source.count(known) == 1
        source = source.replace(
            known, f"            offsets.resume(tp.partition, None, log_start=0, log_end=0)\n{known}"
        )
    await write(kafka_settings, topics, REPEATED[:4])
    async with started(program("sqlite3", kafka_settings, "-1"), tmp_path) as process:
        while '"next_offset":4' not in await line(process):
            pass
    await write(kafka_settings, topics, [*REPEATED[4:], 8, 12])

    async with started(source, tmp_path):
        assert await stored_when(tmp_path, names(expected)) == names(expected)


async def test_consumers_with_a_database_are_exact_when_killed(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    log = [each for first in range(0, 1000, 100) for each in (*range(first, first + 100), *range(first, first + 50))]
    expected = names(sorted(set(log)))
    await write(kafka_settings, topics, log)
    draws, kills = Random(7), 0
    while len(stored(tmp_path)) < len(expected):
        # A group of its own joins at once.
        source = killed(program("sqlite3", kafka_settings, f"-{kills}"), draws)
        async with started(source, tmp_path) as process:

            def ended(process: Process = process) -> bool:
                return process.returncode is not None or len(stored(tmp_path)) == len(expected)

            await asyncio.to_thread(eventually, ended, "the consumer was killed, or has stored everything")
            kills += process.returncode == -signal.SIGKILL

    assert stored(tmp_path) == expected
    assert kills >= 3


@pytest.mark.parametrize("condition", [True, False], ids=["condition", "control"])
async def test_consumer_that_lost_its_partitions_while_paused_writes_nothing(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path, *, condition: bool
) -> None:
    source = program("sqlite3", kafka_settings).replace("group_id=GROUP", "group_id=GROUP, session_timeout_ms=6000")
    # The first consumer stands still before its second transaction.
    stop = f"    records[0].offset and __import__('signal').raise_signal({signal.SIGSTOP:d})\n    with db:"
    held = source.replace("    with db:", stop)
    assert held != source
    if not condition:
        held = held.replace(" AND state = ?", "").replace("[after, partition, before]", "[after, partition]")
    await write(kafka_settings, topics, [3])
    async with started(held, tmp_path) as first:
        await line(first)
        await write(kafka_settings, topics, [5, 8])
        async with started(source, tmp_path):
            await stored_when(tmp_path, names((3, 5, 8)))
            first.send_signal(signal.SIGCONT)
            if not condition:
                assert (await stored_when(tmp_path, names((3, 5, 8, 5))))[:4] == names((3, 5, 8, 5))
                return
            async with asyncio.timeout(60):
                await first.wait()
            assert "another consumer has continued partition" in await errors(first)
            await write(kafka_settings, topics, [5, 9])
            assert await stored_when(tmp_path, names((3, 5, 8, 9))) == names((3, 5, 8, 9))


@NO_CONFLUENT
async def test_consumer_with_a_commit_continues_inside_a_dip(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    source = program("confluent_kafka", kafka_settings)
    # It says what it has committed, and leaves the group when it is terminated.
    source = source.replace(
        "asynchronous=False)", "asynchronous=False)\n            print(commits[0].offset, flush=True)"
    )
    source = "import signal\nsignal.signal(signal.SIGTERM, signal.default_int_handler)\n" + source
    await write(kafka_settings, topics, REPEATED[:4])
    async with started(source, tmp_path) as process:
        before = [await line(process)]
        while before[-1] != "4":
            before.append(await line(process))
        process.terminate()
        await process.wait()
    await write(kafka_settings, topics, [*REPEATED[4:], 8, 12])
    async with started(source, tmp_path) as process:
        after = [await line(process)]
        while after[-1] != "8":
            after.append(await line(process))

    shown = [json.loads(each)["messageId"] for each in (*before, *after) if each.startswith("{")]
    assert shown == names((3, 5, 8, 9, 12))
