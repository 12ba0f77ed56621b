"""The topics that a sink reads and the tables that it writes, for tests on a real broker and the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from processors.clickhouse.client import ClickHouse
from schemas.clickhouse import TABLES
from schemas.items import Identify, Track
from schemas.records import Record, encode_item, event_headers, item_key, item_record, partition_for
from schemas.settings import ClickHouseSettings, KafkaSettings, environment
from schemas.topics import Topics
from tests.support import databases, logs
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.counted import counted_events
from tests.support.records import identify, track
from tests.support.worker_process import Worker

COUNT = 400
_ROWS = "SELECT message_id, _partition, _origin FROM"
_MESSAGES = f"{_ROWS} events UNION ALL {_ROWS} identifies"


@dataclass
class Pipeline:
    """The topics that the worker reads and the tables that it writes."""

    kafka: KafkaSettings
    topics: Topics
    clickhouse: ClickHouseSettings
    items: list[Track | Identify] = field(default_factory=list)
    next_offset: dict[int, int] = field(default_factory=dict)
    """Of `items.v1`, by partition."""
    events: int = 0
    """Number of records on `events.v1`."""

    def stop_merges(self) -> None:
        """Stop merges, so that ReplacingMergeTree hides no repeated row."""
        self.execute(*(f"SYSTEM STOP MERGES {self.clickhouse.database}.{table.name}" for table in TABLES))

    def send(self, count: int = COUNT) -> list[Record]:
        """Write *count* more items and, as dedupe does, their events; return the events."""
        first = len(self.items)
        more = [
            identify(f"m{number}") if number % 4 == 0 else track(f"m{number}") for number in range(first, first + count)
        ]
        self.items += more
        logs.write(self.kafka, self.topics.items, [item_record(item) for item in more])
        records = []
        for item in more:
            key = item_key(item.project_id, item.message_id)
            partition = partition_for(key, 4)
            source_offset = self.next_offset.get(partition, 0)
            self.next_offset[partition] = source_offset + 1
            records.append(Record(key, encode_item(item), event_headers(item.message_id.encode(), source_offset)))
        self.send_events(records)
        return records

    def send_events(self, records: list[Record]) -> None:
        """Write *records* to `events.v1`."""
        logs.write(self.kafka, self.topics.events, records)
        self.events += len(records)

    def worker(self, directory: Path, *, url: str | None = None, **variables: str) -> Worker:
        """Return a sink worker; *variables* that are faults apply to its first start only."""
        settings = replace(self.clickhouse, url=url or self.clickhouse.url)
        faults = {name: value for name, value in variables.items() if name.startswith("SEQUENCE_TEST_")}
        others = {name: value for name, value in variables.items() if name not in faults}
        return Worker("sink", self.kafka, directory, environ={**environment(settings), **others}, faults=faults)

    def done(self) -> bool:
        """Return whether every event is committed."""
        return logs.committed(self.kafka, f"{self.topics.prefix}-sink", self.topics.events) == self.events

    def rows(self) -> list[str]:
        """Return the messageId of each row, sorted."""
        return sorted(row["message_id"] for row in self.query(_MESSAGES))

    def check(self) -> None:
        """Check that each item is one row, in the table of its type, with its own source offset."""
        found = self.query(
            "SELECT count() AS rows, uniqExact(message_id) AS messages, uniqExact(_partition, _origin) AS positions"  # noqa: S608
            f" FROM ({_MESSAGES})"
        )
        tracks = self.query("SELECT count() AS rows, uniqExact(project_id, message_id) AS messages FROM events")
        count = len(self.items)
        assert [int(value) for value in found[0].values()] == [count] * 3
        assert [int(value) for value in tracks[0].values()] == [count - (count + 3) // 4] * 2
        assert self.rows() == sorted(item.message_id for item in self.items)

    def catalogued(self) -> int:
        """Count every row that is not in the catalogue, and return how many events it has."""
        client = ClickHouse(self.clickhouse)
        try:
            return counted_events(client)
        finally:
            client.close()

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of *sql*."""
        return ClickHouseHttp.of(self.clickhouse).rows(sql)

    def execute(self, *statements: str, **settings: Any) -> None:
        """Run *statements* on ClickHouse."""
        client = ClickHouseHttp.of(self.clickhouse)
        for statement in statements:
            client.query(statement, **settings)


@contextmanager
def sink_pipeline(address: str, kafka: KafkaSettings, topics: Topics) -> Iterator[Pipeline]:
    """Yield a pipeline with a database of its own on the server at *address*."""
    with databases.database(address) as settings:
        yield Pipeline(kafka, topics, settings)
