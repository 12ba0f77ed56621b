"""The table writer: blocks that share an INSERT, and the outcome of each when the INSERT fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from processors.clickhouse.errors import CertificateError, UnavailableError
from processors.engine.coalescer import Coalescer
from processors.rejected_topic import RejectedTopic
from processors.sink.lease import Lease
from processors.sink.rows import BLOCK_BYTES, Block, Row
from processors.sink.writer import INSERT_ROWS, TableWriter, fits_one_insert
from schemas.clickhouse import EVENTS
from schemas.topics import Topics
from tests.contracts.sinks import row_positions, tracks, unstorable, valid_lease
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import HeldSink, MemorySink

PARTITIONS = range(4)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sink.attempts.LONGEST_PAUSE_SECONDS", 0.0)


async def started(sink: MemorySink, outputs: MemoryOutputs | None = None) -> TableWriter:
    writer = TableWriter(EVENTS, sink, RejectedTopic(outputs or MemoryOutputs(), Topics(), "sink"))
    writer.start(valid_lease)
    await writer.load_positions(PARTITIONS)
    return writer


def stored(sink: MemorySink) -> list[tuple[int, int]]:
    return sorted((row.partition, row.source_offset) for row in sink.rows["events"])


def received_in(week: int) -> list[Row]:
    received_at = f"2026-01-2{4 + week}T00:00:00.000000Z"
    return [msgspec.structs.replace(row, received_at=received_at) for row in tracks(range(2), week)]


async def test_blocks_submitted_together_share_one_insert() -> None:
    sink = MemorySink()
    writer = await started(sink)
    await asyncio.gather(*(writer.write_rows(tracks(range(5), number), number) for number in PARTITIONS))

    assert sink.inserts == 1
    assert stored(sink) == [position for number in PARTITIONS for position in row_positions(range(5), number)]


async def test_blocks_submitted_during_an_insert_share_the_next() -> None:
    sink = HeldSink()
    writer = await started(sink)
    first = asyncio.create_task(writer.write_rows(tracks(range(5), 0), 0))
    assert await asyncio.to_thread(sink.begun.wait, 10)
    others = [asyncio.create_task(writer.write_rows(tracks(range(5), number), number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    sink.may_end.set()
    await asyncio.gather(first, *others)

    assert (sink.inserts, len(stored(sink))) == (2, 20)


@pytest.mark.parametrize(
    "make_block",
    [
        lambda number: Block(EVENTS, number, tracks(range(INSERT_ROWS // 2 + 1), number)),
        lambda number: Block(EVENTS, number, tracks(range(2), number), BLOCK_BYTES - 1),
        lambda number: Block(EVENTS, number, received_in(number)),
    ],
    ids=["rows", "bytes", "weeks"],
)
async def test_blocks_beyond_the_limits_of_one_insert_take_two(make_block: Callable[[int], Block]) -> None:
    blocks = [make_block(number) for number in (1, 2)]
    sink = MemorySink()

    async def insert(together: Sequence[Block]) -> None:
        sink.insert(together, valid_lease)

    coalescer = Coalescer(insert, fits=fits_one_insert)
    await asyncio.gather(*(coalescer.submit(each) for each in blocks))

    assert (sink.inserts, len(stored(sink))) == (2, sum(len(each.rows) for each in blocks))


async def test_rejected_rows_do_not_affect_other_blocks_of_the_insert() -> None:
    sink, outputs = MemorySink(), MemoryOutputs()
    writer = await started(sink, outputs)
    bad = [unstorable(row) for row in tracks(range(5), 1)]
    await asyncio.gather(
        writer.write_rows(tracks(range(5), 0), 0), writer.write_rows(bad, 1), writer.write_rows(tracks(range(5), 2), 2)
    )

    assert stored(sink) == [*row_positions(range(5), 0), *row_positions(range(5), 2)]
    rejections = [msgspec.json.decode(record.value) for record in outputs.records[Topics().rejected]]
    assert [(each["code"], each["stage"]) for each in rejections] == [("row_rejected", "sink")] * 5
    assert {(each["table"], each["sourceTopic"]) for each in rejections} == {("events", "items.v1")}
    assert [writer.position(partition) for partition in (0, 1, 2)] == [4, 4, 4]


async def test_lost_response_of_a_shared_insert_doubles_no_row(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="processors.sink.outage_log")
    sink = MemorySink()
    writer = await started(sink)
    sink.responses_lost = 1
    await asyncio.gather(writer.write_rows(tracks(range(5), 0), 0), writer.write_rows(tracks(range(5), 1), 1))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    await writer.write_rows(tracks(range(5, 8), 0), 0)

    assert stored(sink) == [*row_positions(range(8), 0), *row_positions(range(5), 1)]


class OutageSink(MemorySink):
    """Fails with each of `errors` in turn."""

    errors: list[UnavailableError]

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        if self.errors:
            raise self.errors.pop(0)
        super().insert(blocks, lease)


async def test_unverified_certificate_is_logged_at_error_within_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="processors.sink.outage_log")
    sink = OutageSink()
    writer = await started(sink)
    expired = [CertificateError("the certificate has expired"), CertificateError("the certificate has expired")]
    sink.errors = [UnavailableError("refused"), UnavailableError("refused"), *expired]
    await writer.write_rows(tracks(range(5), 0), 0)

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "INFO"]
    assert "the certificate has expired" in caplog.text
    assert stored(sink) == row_positions(range(5), 0)


async def test_cancelled_block_that_waits_is_never_written() -> None:
    sink = HeldSink()
    writer = await started(sink)
    first = asyncio.create_task(writer.write_rows(tracks(range(5), 0), 0))
    assert await asyncio.to_thread(sink.begun.wait, 10)
    second, third = (asyncio.create_task(writer.write_rows(tracks(range(5), number), number)) for number in (1, 2))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    sink.may_end.set()
    await asyncio.gather(first, third)

    assert stored(sink) == [*row_positions(range(5), 0), *row_positions(range(5), 2)]


async def test_cancelled_block_in_a_running_insert_waits_for_its_end() -> None:
    sink = HeldSink()
    writer = await started(sink)
    work = asyncio.create_task(writer.write_rows(tracks(range(5), 0), 0))
    assert await asyncio.to_thread(sink.begun.wait, 10)
    work.cancel()
    await asyncio.wait([work], timeout=0.05)
    assert not work.done()

    sink.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert stored(sink) == row_positions(range(5), 0)


async def test_outage_of_clickhouse_is_one_line_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="processors.sink.outage_log")
    sink = OutageSink()
    writer = await started(sink)
    sink.errors = [UnavailableError("refused") for _ in range(300)]
    await writer.write_rows(tracks(range(5)), 0)

    first, last = [record.getMessage() for record in caplog.records]
    assert first == (
        "events: waiting for ClickHouse, retrying until it answers: 1 attempts failed in 0 s. The last error: refused"
    )
    assert last.startswith("events: ClickHouse is available again: 300 attempts failed in ")
