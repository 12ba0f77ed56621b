"""Duplicates from `items.v1` to the table, through both workers: each once, whichever step is interrupted.

Rows are counted with merges stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from processors.clickhouse.client import ClickHouse
from schemas.records import item_record, source_offset_of
from schemas.settings import ClickHouseSettings, KafkaSettings, environment
from schemas.topics import Topics
from tests.support import databases, logs
from tests.support.marks import in_make_faults
from tests.support.records import identify, track
from tests.support.services import clickhouse_settings
from tests.support.worker_process import Worker

COUNT = 400
RETRIES = range(0, COUNT, 5)
OTHERS = range(0, COUNT, 20)


@pytest.fixture
def tables(clickhouse: str) -> Iterator[ClickHouseSettings]:
    """A database without merges."""
    settings = clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    databases.create(settings)
    client = ClickHouse(settings)
    client.execute(f"SYSTEM STOP MERGES {settings.database}.duplicates")
    yield settings
    client.execute(f"DROP DATABASE {settings.database}")
    client.close()


def send(kafka: KafkaSettings, topics: Topics) -> int:
    """Write items, retries of some with the same content, and others with other content; return their number."""
    first = [identify(f"m{n}") if n % 4 == 0 else track(f"m{n}") for n in range(COUNT)]
    retries = [msgspec.structs.replace(first[n], received_at="2026-01-01T00:07:00.000000Z") for n in RETRIES]
    others = [msgspec.structs.replace(first[n], user_id="someone-else") for n in OTHERS]
    items = [*first, *retries, *others]
    logs.write(kafka, topics.items, map(item_record, items))
    return len(items)


def dedupe(kafka: KafkaSettings, topics: Topics, directory: Path, count: int, **faults: str) -> None:
    """Run a dedupe worker until it has processed *count* items; it is killed once if there are *faults*."""
    with Worker("dedupe", kafka, directory, faults=faults) as worker:
        worker.until(
            lambda: logs.committed(kafka, f"{topics.prefix}-dedupe", topics.items) == count, "all is processed"
        )
        assert worker.exits == len(faults), worker.log


def load(kafka: KafkaSettings, topics: Topics, tables: ClickHouseSettings, directory: Path, **faults: str) -> None:
    """Run a sink until it has read all duplicates; it is killed once if there are *faults*."""
    with Worker("sink", kafka, directory, environ=environment(tables), faults=faults) as worker:
        group, end = f"{topics.prefix}-sink", sum(logs.ends(kafka, topics.duplicates).values())
        worker.until(lambda: logs.committed(kafka, group, topics.duplicates) == end, "all duplicates are read")
        events = sum(logs.ends(kafka, topics.events).values())
        worker.until(lambda: logs.committed(kafka, group, topics.events) == events, "all events are read")
        assert worker.exits == len(faults), worker.log


def query(tables: ClickHouseSettings, sql: str) -> list[dict[str, Any]]:
    client = ClickHouse(tables)
    try:
        return [dict(row) for row in client.query(sql)]
    finally:
        client.close()


def check(kafka: KafkaSettings, topics: Topics, tables: ClickHouseSettings) -> None:
    """Check that each duplicate is one row with its source offset, its content and its first item."""
    items = {(record.partition, record.offset): record for record in logs.read(kafka, topics.items)}
    first: dict[bytes, int] = {}
    expected = []
    for (partition, offset), record in items.items():
        begun = first.setdefault(record.key, offset)
        if begun != offset:
            same = b"someone-else" not in record.value
            expected.append((partition, offset, begun, same, record.value.decode()))
    rows = query(tables, "SELECT _partition, _origin, first_origin, same_content, content FROM duplicates")
    found = [
        (
            int(row["_partition"]),
            int(row["_origin"]),
            int(row["first_origin"]),
            bool(row["same_content"]),
            row["content"],
        )
        for row in rows
    ]
    assert sorted(found) == sorted(expected)
    assert len(found) == len(RETRIES) + len(OTHERS)
    joined = query(
        tables,
        "SELECT count() AS rows FROM duplicates AS d INNER JOIN"
        " (SELECT message_id, _log, _partition, _origin FROM events UNION ALL"
        " SELECT message_id, _log, _partition, _origin FROM identifies) AS e"
        " ON e._log = d._log AND e._partition = d._partition AND e._origin = d.first_origin"
        " WHERE e.message_id = d.message_id",
    )
    assert int(joined[0]["rows"]) == len(found)


@pytest.mark.parametrize("point", ["decided:2", *in_make_faults("decided:1", "produced:2", "applied:3")])
def test_dedupe_killed_between_duplicates_and_events_doubles_no_row(
    kafka_settings: KafkaSettings, topics: Topics, tables: ClickHouseSettings, tmp_path: Path, point: str
) -> None:
    count = send(kafka_settings, topics)

    dedupe(kafka_settings, topics, tmp_path / "dedupe", count, SEQUENCE_TEST_KILL_AT=point)
    load(kafka_settings, topics, tables, tmp_path / "sink")

    written = logs.read(kafka_settings, topics.duplicates)
    if point.startswith("decided"):
        # The fault has done its work: some duplicates are on the topic twice.
        assert len(written) > len({(record.partition, source_offset_of(record.headers)) for record in written})
    check(kafka_settings, topics, tables)


def test_sink_killed_after_an_insert_doubles_no_duplicate(
    kafka_settings: KafkaSettings, topics: Topics, tables: ClickHouseSettings, tmp_path: Path
) -> None:
    dedupe(kafka_settings, topics, tmp_path / "dedupe", send(kafka_settings, topics))

    load(kafka_settings, topics, tables, tmp_path / "sink", SEQUENCE_TEST_KILL_AT="inserted:2")

    check(kafka_settings, topics, tables)
