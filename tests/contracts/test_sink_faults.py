"""Faults of tables, views and rows on the real engine: every event once, and nothing rejected that is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

import msgspec
import pytest

from processors.clickhouse.client import ClickHouse
from processors.rejected_topic import RejectedTopic
from processors.sink import insert
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, EventRow, Row
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS
from schemas.topics import Topics
from tests.contracts.sinks import tracks, valid_lease
from tests.fakes.outputs import MemoryOutputs

pytestmark = pytest.mark.services

PARTITIONS = range(4)
DEADLINE_SECONDS = 60


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sink.attempts.LONGEST_PAUSE_SECONDS", 0.05)


class Case:
    """A writer of `events` on ClickHouse with merges stopped."""

    def __init__(self, client: ClickHouse) -> None:
        self.client = client
        self.outputs = MemoryOutputs()
        self.writer = TableWriter(EVENTS, ClickHouseSink(client), RejectedTopic(self.outputs, Topics(), "sink"))

    async def start(self) -> Case:
        self.writer.start(valid_lease)
        await self.writer.load_positions(PARTITIONS)
        return self

    async def write(self, rows: Sequence[Row], partition: int) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.writer.write_rows(rows, partition)

    async def write_all(self, offsets: range) -> None:
        await asyncio.gather(*(self.write(priced(offsets, number), number) for number in PARTITIONS))

    def stored(self, table: str = "events") -> list[tuple[int, int]]:
        rows = self.client.query(f"SELECT _partition AS p, _origin AS o FROM {table} ORDER BY p, o")  # noqa: S608
        return [(int(row["p"]), int(row["o"])) for row in rows]

    def rejected(self) -> list[tuple[str, int, int]]:
        """Return code, partition and source offset of each rejection."""
        made = [msgspec.json.decode(record.value) for record in self.outputs.records[Topics().rejected]]
        found = [
            (each["code"], re.search('"_partition":([0-9]+),"_origin":([0-9]+)', each["content"])) for each in made
        ]
        return [(code, int(row[1]), int(row[2])) for code, row in found if row is not None]


@pytest.fixture
async def case(clickhouse_client: ClickHouse) -> Case:
    return await Case(clickhouse_client).start()


def priced(offsets: range, partition: int, *, text_at: int | None = None) -> list[Row]:
    """Return rows with a price, which is a text at the source offset *text_at*."""
    rows = tracks(offsets, partition)
    for row in rows:
        assert isinstance(row, EventRow)
        price = b'"abc"' if row.source_offset == text_at else b"%d" % row.source_offset
        row.properties = msgspec.Raw(b'{"price":%s}' % price)
    return rows


def positions(offsets: range, partitions: Sequence[int] = PARTITIONS) -> list[tuple[int, int]]:
    return [(partition, offset) for partition in partitions for offset in offsets]


def healthy_view(client: ClickHouse, name: str) -> None:
    select = "SELECT _partition, _origin FROM events"
    client.execute(f"CREATE MATERIALIZED VIEW {name} ENGINE = MergeTree ORDER BY _origin AS {select}")


async def write_with_a_text(case: Case) -> None:
    """Write three blocks of each partition, of which one has a price that is no number."""
    for first in (0, 20, 40):
        await asyncio.gather(
            *(
                case.write(priced(range(first, first + 20), number, text_at=27 if number == 2 else None), number)
                for number in PARTITIONS
            )
        )


@pytest.mark.parametrize("ignored", [1, 0], ids=["errors of views ignored", "errors of views raised"])
@pytest.mark.parametrize(
    "select",
    [
        "SELECT toInt32(toString(properties.price)) AS n FROM events",
        "SELECT toInt32(user_id) AS n FROM events",
        "SELECT throwIf(toString(properties.price) = 'abc', 'too late') AS n FROM events",
        "SELECT throwIf(1, 'too late') AS n FROM events",
    ],
    ids=["cannot convert one row", "cannot convert any row", "throws for one row", "always throws"],
)
async def test_view_that_fails_costs_only_its_own_rows(
    case: Case, monkeypatch: pytest.MonkeyPatch, select: str, ignored: int
) -> None:
    monkeypatch.setitem(insert._SETTINGS, "materialized_views_ignore_errors", ignored)
    healthy_view(case.client, "first_view")
    case.client.execute(f"CREATE MATERIALIZED VIEW failing ENGINE = MergeTree ORDER BY n AS {select}")
    healthy_view(case.client, "last_view")
    await write_with_a_text(case)

    assert case.stored() == positions(range(60))
    assert case.rejected() == []
    if ignored:
        assert case.stored("first_view") == case.stored("last_view") == positions(range(60))


@pytest.mark.parametrize("ignored", [1, 0], ids=["errors of views ignored", "errors of views raised"])
async def test_view_without_its_target_costs_only_its_own_rows(
    case: Case, monkeypatch: pytest.MonkeyPatch, ignored: int
) -> None:
    monkeypatch.setitem(insert._SETTINGS, "materialized_views_ignore_errors", ignored)
    case.client.execute("CREATE TABLE target (n UInt64) ENGINE = MergeTree ORDER BY n")
    case.client.execute("CREATE MATERIALIZED VIEW failing TO target AS SELECT _origin AS n FROM events")
    case.client.execute("DROP TABLE target")
    if ignored:
        healthy_view(case.client, "other_view")
        await write_with_a_text(case)
        assert case.stored("other_view") == positions(range(60))
    else:
        # Without the setting nothing is written. The sink waits until the view is gone.
        work = asyncio.create_task(write_with_a_text(case))
        await asyncio.sleep(0.5)
        case.client.execute("DROP VIEW failing")
        await work

    assert case.stored() == positions(range(60))
    assert case.rejected() == []


async def test_control_without_positions_a_view_that_throws_doubles_rows(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_asked(self: TableWriter, block: Block) -> list[Block]:
        del self
        return [block]

    monkeypatch.setattr(TableWriter, "missing", never_asked)
    monkeypatch.setitem(insert._SETTINGS, "materialized_views_ignore_errors", 0)
    case.client.execute(
        "CREATE MATERIALIZED VIEW failing ENGINE = MergeTree ORDER BY n AS SELECT toInt32(user_id) AS n FROM events"
    )
    work = asyncio.create_task(case.write(priced(range(20), 0), 0))
    while len(case.stored()) <= 20:
        await asyncio.sleep(0.05)
        assert not work.done()
    work.cancel()
    await asyncio.wait([work])


async def waits_until_mended(case: Case, break_it: str, mend: str, *, waiting: Sequence[int] = PARTITIONS) -> None:
    """Write while the table is broken, and assert that only the *waiting* partitions wait, until it is mended."""
    case.client.execute(break_it)
    work = [asyncio.create_task(case.write(priced(range(20, 40), number), number)) for number in PARTITIONS]
    others = [number for number in PARTITIONS if number not in waiting]
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(work[number] for number in others))
    # Others flow meanwhile.
    for number in others:
        await case.write(priced(range(40, 60), number), number)
    await asyncio.sleep(1)
    assert [number for number in PARTITIONS if not work[number].done()] == list(waiting)
    case.client.execute(mend)
    await asyncio.gather(*work)
    for number in waiting:
        await case.write(priced(range(40, 60), number), number)

    assert case.stored() == positions(range(20, 60))
    assert case.rejected() == []


async def test_constraint_that_some_rows_violate_is_waited_for(case: Case) -> None:
    add = "ALTER TABLE events ADD CONSTRAINT mine CHECK _partition != 2"
    await waits_until_mended(case, add, "ALTER TABLE events DROP CONSTRAINT mine", waiting=[2])


async def test_dropped_column_is_waited_for(case: Case) -> None:
    add = "ALTER TABLE events ADD COLUMN integrations String"
    await waits_until_mended(case, "ALTER TABLE events DROP COLUMN integrations", add)


async def test_table_that_is_missing_is_waited_for(case: Case) -> None:
    await waits_until_mended(case, "RENAME TABLE events TO elsewhere", "RENAME TABLE elsewhere TO events")


async def test_column_that_no_row_can_fill_is_waited_for(case: Case) -> None:
    add = "ALTER TABLE events ADD COLUMN mine UInt8 MATERIALIZED toUInt8(user_id)"
    await waits_until_mended(case, add, "ALTER TABLE events DROP COLUMN mine")


@pytest.mark.parametrize(
    "expression",
    ["toUInt8(if(toString(properties.price) = 'abc', 'x', '1'))", "throwIf(toString(properties.price) = 'abc')"],
    ids=["value", "throwIf"],
)
async def test_row_that_a_column_cannot_take_is_rejected_alone(case: Case, expression: str) -> None:
    case.client.execute(f"ALTER TABLE events ADD COLUMN mine UInt8 MATERIALIZED {expression}")
    await write_with_a_text(case)

    assert case.stored() == [each for each in positions(range(60)) if each != (2, 27)]
    assert case.rejected() == [("engine_cannot_store", 2, 27)]


def wide(offsets: range, partition: int, properties: Callable[[int], bytes]) -> list[Row]:
    rows = tracks(offsets, partition)
    for row in rows:
        assert isinstance(row, EventRow)
        row.properties = msgspec.Raw(properties(row.source_offset))
    return rows


def names(count: int) -> Callable[[int], bytes]:
    return lambda offset: b"{%s}" % b",".join(b'"k%d":"%d"' % (number, offset) for number in range(count))


async def test_blocks_that_need_too_much_memory_are_written_in_parts(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(insert._SETTINGS, "max_memory_usage", 12_000_000)
    blocks = {number: wide(range(1500), number, names(100)) for number in PARTITIONS}
    await asyncio.gather(*(case.write(rows, number) for number, rows in blocks.items()))

    assert case.stored() == positions(range(1500))
    assert case.rejected() == []


async def test_row_that_never_fits_is_rejected_and_the_others_are_written(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(insert._SETTINGS, "max_memory_usage", 12_000_000)
    rows = tracks(range(200), 1)
    heavy = rows[77]
    assert isinstance(heavy, EventRow)
    heavy.properties = msgspec.Raw(b'{"a":"%s"}' % (b"x" * 6_000_000))
    await asyncio.gather(case.write(rows, 1), *(case.write(priced(range(200), number), number) for number in (0, 2)))

    assert case.stored() == [each for each in positions(range(200), (0, 1, 2)) if each != (1, 77)]
    assert case.rejected() == [("engine_cannot_store", 1, 77)]


async def test_block_that_needs_too_long_is_written_in_parts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(insert._SETTINGS, "max_execution_time", 0.3)
    case.client.execute("ALTER TABLE events ADD COLUMN mine UInt8 MATERIALIZED sleepEachRow(0.002)")
    await asyncio.gather(*(case.write(priced(range(300), number), number) for number in (0, 1)))

    assert case.stored() == positions(range(300), (0, 1))
    assert case.rejected() == []


async def test_table_that_lost_its_newest_rows_ends_the_process(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sink.writer.LAG_SECONDS", 0.5)
    await case.write_all(range(20))
    case.client.execute("TRUNCATE TABLE events")
    case.client.execute("ALTER TABLE events ADD CONSTRAINT mine CHECK 0")
    with pytest.raises(Exception, match="shows source offset -1 for partition 1, but 19 was written"):
        await case.write(priced(range(20, 40), 1), 1)
