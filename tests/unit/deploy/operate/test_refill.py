"""A refill writes what is missing, but no row that an erasure covers."""

from __future__ import annotations

from typing import Any

from deploy.operate import refill
from deploy.operate.refill import Refilled
from processors.sink.erased import ErasedRows
from processors.sink.rows import Block, Row
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import tracks
from tests.fakes.followed_projects import MemoryProjects
from tests.fakes.sink import MemorySink


class RefilledSink(MemorySink):
    """A sink that lacks every row."""

    def insert_missing(self, block: Block) -> int:
        """Keep the rows of *block*."""
        self.rows[block.table.name].extend(block.rows)
        return len(block.rows)

    def is_refill_running(self) -> bool:
        """Return that none is."""
        return False


def written(projects: MemoryProjects, rows: list[Row]) -> tuple[list[int], list[int], int]:
    """Return the source offsets that are written and that are listed as removed, and how many the refill counts."""
    sink: Any = RefilledSink()
    done = Refilled()
    refill._Writer(sink, ErasedRows(projects), done, lambda _: None).write(EVENTS, 0, rows)
    return [row.source_offset for row in sink.rows["events"]], [key[3] for key in sink.removed], done.written


def test_rows_that_an_erasure_covers_are_listed_and_not_written() -> None:
    projects = MemoryProjects()
    rows: list[Row] = list(tracks(range(6)))
    assert written(projects, rows) == ([0, 1, 2, 3, 4, 5], [], 6)

    projects.erase("a" * 16, "u", items=4)

    assert written(projects, rows) == ([4, 5], [0, 1, 2, 3], 2)
    assert written(projects, rows[:4]) == ([], [0, 1, 2, 3], 0)
