"""Compares the topics with source offsets and the tables that are filled from them, as far back as the topics reach.

A table has the first record of each source offset whose offset exceeds all before it in the partition. Rows above the
position of a table are on their way and are counted apart, so that the figures balance while the pipeline runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.operate import logs, offsets, positions
from deploy.operate.audit_tables import Rows
from deploy.operate.events_log import SOURCES, TABLES, SourceLog, read_source
from deploy.operate.ledger import Ledger, make_ledger, read_accepted
from deploy.operate.rejected_rows import rejected_rows
from deploy.operate.scope import Scope, read_scope
from deploy.operate.servers import Servers
from deploy.operate.source_offsets import RANGES_SHOWN, SourceOffsets, describe, ranges
from processors.clickhouse.client import ClickHouse
from schemas.clickhouse import Table


@dataclass(slots=True)
class Compared:
    """One table and one partition."""

    table: Table
    partition: int
    position: int
    """Highest source offset that the sink counts as done, when the audit began."""
    kept: int
    """Position up to which rows were removed on purpose, -1 for none."""
    in_log: int = 0
    """Records that the table should have, those on their way included."""
    waiting: int = 0
    """Records above the position."""
    in_table: int = 0
    """Rows of the same range of source offsets."""
    missing: SourceOffsets = field(default_factory=SourceOffsets)
    removed: SourceOffsets = field(default_factory=SourceOffsets)
    """Not in the table, and at or below the kept position."""
    erased: SourceOffsets = field(default_factory=SourceOffsets)
    """Not in the table, because an erasure covers them. A refill never writes them."""
    rejected: SourceOffsets = field(default_factory=SourceOffsets)
    """Not in the table, but on `rejected.v1`."""
    unexpected: list[int] = field(default_factory=list)
    """In the table, but not in the log."""
    repeated: int = 0
    """Rows whose source offset another row has. Merges remove them."""

    def describe(self) -> dict[str, Any]:
        """Return the figures as `--json` prints them."""
        return {
            "table": self.table.name,
            "partition": self.partition,
            "position": self.position,
            "inLog": self.in_log,
            "inTable": self.in_table,
            "waiting": self.waiting,
            "missing": len(self.missing),
            "missingRanges": [list(each) for each in ranges(self.missing)][:RANGES_SHOWN],
            "removed": len(self.removed),
            "erased": len(self.erased),
            "rejected": len(self.rejected),
            "unexpected": len(self.unexpected),
            "repeated": self.repeated,
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit, and what a refill needs of it."""

    log: int
    compared: Sequence[Compared]
    sources: Sequence[SourceLog]
    """What each partition of each topic has."""
    ledger: Ledger

    @property
    def missing(self) -> int:
        """Number of rows that are missing."""
        return sum(len(each.missing) for each in self.compared)

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing and nothing is too much. Rows that a merge will remove do not count."""
        return not (self.missing or self.ledger.faults or any(each.unexpected for each in self.compared))


def audit(
    servers: Servers, *, include_deleted: bool = False, project_id: str = "", since: datetime | None = None
) -> Audit:
    """Compare every partition: the items of *project_id*, all if empty, that the broker appended *since*.

    With *include_deleted*, rows that were removed on purpose count as missing, unless an erasure covers them.
    """
    log = logs.current(servers)
    scope = servers.ask_kafka(lambda kafka: read_scope(kafka, project_id, since))
    with servers.tables() as clickhouse:
        # In the order of the flow: what a later step has processed now is in its output, which is read after it.
        accepted = servers.ask_kafka(lambda kafka: read_accepted(kafka, scope))
        compared = _positions(clickhouse, servers, log, include_deleted=include_deleted)
        sources = _read_sources(servers, compared, scope)
        for read in sources:
            for each in _of(read, compared):
                _compare(clickhouse, log, each, read, scope)
    if any(each.missing for each in compared):
        _leave_out_rejected(servers, log, compared)
    return Audit(log, compared, sources, make_ledger(accepted, sources, compared, scope))


def _read_sources(servers: Servers, compared: Sequence[Compared], scope: Scope) -> list[SourceLog]:
    """Return what *scope* has of each partition of each topic."""
    group = servers.ask_kafka(
        lambda kafka: offsets.group(
            kafka, f"{kafka.topic_prefix}-sink", [f"{kafka.topic_prefix}.{source.topic}" for source in SOURCES]
        )
    )
    found = []
    for source in SOURCES:
        for read in group.inputs.values():
            if read.topic.endswith(f".{source.topic}"):
                reached = {
                    each.table.name: each.position
                    for each in compared
                    if each.table in source.tables and each.partition == read.partition
                }
                found.append(servers.ask_kafka(lambda kafka: read_source(kafka, source, read, reached, scope)))  # noqa: B023  # called at once
    return found


def _of(read: SourceLog, compared: Sequence[Compared]) -> list[Compared]:
    """Return the comparisons of the tables that are filled from *read*."""
    return [each for each in compared if each.table in read.source.tables and each.partition == read.read.partition]


def _positions(clickhouse: ClickHouse, servers: Servers, log: int, *, include_deleted: bool) -> list[Compared]:
    """Return an empty comparison of each table and partition."""
    shown = {(each.table.name, each.partition): each for each in positions.read(clickhouse, TABLES) if each.log == log}
    kept = {} if include_deleted else positions.kept(clickhouse, log)
    count = servers.ask_kafka(logs.identity).partitions
    found = []
    for table in TABLES:
        for partition in range(count):
            key = (table.name, partition)
            position = shown[key].position if key in shown else -1
            found.append(Compared(table, partition, position, kept.get(key, -1)))
    return found


def _compare(clickhouse: ClickHouse, log: int, each: Compared, read: SourceLog, scope: Scope) -> None:
    """Fill in *each* from its table and from *read*."""
    expected = read.of_table(each.table.name)
    each.waiting = read.waiting[each.table.name]
    each.in_log = len(expected) + each.waiting
    if read.first is None or read.first > each.position:
        return
    rows = Rows(each.table, log, each.partition, read.first, each.position, scope.project_id)
    figures = rows.figures(clickhouse)
    each.in_table = sum(of_window.number for of_window in figures.values())
    if expected.differing_windows(figures):
        each.erased = expected.common(rows.erased(clickhouse))
        expected = expected.without(each.erased)
    for ours, theirs in rows.differing(clickhouse, expected.differing_windows(figures), expected):
        each.repeated += len(theirs) - len(set(theirs))
        # Before the first record whose offset is certain, a repeat may stand for what has expired.
        each.unexpected += sorted(offset for offset in set(theirs) - ours if offset > read.certain_from)
        for offset in ours.difference(theirs):
            if offset <= each.kept:
                each.removed.add(offset)
            else:
                each.missing.add(offset)


def _leave_out_rejected(servers: Servers, log: int, compared: Sequence[Compared]) -> None:
    """Count missing rows that are on `rejected.v1` as rejected."""
    of = {(each.table.name, each.partition): each for each in compared}
    for table, partition, source_offset in servers.ask_kafka(lambda kafka: rejected_rows(kafka, log)):
        each = of.get((table, partition))
        if each is not None and source_offset in each.missing:
            each.missing.discard(source_offset)
            each.rejected.add(source_offset)


def lines(found: Audit) -> Iterator[str]:
    """Yield what is missing and what is unexpected, a sentence for each table and partition."""
    for each in found.compared:
        place = f"{each.table.name}, partition {each.partition}"
        if each.missing:
            yield f"{place}: {len(each.missing)} missing: {describe(each.missing)}"
        if each.unexpected:
            yield f"{place}: {len(each.unexpected)} unexpected: {describe(each.unexpected)}"
        if each.repeated:
            yield f"{place}: {each.repeated} rows are stored twice until a merge."
    yield from found.ledger.faults
