"""The sample of `sequence demo` in tables and typed views, as the pipeline would have stored it, without Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import msgspec

from deploy.demo.declarations import declare
from deploy.demo.items import sample
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items
from processors.clickhouse.client import ClickHouse
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, item_rows, person_rows
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS
from schemas.items import Identify, Item
from schemas.persons import Person, encode_person, fold
from schemas.settings import ClickHouseSettings
from tests.contracts.sinks import valid_lease
from tests.support import databases
from tests.support.counted import make_views
from tests.support.records import SlimRecord, event_read

PROJECT = "demo"
EVENTS_OF_PAGE = 5_000
LAST_DAY = date(2026, 6, 30)
"""The sample on which the results of docs/cookbook.md are computed."""


def items(events: int = EVENTS_OF_PAGE, until: date = LAST_DAY) -> list[Item]:
    """Return the items of the sample that the gateway accepts and dedupe passes, in the order of their arrival."""
    unique: dict[str, Item] = {}
    for arrives, raw in sample(events, until).items:
        envelope = parse_envelope(b'{"batch":[%s]}' % raw)
        result = validate_items(envelope, project_id=PROJECT, received_at=int(arrives.timestamp() * 1e6))
        assert result.rejected == []
        for item in result.accepted:
            unique.setdefault(item.message_id, item)
    return list(unique.values())


def fill(settings: ClickHouseSettings, of: Sequence[Item]) -> None:
    """Create the tables of *settings*, write the items *of* a sample to them, and make the views of the project."""
    databases.create(settings)
    client = ClickHouse(settings, answer_seconds=60)
    sink = ClickHouseSink(client)
    rows = item_rows((event_read(at, item, source_offset=at) for at, item in enumerate(of)), 1, 0)
    states, rejected = person_rows(_persons(of), 1, 0)
    assert rows.rejected == rejected == []
    for table, of_table in ((EVENTS, rows.events), (IDENTIFIES, rows.identifies), (PERSONS, states)):
        sink.insert([Block(table, 0, of_table)], valid_lease)
    make_views(client)
    declare(client, PROJECT)
    client.close()


def persons(of: Iterable[Item]) -> dict[str, Person]:
    """Return the person of each user who was identified."""
    found: dict[str, Person] = {}
    for item in of:
        if isinstance(item, Identify):
            found[item.user_id] = fold(found.get(item.user_id), item)
    return found


def _persons(of: Iterable[Item]) -> list[SlimRecord]:
    encoded = map(encode_person, persons(of).values())
    return [SlimRecord(at, value=bytes(msgspec.Raw(value))) for at, value in enumerate(encoded)]
