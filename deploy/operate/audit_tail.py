"""What an audit that is repeated remembers of the topics, by source offset: it reads each record once. Pure.

An audit of a window needs to know where each item went: to `events.v1`, to `duplicates.v1` or to `rejected.v1`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.operate.events_log import UNREADABLE, Source
from deploy.operate.rejected_rows import row_of
from deploy.operate.source_offsets import SourceOffsets
from processors.sink.resume import WINDOW_RECORDS
from schemas.clickhouse import REJECTED


@dataclass(slots=True)
class Rejections:
    """What workers rejected, by the partition of `items.v1`."""

    by_dedupe: dict[int, SourceOffsets] = field(default_factory=lambda: defaultdict(SourceOffsets))
    rows: dict[tuple[str, int], SourceOffsets] = field(default_factory=lambda: defaultdict(SourceOffsets))
    """Rows that ClickHouse did not take, by table."""

    def forget_below(self, firsts: Mapping[int, int]) -> None:
        """Forget what lies below the source offset of each partition."""
        for partition, of_dedupe in self.by_dedupe.items():
            of_dedupe.forget_below(firsts.get(partition, 0))
        for (_, partition), of_table in self.rows.items():
            of_table.forget_below(firsts.get(partition, 0))


@dataclass(slots=True)
class Tail:
    """A partition of a topic that tables are filled from, as far as it was read."""

    source: Source
    following: int
    """Offset of the next record to read."""
    leaves_out: bool = False
    """Whether reading began anywhere, so that source offsets are certain after a while only."""
    certain_from: int = -1
    """Source offset up to which a record may have been left out."""
    seen: SourceOffsets = field(default_factory=SourceOffsets)
    """Every source offset."""
    _of_tables: dict[str, SourceOffsets] = field(default_factory=lambda: defaultdict(SourceOffsets))
    _last: int = -1
    _count: int = 0

    def of_table(self, name: str) -> SourceOffsets:
        """Return the source offsets that table *name* should have once the sink has written all of them."""
        return self._of_tables[name]

    def take(self, records: Iterable[Any], rejections: Rejections, log: int) -> None:
        """Note the next *records*, and in *rejections* those of workers; *log* is that of the rows."""
        for record in records:
            self.following = record.offset + 1
            try:
                source_offset, table = self.source.find(record)
            except UNREADABLE:
                continue
            self._count += 1
            if self.leaves_out and self._count <= WINDOW_RECORDS:
                self.certain_from = max(self.certain_from, source_offset)
            self.seen.add(source_offset)
            # A table has the first record of each source offset that exceeds all before it.
            if source_offset > self._last:
                self._last = source_offset
                self._of_tables[table].add(source_offset)
            if table == REJECTED.name:
                self._note(record, rejections, log)

    def _note(self, record: Any, rejections: Rejections, log: int) -> None:
        found = self.source.rejected(record)
        if found is not None and found.stage == "dedupe":
            rejections.by_dedupe[found.partition].add(found.source_offset)
        if (row := row_of(record.value, log)) is not None:
            table, partition, source_offset = row
            rejections.rows[table, partition].add(source_offset)

    def forget_below(self, first: int) -> None:
        """Forget what lies below source offset *first*."""
        for each in (self.seen, *self._of_tables.values()):
            each.forget_below(first)
