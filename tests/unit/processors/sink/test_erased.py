"""Rows that an erasure covers are left out; every other row is written."""

from __future__ import annotations

import base64

import msgspec
import pytest

from processors.sink.duplicates import duplicate_rows
from processors.sink.erased import ErasedRows
from processors.sink.rejected import rejection_rows
from processors.sink.rows import Row, item_rows, person_rows
from schemas.items import Rejection
from schemas.persons import encode_person, fold
from schemas.records import duplicate_headers, encode_item
from schemas.times import parse_time
from tests.fakes.followed_projects import MemoryProjects
from tests.support.records import SlimRecord, event_read, identify, track

NOON = parse_time("2026-01-01T00:00:00.000000Z")
"""Time of every item here."""


@pytest.fixture
def projects() -> MemoryProjects:
    return MemoryProjects()


def events(*source_offsets: int, user: str = "ann") -> list[Row]:
    records = [event_read(at, track(f"m{at}", user_id=user), source_offset=at) for at in source_offsets]
    return item_rows(records, 1, 0).events


def duplicate(source_offset: int) -> list[Row]:
    headers = duplicate_headers(source_offset, 0, same_content=True)
    return duplicate_rows([SlimRecord(0, b"", encode_item(track("m", user_id="ann")), headers=headers)], 1, 0)[0]


def rejected(offset: int, content: bytes, *, is_base64: bool = False, source_offset: int | None = None) -> list[Row]:
    of_item = source_offset is not None
    rejection = Rejection(
        "p", "dedupe" if of_item else "gateway", "not_an_item", "why", "2026-01-01T00:00:00.000000Z",
        source_topic="items.v1" if of_item else None,
        source_partition=0 if of_item else None,
        source_offset=source_offset,
        content=None if is_base64 else content.decode(),
        content_base64=base64.b64encode(content).decode() if is_base64 else None,
    )  # fmt: skip
    return rejection_rows([SlimRecord(offset, b"p/x", msgspec.json.encode(rejection))], 1, 0)


def person(erased: int) -> list[Row]:
    folded = fold(None, identify("m", user_id="ann", traits=b'{"a":1}'))
    value = encode_person(msgspec.structs.replace(folded, erased=erased))
    return person_rows([SlimRecord(3, b"p/ann", value)], 1, 0)[0]


def left_out(projects: MemoryProjects, rows: list[Row]) -> list[int]:
    """Return the source offsets of the rows that are left out, after a check that the others are written."""
    written, gone = ErasedRows(projects).divide(rows)
    assert written == [row for row in rows if row not in [each.row for each in gone]]
    return [each.row.source_offset for each in gone]


def test_rows_of_an_erased_user_below_the_cut_are_left_out(projects: MemoryProjects) -> None:
    projects.erase("a" * 16, "ann", items=3)

    written, gone = ErasedRows(projects).divide([*events(1), *events(2, user="bob"), *events(2, 3)])

    assert [(row.user_id, row.source_offset) for row in written] == [("bob", 2), ("ann", 3)]
    assert [(each.row.source_offset, each.erasure) for each in gone] == [(1, "a" * 16), (2, "a" * 16)]


def test_rows_are_left_out_once_their_erasure_is_known(projects: MemoryProjects) -> None:
    erased = ErasedRows(projects)
    assert len(erased.divide(events(1))[0]) == 1
    projects.erase("a" * 16, "ann", items=3)
    assert len(erased.divide(events(1))[1]) == 1
    assert len(erased.divide(events(4))[1]) == 0
    projects.erase("b" * 16, "ann", items=5, requested_at=2)
    assert [each.erasure for each in erased.divide(events(4))[1]] == ["b" * 16]


def test_offsets_of_another_cluster_cover_no_row(projects: MemoryProjects) -> None:
    projects.erase("a" * 16, "ann", items=3, rejections=9, cluster_id="another")

    assert left_out(projects, [*events(1), *duplicate(1), *rejected(2, b'{"userId":"ann"}')]) == []


def test_range_covers_what_happened_in_it(projects: MemoryProjects) -> None:
    projects.erase("a" * 16, "ann", items=9, rejections=9, since=NOON, until=NOON + 1)
    projects.erase("b" * 16, "bob", items=9, until=NOON)
    unreadable = rejected(5, b'{"userId":"ann"')

    assert left_out(projects, [*events(1), *events(2, user="bob")]) == [1]
    assert left_out(projects, duplicate(1)) == [1]
    assert left_out(projects, rejected(4, encode_item(track("m", user_id="ann")))) == [4]
    assert left_out(projects, unreadable) == [5], "it was received at that time"


@pytest.mark.parametrize(
    "content", [b'{"userId":"ann"}', b'{"userId": "ann", ', b'[{"user_id":"ann"}]', b'{"userId":"\\u0061nn"}']
)
def test_rejection_that_names_the_user_anywhere_is_left_out(projects: MemoryProjects, content: bytes) -> None:
    projects.erase("a" * 16, "ann", rejections=3)

    assert left_out(projects, rejected(2, content)) == [2]
    assert left_out(projects, rejected(2, content, is_base64=True)) == [2]
    assert left_out(projects, rejected(3, content)) == []
    assert left_out(projects, rejected(2, content.replace(b"nn", b"nna"))) == []


def test_item_below_the_cut_that_is_rejected_later_is_left_out(projects: MemoryProjects) -> None:
    projects.erase("a" * 16, "ann", items=7, rejections=3)

    assert left_out(projects, rejected(8, b'{"userId":"ann"}', source_offset=6)) == [8]
    assert left_out(projects, rejected(8, b'{"userId":"ann"}', source_offset=7)) == []
    assert left_out(projects, rejected(8, b'{"userId":"ann"}')) == []


@pytest.mark.parametrize(("erased", "expected"), [(0, [3]), (6, [3]), (7, []), (8, [])])
@pytest.mark.parametrize("since", [None, NOON])
def test_state_that_does_not_know_the_newest_erasure_is_left_out(
    projects: MemoryProjects, erased: int, expected: list[int], since: int | None
) -> None:
    projects.erase("b" * 16, "ann", requested_at=6)
    projects.erase("a" * 16, "ann", requested_at=7, since=since, cluster_id="another")
    projects.erase("c" * 16, "bob", requested_at=9)

    assert left_out(projects, person(erased)) == expected


def test_other_project_is_not_concerned(projects: MemoryProjects) -> None:
    projects.erase("a" * 16, "ann", items=9)
    other = item_rows([event_read(0, track("m", user_id="ann", project_id="q"), source_offset=1)], 1, 0).events

    assert left_out(projects, [*other, *events(2)]) == [2]
