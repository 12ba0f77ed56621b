"""An INSERT whose lease ends while ClickHouse reads its rows writes all of them or none."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import msgspec
import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import LeaseLostError
from processors.clickhouse.migrate import migrate
from processors.sink.insert import LEASE_MARGIN_SECONDS, ClickHouseSink
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import EVENTS
from tests.support import services
from tests.support.records import event_read, track

ROWS = 40_000
"""About 24 MB: ClickHouse reads it in several pieces and checks its clock for each."""


@pytest.fixture
def client(clickhouse: str) -> Iterator[ClickHouse]:
    settings = services.clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    migrate(settings)
    client = ClickHouse(settings)
    yield client
    client.execute(f"DROP DATABASE {settings.database}")
    client.close()


def test_lease_that_ends_during_the_insert_leaves_no_partial_block(client: ClickHouse) -> None:
    sink = ClickHouseSink(client)
    block = wide_block()
    taken = seconds_of_an_insert(client, sink, block)
    outcomes = []
    for share in range(1, 13):
        client.execute("TRUNCATE TABLE events")
        ends = time.monotonic() + LEASE_MARGIN_SECONDS + taken * share / 10
        try:
            sink.insert([block], lambda ends=ends: ends)  # type: ignore[misc]  # bound in the loop
            outcomes.append(ROWS)
        except LeaseLostError:
            outcomes.append(0)
        assert count(client) == outcomes[-1]
    assert 0 in outcomes


def wide_block() -> Block:
    properties = b'{"text":"%s"}' % (b"x" * 300)
    item = track("m", properties=properties)
    records = [
        event_read(offset, msgspec.structs.replace(item, message_id=f"m{offset}"), source_offset=offset)
        for offset in range(ROWS)
    ]
    return Block(EVENTS, 0, item_rows(records, 1, 0).events)


def seconds_of_an_insert(client: ClickHouse, sink: ClickHouseSink, block: Block) -> float:
    began = time.monotonic()
    sink.insert([block], lambda: time.monotonic() + 60)
    assert count(client) == ROWS
    return time.monotonic() - began


def count(client: ClickHouse) -> int:
    return int(client.query("SELECT count() AS n FROM events")[0]["n"])
