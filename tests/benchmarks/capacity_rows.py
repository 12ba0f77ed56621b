"""The size of rows: the product's rows in the product's tables, on the embedded ClickHouse, merged into one part."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.operate.capacity import Load
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items
from processors.clickhouse.client import ClickHouse
from processors.persons.fold import fold_batch
from processors.sink.duplicates import duplicate_rows
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, Row, item_rows, person_rows
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, PERSONS, Table
from schemas.items import Identify, Item, Track
from schemas.records import duplicate_headers, encode_item, event_headers, person_key
from tests.benchmarks.capacity_events import EventMaker
from tests.benchmarks.capacity_samples import RowSize
from tests.contracts.sinks import valid_lease
from tests.support import databases, services
from tests.support.records import SlimRecord

PROJECT = "dev"
ROWS = 6_000
_BLOCK_ROWS = 3_000
_PER_REQUEST = 500
_SIZE = """
SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts
WHERE database = currentDatabase() AND table = {table:String} AND active
"""


def row_sizes(loads: Iterable[Load]) -> list[RowSize]:
    """Return the bytes of a row of each table for the events of each of *loads*."""
    with (
        tempfile.TemporaryDirectory() as directory,
        services.running(services.embedded_clickhouse(Path(directory))) as server,
    ):
        return [size for load in loads for size in _measured(server.address, load)]


def _measured(url: str, load: Load) -> Iterator[RowSize]:
    settings = services.clickhouse_settings(url, f"sized_{secrets.token_hex(4)}")
    databases.create(settings)
    client = ClickHouse(settings, answer_seconds=60)
    try:
        for table, rows in _tables(load):
            sink = ClickHouseSink(client)
            for block in _blocks(table, rows):
                sink.insert([block], valid_lease)
            client.execute(f"OPTIMIZE TABLE {table.name} FINAL")
            [found] = client.query(_SIZE, {"table": table.name})
            number = int(found["rows"])
            yield RowSize(table.name, load.event_bytes, load.names, number, int(found["bytes"]) / number)
    finally:
        client.close()
        databases.drop(settings)


def _blocks(table: Table, rows: list[Row]) -> Iterator[Block]:
    for first in range(0, len(rows), _BLOCK_ROWS):
        yield Block(table, 0, rows[first : first + _BLOCK_ROWS])


def _tables(load: Load) -> Iterator[tuple[Table, list[Row]]]:
    """Yield each table with its rows for events of *load*."""
    tracks = [item for item in _items(load, 0.0) if isinstance(item, Track)]
    yield EVENTS, item_rows(_records(tracks), 1, 0).events
    duplicates = [
        SlimRecord(at, value=encode_item(item), headers=duplicate_headers(at, at // 2, same_content=True))
        for at, item in enumerate(tracks)
    ]
    yield DUPLICATES, duplicate_rows(duplicates, 1, 0)[0]
    identifies = [item for item in _items(load, 1.0) if isinstance(item, Identify)]
    yield IDENTIFIES, item_rows(_records(identifies), 1, 0).identifies
    keyed = [(person_key(PROJECT, item.user_id), item) for item in identifies]
    folded = fold_batch(keyed, {key: None for key, _ in keyed}).changed
    states = [SlimRecord(at, key, value) for at, (key, value) in enumerate(folded.items())]
    yield PERSONS, person_rows(states, 1, 0)[0]


def _items(load: Load, identifies: float) -> Iterator[Item]:
    shape = Load(0, load.event_bytes, load.names, per_request=_PER_REQUEST, identifies=identifies, duplicates=0)
    # Each row has properties of its own: equal ones beside each other would compress too well.
    for body in EventMaker(shape, "S", pool=ROWS).bodies(ROWS // _PER_REQUEST):
        result = validate_items(parse_envelope(body), project_id=PROJECT, received_at=time.time_ns() // 1000)
        if result.rejected:
            raise ValueError(f"The gateway rejects an event: {result.rejected[0]}")
        yield from result.accepted


def _records(items: Iterable[Item]) -> list[SlimRecord]:
    return [
        SlimRecord(at, value=encode_item(item), headers=event_headers(item.message_id.encode(), at))
        for at, item in enumerate(items)
    ]
