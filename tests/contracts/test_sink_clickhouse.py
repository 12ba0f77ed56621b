"""The real sink: running INSERTs, late INSERTs, and the parts that ClickHouse creates."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from deploy.operate.positions import read as read_positions
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import TooLateError, UnavailableError
from processors.sink.insert import ClickHouseSink
from processors.sink.positions import PositionReason
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import EVENTS
from schemas.settings import ClickHouseSettings
from tests.contracts.sinks import FixedLease, SinkCase, block, table_writer, valid_lease
from tests.support.insert_proxy import InsertProxy
from tests.support.records import event_read, track
from tests.support.services import eventually


def count(client: ClickHouse) -> int:
    return int(client.query("SELECT count() AS n FROM events")[0]["n"])


def test_a_block_is_one_part(clickhouse_client: ClickHouse) -> None:
    ClickHouseSink(clickhouse_client).insert([block(range(50_000))], valid_lease)

    parts = clickhouse_client.query("SELECT uniqExact(_part) AS parts, count() AS n FROM events")
    assert [(int(row["parts"]), int(row["n"])) for row in parts] == [(1, 50_000)]


def test_engine_keeps_both_rows_of_an_item_that_is_sent_twice(clickhouse_client: ClickHouse) -> None:
    rows = [event_read(offset, track("the-same"), source_offset=offset) for offset in range(3)]
    ClickHouseSink(clickhouse_client).insert([Block(EVENTS, 0, item_rows(rows, 1, 0).events)], valid_lease)

    assert count(clickhouse_client) == 3


@pytest.mark.parametrize("others_first", [False, True], ids=["its partition first", "other partitions first"])
async def test_new_owner_waits_for_a_running_insert(clickhouse_client: ClickHouse, *, others_first: bool) -> None:
    slow = (
        "INSERT INTO events (project_id, message_id, _log, _partition, _origin)"
        " SELECT 'p', 'slow', 1, 0, 41 FROM numbers(3) WHERE sleepEachRow(0.7) = 0"
    )
    others = "sequence:events:1:10:3-9,sequence:events:1:3:0-5,sequence:events:2:0:1-1," if others_first else ""
    settings = {"insert_deduplication_token": f"{others}sequence:events:1:0:41-41", "async_insert": 0}
    insert = threading.Thread(target=clickhouse_client.execute, args=(slow, None, settings))
    insert.start()
    try:
        eventually(lambda: running_inserts(clickhouse_client) == 1, "the INSERT is running", within_seconds=10)
        writer = table_writer(ClickHouseSink(clickhouse_client))
        assert await writer.load_positions([0]) == {0: 41}
    finally:
        insert.join()


def running_inserts(client: ClickHouse) -> int:
    rows = client.query(
        "SELECT count() AS n FROM system.processes"
        " WHERE position(Settings['insert_deduplication_token'], 'sequence:events:1:0:') > 0"
    )
    return int(rows[0]["n"])


def test_insert_that_arrives_after_its_deadline_writes_nothing(
    clickhouse_settings: ClickHouseSettings, clickhouse_client: ClickHouse
) -> None:
    with InsertProxy(clickhouse_settings.url) as proxy:
        delayed = ClickHouse(replace(clickhouse_settings, url=proxy.address))
        sink = ClickHouseSink(delayed)
        sink.positions(EVENTS, 1, [0])
        proxy.hold()
        release = threading.Timer(1.5, proxy.release)
        release.start()
        with pytest.raises(TooLateError, match="after its deadline"):
            sink.insert([block(range(5))], FixedLease(60, answer_seconds=1.0))
        assert (proxy.held, proxy.released, count(clickhouse_client)) == (1, 1, 0)
        sink.insert([block(range(5))], valid_lease)
        assert count(clickhouse_client) == 5
        delayed.close()


async def test_driver_does_not_retry_an_insert_whose_response_is_lost(
    clickhouse_settings: ClickHouseSettings, clickhouse_client: ClickHouse
) -> None:
    with InsertProxy(clickhouse_settings.url) as proxy:
        proxy.responses_to_lose = 1
        lossy = ClickHouse(replace(clickhouse_settings, url=proxy.address))
        sink = ClickHouseSink(lossy)
        assert sink.positions(EVENTS, 1, [0]) == {}
        with pytest.raises(UnavailableError):
            sink.insert([block(range(5))], valid_lease)
        assert (proxy.responses_lost, count(clickhouse_client)) == (1, 5)
        assert await table_writer(sink).load_positions([0]) == {0: 4}
        lossy.close()


def test_operator_is_shown_the_position_at_which_the_sink_continues(
    clickhouse_sink: SinkCase, clickhouse_client: ClickHouse
) -> None:
    clickhouse_sink.sink.insert([block(range(9))], valid_lease)
    clickhouse_sink.sink.note_position(EVENTS, 1, 0, 9, PositionReason.REJECTED)
    assert [each.position for each in read_positions(clickhouse_client, [EVENTS])] == [9]

    clickhouse_sink.remove_above(EVENTS, 4)

    assert [each.position for each in read_positions(clickhouse_client, [EVENTS])] == [4]
    assert clickhouse_sink.sink.positions(EVENTS, 1, [0]) == {0: 4}
