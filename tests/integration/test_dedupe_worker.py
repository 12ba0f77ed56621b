"""The dedupe worker as a process, on a real broker: exact, at whatever step it is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from processors.engine.rocksdb import PartitionStore, StoreConfig
from schemas.items import Identify
from schemas.records import Record, identify_record, item_record
from schemas.settings import KafkaSettings, environment, kafka_arguments
from schemas.topics import Topics
from tests.support import logs
from tests.support.marks import in_make_faults
from tests.support.records import identify, track
from tests.support.worker_process import Worker

COUNT = 400
GROUP = "dedupe"


def items(first: int, count: int = COUNT) -> list[Record]:
    """Return *count* items, and every tenth of them a second time with other content."""
    fresh = [item_record(track(f"m{number}")) for number in range(first, first + count)]
    again = [item_record(track(f"m{number}", user_id="someone-else")) for number in range(first, first + count, 10)]
    return [*fresh, *again]


def identifies(count: int) -> list[Identify]:
    """Return *count* identifies of as many users."""
    return [identify(f"i{number}", user_id=f"u{number}", traits=b'{"n":%d}' % number) for number in range(count)]


def entries(directory: Path) -> dict[int, dict[bytes, bytes]]:
    """Return the dedupe entries of each partition below *directory*."""
    found = {}
    for path in sorted((directory / "seen").iterdir()):
        state = PartitionStore(path, StoreConfig(window_ms=7 * 24 * 3600 * 1000))
        found[int(path.name)] = state.entries()
        state.close()
    return found


def check(settings: KafkaSettings, topics: Topics, count: int) -> None:
    """Check that events.v1, read by growing source offset, has *count* messageIds once each, in their first version."""
    seen = logs.first_by_origin(logs.read(settings, topics.events))
    assert Counter(record.key for record in seen) == Counter({b"p/m%d" % number: 1 for number in range(count)})
    assert all(b'"userId":"u"' in record.value for record in seen)


@pytest.fixture
def settings(kafka_settings: KafkaSettings, topics: Topics) -> KafkaSettings:
    assert topics.prefix == kafka_settings.topic_prefix
    return kafka_settings


def committed(settings: KafkaSettings, topics: Topics) -> int:
    return logs.committed(settings, f"{topics.prefix}-{GROUP}", topics.items)


@pytest.mark.parametrize(
    "point", ["produced:1", "applied:2", *in_make_faults("decided:2", "produced:3", "processed:2")]
)
def test_worker_killed_between_steps_loses_and_doubles_nothing(
    settings: KafkaSettings, topics: Topics, tmp_path: Path, point: str
) -> None:
    records = items(0)
    logs.write(settings, topics.items, records)
    with Worker("dedupe", settings, tmp_path, faults={"SEQUENCE_TEST_KILL_AT": point}) as worker:
        worker.until(lambda: committed(settings, topics) == len(records), "all items are processed")
        assert worker.exits == 1, worker.log
    check(settings, topics, COUNT)


@pytest.mark.parametrize("point", ["produced:1", "applied:2", *in_make_faults("decided:2", "processed:2")])
def test_worker_killed_between_steps_loses_no_identify(
    settings: KafkaSettings, topics: Topics, tmp_path: Path, point: str
) -> None:
    made = identifies(COUNT)
    logs.write(settings, topics.items, [*map(item_record, made), *map(item_record, made[::10])])
    with Worker("dedupe", settings, tmp_path, faults={"SEQUENCE_TEST_KILL_AT": point}) as worker:
        worker.until(lambda: committed(settings, topics) == COUNT + COUNT // 10, "all items are processed")
        assert worker.exits == 1, worker.log

    events = {record.key: record for record in logs.first_by_origin(logs.read(settings, topics.events))}
    expected = {}
    for item in made:
        event = events[b"p/" + item.message_id.encode()]
        origin = int(dict(event.headers)["origin"])
        record = identify_record(item, event.value, source_offset=origin, partition=event.partition)
        expected[record.key] = (record.value, record.headers)
    found = logs.read(settings, topics.identifies)
    assert {record.key: (record.value, record.headers) for record in found} == expected
    assert len(found) >= COUNT


def test_deleted_local_state_is_rebuilt_from_the_changelog(
    settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    records = items(0)
    logs.write(settings, topics.items, records)
    with Worker("dedupe", settings, tmp_path) as worker:
        worker.until(lambda: committed(settings, topics) == len(records), "all items are processed")
    before = entries(worker.state)
    shutil.rmtree(worker.state)

    repeats_and_more = [*items(0), *items(COUNT)]
    logs.write(settings, topics.items, repeats_and_more)
    with Worker("dedupe", settings, tmp_path) as worker:
        total = len(records) + len(repeats_and_more)
        worker.until(lambda: committed(settings, topics) == total, "all items are processed")
        assert worker.exits == 0
    check(settings, topics, 2 * COUNT)
    after = entries(worker.state)
    assert {number: {key: after[number][key] for key in found} for number, found in before.items()} == before


def test_invalid_record_is_rejected_and_blocks_nothing(settings: KafkaSettings, topics: Topics, tmp_path: Path) -> None:
    invalid = [Record(b"p/invalid", b"{not json"), Record(b"p/big", b'{"x":"' + b"x" * 1_000_000 + b'"}')]
    records = [*items(0, 10), *invalid, *items(10, 10)]
    logs.write(settings, topics.items, records)
    with Worker("dedupe", settings, tmp_path) as worker:
        worker.until(lambda: committed(settings, topics) == len(records), "all items are processed")
        assert worker.exits == 0
    check(settings, topics, 20)
    rejected = logs.read(settings, topics.rejected)
    assert sorted(b'"code":"not_an_item"' in record.value for record in rejected) == [False, True]
    assert any(b'"code":"item_too_large"' in record.value for record in rejected)
    assert all(b'"sourceTopic":"items.v1"' in record.value for record in rejected)


async def create(kafka: KafkaSettings, names: dict[str, int]) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
    try:
        await admin.start()
        await admin.create_topics([NewTopic(name, count, 1) for name, count in names.items()])
    finally:
        await admin.close()


def test_worker_refuses_topics_that_differ_in_partitions(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    topics = Topics(kafka_settings.topic_prefix)
    asyncio.run(create(kafka_settings, {topics.items: 4, topics.events: 3, topics.duplicates: 4, topics.identifies: 4}))
    with Worker("dedupe", kafka_settings, tmp_path) as worker:
        worker.until(lambda: worker.exits > 0, "the worker exits")
        assert "must have the same number of partitions" in worker.log


def test_worker_refuses_to_start_without_the_identifies_topic(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    topics = Topics(kafka_settings.topic_prefix)
    asyncio.run(create(kafka_settings, {topics.items: 4, topics.events: 4, topics.duplicates: 4}))
    with Worker("dedupe", kafka_settings, tmp_path) as worker:
        worker.until(lambda: worker.exits > 0, "the worker exits")
        assert topics.identifies in worker.log
        assert "sequence topics apply" in worker.log


def test_worker_names_missing_topics(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    with Worker("dedupe", kafka_settings, tmp_path) as worker:
        worker.until(lambda: worker.exits > 0, "the worker exits")
        assert f"{kafka_settings.topic_prefix}.items.v1" in worker.log
        assert "sequence topics apply" in worker.log


def start_without_kafka(directory: Path, servers: str) -> subprocess.CompletedProcess[str]:
    """Run a dedupe worker that waits for Kafka for a second only."""
    script = (
        "from processors.engine import connect; from deploy.cli import main; "
        "connect.START_SECONDS = 1.0; main(['worker', 'dedupe'])"
    )
    environ = {
        **os.environ,
        **environment(KafkaSettings(bootstrap_servers=servers)),
        "SEQUENCE_WORKER_DIR": str(directory),
    }
    return subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False, timeout=30
    )


def test_worker_without_kafka_says_so_in_one_sentence(tmp_path: Path) -> None:
    ended = start_without_kafka(tmp_path, "127.0.0.1:1")
    address, first, last = ended.stderr.splitlines()

    assert "metrics and health: http://" in address
    assert ended.returncode == os.EX_SOFTWARE
    assert "cannot start, exiting with code 70 (a restart retries): Kafka at 127.0.0.1:1 did not answer" in last
    assert "Kafka at 127.0.0.1:1 does not answer: 1 attempts failed" in first


def test_broker_that_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ended = start_without_kafka(tmp_path, f"127.0.0.1:{mute.getsockname()[1]}")

    assert ended.returncode == os.EX_SOFTWARE
    assert "cannot start, exiting with code 70 (a restart retries): Kafka at" in ended.stderr.splitlines()[-1]
