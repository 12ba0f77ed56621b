"""Where the sink starts after an assignment: what the tables show, what the group committed, what has expired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from processors.engine.errors import ExpiredInputError, ForeignDatabaseError, TruncatedLogError
from processors.engine.stage import AssignedOffsets, InputOffsets
from processors.rejected_topic import RejectedTopic
from processors.sink import resume
from processors.sink.assignment import Assignment
from processors.sink.log_reader import OwnOffsetFinder, SourceOffsetFinder
from processors.sink.logs import LogIdentity
from processors.sink.positions import PositionReason
from processors.sink.resume import Metadata, encode_metadata
from processors.sink.rows import item_rows
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS
from schemas.topics import Topics
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import MemorySink
from tests.fakes.sink_log import THIS_LOG, MemoryLogs, MemoryTopics, memory_log
from tests.support.records import SlimRecord, event_read, identify, track

TOPICS = Topics()
NOTED = encode_metadata(Metadata(1, {"person_states": 24}))


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "WINDOW_RECORDS", 40)


@dataclass
class Sink:
    """Tables, and `events.v1` with a record for each second source offset: odd numbers are identifies."""

    tables: MemorySink = field(default_factory=MemorySink)
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    topic_ids: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.logs = MemoryLogs(self.tables)
        self.logs.register(THIS_LOG, 1)

    def publish(self, offsets: range) -> None:
        self.topics.records[TOPICS.events, 0] = [record(offset) for offset in offsets]

    def fill(self, offsets: range, *, identifies: range | None = None) -> None:
        rows = item_rows(map(record, offsets), 1, 0)
        self.tables.rows["events"] = rows.events
        self.tables.rows["identifies"] = item_rows(map(record, identifies or offsets), 1, 0).identifies

    def assignment(self) -> Assignment:
        rejected = RejectedTopic(MemoryOutputs(), TOPICS, "sink")
        writers = [TableWriter(table, self.tables, rejected) for table in (EVENTS, IDENTIFIES)]
        log = memory_log(self.tables, self.topics, self.logs, self.topic_ids)
        return Assignment(TOPICS.events, writers, log, SourceOffsetFinder(TOPICS.events, TOPICS.items, log.reader))

    async def start(self, log: range, committed: int | None = None, positions: Sequence[int] = ()) -> int:
        noted = Metadata(1, dict(zip(("events", "identifies"), positions, strict=False)))
        metadata = encode_metadata(noted) if positions else ""
        inputs = InputOffsets(log.start, log.stop, committed, metadata)
        return (await self.assignment().assigned({0: inputs})).start_offsets[0]


@pytest.fixture
def sink() -> Sink:
    return Sink()


def record(offset: int) -> SlimRecord:
    item = identify(f"m{offset}") if offset % 2 else track(f"m{offset}")
    return event_read(offset, item, source_offset=2 * offset)


async def test_new_deployment_starts_at_the_first_record(sink: Sink) -> None:
    assert await sink.start(range(10)) == 0
    assert await sink.start(range(5, 10)) == 5


async def test_tables_as_committed_continue_at_the_committed_offset(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.fill(range(20))
    assert await sink.start(range(5, 30), 20, (36, 38)) == 20
    assert await sink.start(range(5, 30), 18, (36, 34)) == 18
    assert sink.topics.windows_read == 0
    assert not caplog.records


async def test_commit_without_metadata_says_nothing(sink: Sink) -> None:
    assert await sink.start(range(30), 20) == 20


async def test_table_below_its_committed_position_is_read_again(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.publish(range(300))
    sink.fill(range(20), identifies=range(280))
    start = await sink.start(range(300), 290, (576, 578))

    assert start <= 20
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert caplog.messages[0] == (
        "sequence.events.v1[0]: the table events is at source offset 36, but it was at 576 when the consumer group "
        "committed. It was restored, lost or rolled back, or rows were deleted without `sequence positions keep`. "
        f"Reading again from offset {start} and writing the rows that are missing"
    )
    assert "table identifies is at source offset 558" in caplog.messages[1]


async def test_only_the_table_that_lags_decides(sink: Sink) -> None:
    sink.publish(range(1_000))
    sink.fill(range(900), identifies=range(9))
    start = await sink.start(range(1_000), 900, (1_796, 14))
    assert start == 900

    sink.fill(range(800), identifies=range(9))
    start = await sink.start(range(1_000), 900, (1_796, 14))
    assert 720 <= start <= 800


async def test_empty_tables_are_filled_from_the_first_record(sink: Sink) -> None:
    sink.publish(range(30))
    assert await sink.start(range(30), 20, (36, 38)) == 0


async def test_noted_position_is_not_read_again(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.fill(range(10))
    sink.tables.note_position(EVENTS, 1, 0, 36, PositionReason.KEPT)
    sink.tables.note_position(IDENTIFIES, 1, 0, 38, PositionReason.REJECTED)
    assert await sink.start(range(30), 20, (36, 38)) == 20
    assert not caplog.records


async def test_rows_that_the_topic_no_longer_has_are_refused_by_name(sink: Sink) -> None:
    sink.publish(range(15, 30))
    sink.fill(range(10))
    with pytest.raises(ExpiredInputError) as refused:
        await sink.start(range(15, 30), 20, (36, 38))
    assert str(refused.value) == (
        "sequence.events.v1[0]: the table events is at source offset 16, but it was at 36 when the consumer group "
        "committed. Rows with source offsets 17 to 29 cannot be written again: offsets below 15 have expired. Restore "
        "a newer backup of the tables, or accept the loss with `sequence positions accept --stage sink --partition 0`."
    )


async def test_rows_that_have_all_expired_are_refused_by_name(sink: Sink) -> None:
    sink.fill(range(10))
    with pytest.raises(ExpiredInputError, match="Rows with source offsets 17 to 36 cannot be written again"):
        await sink.start(range(30, 30), 30, (36, 38))


async def test_accepted_loss_continues_at_the_first_record_that_is_left(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.publish(range(15, 30))
    sink.fill(range(10))
    sink.logs.accept_loss(1, "events.v1", 0, 15)
    assert await sink.start(range(15, 30), 20, (36, 38)) == 15
    caplog.clear()
    assert await sink.start(range(15, 30), 12) == 15
    assert await sink.start(range(15, 30)) == 15
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_accepted_loss_covers_nothing_that_expires_later(sink: Sink) -> None:
    sink.publish(range(16, 30))
    sink.fill(range(10))
    sink.logs.accept_loss(1, "events.v1", 0, 15)
    with pytest.raises(ExpiredInputError):
        await sink.start(range(16, 30), 20, (36, 38))


async def test_position_whose_record_is_left_is_complete_although_others_expired(sink: Sink) -> None:
    sink.publish(range(8, 30))
    sink.fill(range(10))
    assert await sink.start(range(8, 30), 20, (36, 38)) == 8


async def test_forgotten_group_continues_after_the_tables(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="processors.sink.assignment")
    sink.publish(range(1_000))
    sink.fill(range(900))
    assert 820 <= await sink.start(range(1_000)) <= 900
    assert "has no committed offset; by the tables it continues at offset" in caplog.text


async def test_forgotten_group_reads_the_table_with_the_lower_position_again(sink: Sink) -> None:
    sink.publish(range(1_000))
    sink.fill(range(900), identifies=range(9))
    assert await sink.start(range(1_000)) <= 9


@pytest.mark.parametrize("log", [range(15, 30), range(15, 15)], ids=["records", "empty"])
async def test_forgotten_group_is_refused_if_records_may_have_expired_unwritten(sink: Sink, log: range) -> None:
    sink.publish(log)
    sink.fill(range(10))
    with pytest.raises(ExpiredInputError, match=r"tables are at source offset 18, and offsets below 15 have expired"):
        await sink.start(log)


async def test_forgotten_group_continues_if_the_position_is_still_on_the_topic(sink: Sink) -> None:
    sink.publish(range(8, 30))
    sink.fill(range(20))
    assert await sink.start(range(8, 30)) == 8


async def test_partition_without_rows_is_new_only_in_an_empty_database(sink: Sink) -> None:
    sink.tables.rows["events"] = item_rows([record(4)], 1, 3).events
    with pytest.raises(ExpiredInputError, match="tables are at source offset -1"):
        await sink.start(range(15, 30))
    assert await sink.start(range(30)) == 0


async def test_source_offsets_of_the_tables_are_remembered(sink: Sink) -> None:
    sink.fill(range(10))
    offsets = await sink.assignment().assigned({0: InputOffsets(0, 10, 10), 1: InputOffsets(0, 0)})
    assert offsets.remembered_offsets == {(TOPICS.items, 0): 18, (TOPICS.items, 1): -1}


async def test_metadata_of_a_commit_are_the_positions_that_the_tables_have_shown(sink: Sink) -> None:
    sink.fill(range(10))
    assignment = sink.assignment()
    assert assignment.commit_metadata(0) == ""
    await assignment.assigned({0: InputOffsets(0, 10, 10)})
    assert assignment.commit_metadata(0) == '{"log":1,"positions":{"events":16,"identifies":18}}'


async def test_items_topic_that_was_created_again_is_refused(sink: Sink) -> None:
    sink.fill(range(10))
    sink.topic_ids = {TOPICS.items: "first"}
    assignment = sink.assignment()
    await assignment.assigned({0: InputOffsets(0, 10, 10)})
    metadata = assignment.commit_metadata(0)
    assert metadata == '{"log":1,"positions":{"events":16,"identifies":18},"source_id":"first"}'
    for known in ({TOPICS.items: "first"}, {}):
        sink.topic_ids = known
        await sink.assignment().assigned({0: InputOffsets(0, 10, 10, metadata)})
    sink.topic_ids = {TOPICS.items: "second"}
    with pytest.raises(TruncatedLogError, match=r"items\.v1 has the topic id second.*first.*deleted and recreated"):
        await sink.assignment().assigned({0: InputOffsets(0, 10, 10, metadata)})


async def test_rows_carry_the_id_of_the_log(sink: Sink) -> None:
    sink.logs.register(LogIdentity("other", "sequence", "v1", 4))
    sink.logs.registered_logs.pop(0)
    with pytest.raises(ForeignDatabaseError, match="belongs to another deployment: Kafka cluster other"):
        await sink.start(range(10))
    assert sink.logs.register(THIS_LOG) == 3
    assignment = sink.assignment()
    await assignment.assigned({0: InputOffsets(0, 10)})
    assert assignment.commit_metadata(0).startswith('{"log":3,')


async def persons_start(sink: Sink, inputs: InputOffsets) -> AssignedOffsets:
    writer = TableWriter(PERSONS, sink.tables, RejectedTopic(MemoryOutputs(), TOPICS, "sink"))
    log = memory_log(sink.tables, sink.topics, sink.logs)
    assignment = Assignment(TOPICS.persons, [writer], log, OwnOffsetFinder(TOPICS.persons))
    return await assignment.assigned({0: inputs})


@pytest.mark.parametrize(
    ("position", "inputs", "start"),
    [
        (-1, InputOffsets(0, 30), 0),
        (19, InputOffsets(0, 30), 20),
        (19, InputOffsets(0, 30, 25), 25),
        (19, InputOffsets(0, 30, 15), 20),
        (19, InputOffsets(0, 30, 25, NOTED), 20),
        (-1, InputOffsets(0, 30, 25, NOTED), 0),
        (19, InputOffsets(20, 30, 25, NOTED), 20),
    ],
)
async def test_persons_continue_after_the_position(sink: Sink, position: int, inputs: InputOffsets, start: int) -> None:
    sink.tables.note_position(PERSONS, 1, 0, position, PositionReason.KEPT)
    assert (await persons_start(sink, inputs)).start_offsets == {0: start}


async def test_persons_that_were_trimmed_unwritten_are_refused(sink: Sink) -> None:
    sink.tables.note_position(PERSONS, 1, 0, 18, PositionReason.KEPT)
    with pytest.raises(ExpiredInputError, match="Rows with source offsets 19 to 19 cannot be written again"):
        await persons_start(sink, InputOffsets(20, 30, 25, NOTED))
    with pytest.raises(ExpiredInputError, match="the tables are at source offset 18"):
        await persons_start(sink, InputOffsets(20, 30))
