"""What the table writer does with rows that an erasure covers."""

from __future__ import annotations

import pytest

from processors.rejected_topic import RejectedTopic
from processors.sink.erased import ErasedRows
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, PERSONS
from schemas.topics import Topics
from tests.contracts.sinks import tracks
from tests.fakes.followed_projects import MemoryProjects
from tests.fakes.outputs import MemoryOutputs
from tests.unit.processors.sink.faults import Case
from tests.unit.processors.sink.test_erased import person


@pytest.fixture
def projects() -> MemoryProjects:
    return MemoryProjects()


@pytest.fixture
async def case(projects: MemoryProjects) -> Case:
    case = await Case().start()
    case.writer.leave_out(ErasedRows(projects))
    return case


USER = tracks(range(1))[0].user_id


async def test_rows_that_are_left_out_are_listed_as_removed(case: Case, projects: MemoryProjects) -> None:
    projects.erase("a" * 16, USER, items=4)

    await case.write(tracks(range(8)))

    assert case.stored == [(0, offset) for offset in range(4, 8)]
    assert case.sink.removed == {("events", 1, 0, offset): "a" * 16 for offset in range(4)}
    assert case.sink.noted == {}


async def test_position_is_noted_if_the_last_row_is_left_out(case: Case, projects: MemoryProjects) -> None:
    await case.write(tracks(range(2)))
    projects.erase("a" * 16, USER, items=8)

    await case.write(tracks(range(2, 8)))

    assert case.sink.noted == {("events", 1, 0): 7}
    assert case.sink.positions(EVENTS, 1, [0]) == {0: 7}
    assert case.writer.shown(0) == case.writer.position(0) == 7
    await case.write(tracks(range(10)))
    assert case.stored == [(0, offset) for offset in (0, 1, 8, 9)]


async def test_row_that_was_read_again_is_not_listed_twice(case: Case, projects: MemoryProjects) -> None:
    await case.write(tracks(range(4)))
    projects.erase("a" * 16, USER, items=8)

    await case.write(tracks(range(4)))

    assert (case.sink.removed, case.sink.noted) == ({}, {}), "the pass removes rows that the table has"


async def test_nothing_is_written_until_the_rows_are_listed(
    case: Case, projects: MemoryProjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.sink.attempts.FIRST_PAUSE_SECONDS", 0.0)
    projects.erase("a" * 16, USER, items=1)
    listed = case.sink.note_removed
    seen: list[object] = []

    def note(*arguments: object) -> None:
        seen.append(list(case.stored))
        listed(*arguments)  # type: ignore[arg-type]  # those of the method

    monkeypatch.setattr(case.sink, "note_removed", note)

    await case.write(tracks(range(3)))

    assert seen == [[]]
    assert case.stored == [(0, 1), (0, 2)]


async def test_state_of_a_person_that_is_left_out_is_not_listed(case: Case, projects: MemoryProjects) -> None:
    projects.erase("a" * 16, "ann", requested_at=7)
    writer = TableWriter(PERSONS, case.sink, RejectedTopic(MemoryOutputs(), Topics(), "sink"))
    writer.leave_out(ErasedRows(projects))
    await writer.load_positions([0])

    await writer.write_rows(person(0), 0)

    assert case.sink.rows["person_states"] == []
    assert (case.sink.removed, case.sink.noted) == ({}, {("person_states", 1, 0): 3})
