"""The equation of an audit: every item that was received is in one place. Pure, but for reading `items.v1`.

received = accepted + rejected by the gateway; accepted = unique + duplicates + rejected by dedupe + waiting;
unique = rows + rejected by the sink + removed + erased + waiting. What is left over is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.operate import offsets
from deploy.operate.events_log import SourceLog, batches
from deploy.operate.offsets import Input
from deploy.operate.scope import Scope
from deploy.operate.source_offsets import SourceOffsets, describe
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, REJECTED, Table
from schemas.settings import KafkaSettings
from schemas.topics import Topics


class TableFigures(Protocol):
    """How a partition of a table differs from its topic."""

    table: Table
    partition: int
    missing: SourceOffsets
    removed: SourceOffsets
    erased: SourceOffsets
    rejected: SourceOffsets


@dataclass(frozen=True, slots=True)
class Accepted:
    """The items on a partition of `items.v1`."""

    partition: int
    processed: int
    """Offset below which dedupe has processed every item."""
    items: SourceOffsets


@dataclass(slots=True)
class Places:
    """Where the records are that a table, or two, should have."""

    records: int = 0
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    rejected: int = 0
    removed: int = 0
    erased: int = 0
    waiting: int = 0
    missing: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the figures as `--json` prints them."""
        return {
            "rows": dict(self.rows),
            "rejected": self.rejected,
            "removed": self.removed,
            "erased": self.erased,
            "waiting": self.waiting,
            "missing": self.missing,
        }

    def __str__(self) -> str:
        rows = " + ".join(f"{name} {count:,}" for name, count in self.rows.items())
        rejected = f" + rejected by the sink {self.rejected:,}" if REJECTED.name not in self.rows else ""
        erased = f" + erased {self.erased:,}" if self.erased else ""
        removed = f" + removed {self.removed:,}{erased}"
        return f"{rows}{rejected}{removed} + waiting {self.waiting:,}{_missing(self.missing)}"


@dataclass(slots=True)
class Ledger:
    """The numbers of items, and what does not add up."""

    accepted: int = 0
    rejected_by_gateway: int = 0
    rejected_by_dedupe: int = 0
    waiting: int = 0
    """Items that dedupe has not processed."""
    missing: int = 0
    """Items that dedupe has processed and that are on none of its topics."""
    unique: Places = field(default_factory=Places)
    duplicates: Places = field(default_factory=Places)
    rejected: Places = field(default_factory=Places)
    """The records of `rejected.v1`."""
    faults: list[str] = field(default_factory=list)
    """What is missing or too much between `items.v1` and the topics of dedupe, a sentence for each partition."""

    def describe(self) -> dict[str, Any]:
        """Return the equation as `--json` prints it."""
        return {
            "received": self.accepted + self.rejected_by_gateway,
            "accepted": self.accepted,
            "rejectedByGateway": self.rejected_by_gateway,
            "unique": self.unique.records,
            "duplicates": self.duplicates.records,
            "rejectedByDedupe": self.rejected_by_dedupe,
            "waiting": self.waiting,
            "missing": self.missing,
            "ofUnique": self.unique.describe(),
            "ofDuplicates": self.duplicates.describe(),
            "ofRejected": self.rejected.describe(),
        }

    def lines(self) -> Iterator[str]:
        """Yield the equation, a line for each step."""
        yield (
            f"received {self.accepted + self.rejected_by_gateway:,} = accepted {self.accepted:,}"
            f" + rejected by the gateway {self.rejected_by_gateway:,}"
        )
        yield (
            f"accepted {self.accepted:,} = unique {self.unique.records:,} + duplicates {self.duplicates.records:,}"
            f" + rejected by dedupe {self.rejected_by_dedupe:,} + waiting {self.waiting:,}{_missing(self.missing)}"
        )
        yield f"unique {self.unique.records:,} = {self.unique}"
        yield f"duplicates {self.duplicates.records:,} = {self.duplicates}"
        yield f"rejections {self.rejected.records:,} = {self.rejected}"


def _missing(count: int) -> str:
    return f" + missing {count:,}" if count else ""


async def read_accepted(kafka: KafkaSettings, scope: Scope) -> list[Accepted]:
    """Return the items of *scope*, by partition. Without a project, their number follows from the offsets."""
    topics = Topics(kafka.topic_prefix)
    # The commits are read before the ends of the topics that dedupe writes: what they say is there.
    group = await offsets.group(kafka, f"{topics.prefix}-dedupe", [topics.items])
    return [await _read_partition(kafka, scope, read) for read in group.inputs.values()]


async def _read_partition(kafka: KafkaSettings, scope: Scope, read: Input) -> Accepted:
    first, processed = scope.start(read), read.committed or 0
    if not scope.project_id:
        return Accepted(read.partition, processed, SourceOffsets.between(first, read.log_end))
    items = SourceOffsets()
    async for records in batches(kafka, read, first, read.log_end):
        for record in records:
            if scope.has(record):
                items.add(record.offset)
    return Accepted(read.partition, processed, items)


def make_ledger(
    accepted: Sequence[Accepted], sources: Sequence[SourceLog], compared: Sequence[TableFigures], scope: Scope
) -> Ledger:
    """Return the equation over the items of *accepted*; *sources* and *compared* were read after them."""
    ledger = Ledger()
    logs = {(each.source.topic, each.read.partition): each for each in sources}
    by_dedupe: Mapping[int, SourceOffsets] = _rejected_by_dedupe(sources)
    for each in accepted:
        events, duplicates = (logs[table.topic, each.partition] for table in (EVENTS, DUPLICATES))
        items = _still_known(each.items, events, scope)
        unique, dropped = items.common(events.seen), items.common(duplicates.seen)
        by_this = items.common(by_dedupe[each.partition]).without(unique, dropped)
        nowhere = items.without(unique, dropped, by_this)
        missing = nowhere.common(SourceOffsets.between(0, each.processed))
        ledger.accepted += len(items)
        ledger.rejected_by_dedupe += len(by_this)
        ledger.missing += len(missing)
        ledger.waiting += len(nowhere) - len(missing)
        of = {one.table: one for one in compared if one.partition == each.partition}
        _place(ledger.unique, unique, [(of[table], events) for table in (EVENTS, IDENTIFIES)])
        _place(ledger.duplicates, dropped, [(of[DUPLICATES], duplicates)])
        ledger.faults += _faults(each.partition, missing, unique.common(dropped))
    for figures in compared:
        if figures.table is REJECTED:
            rejections = logs[REJECTED.topic, figures.partition]
            ledger.rejected_by_gateway += len(rejections.seen) - len(rejections.rejected)
            _place(ledger.rejected, rejections.seen, [(figures, rejections)])
    return ledger


def _still_known(items: SourceOffsets, events: SourceLog, scope: Scope) -> SourceOffsets:
    """Return *items* without those whose events may have expired."""
    read = events.read
    if scope.start(read) == read.log_start > 0:
        return items.without(SourceOffsets.between(0, events.certain_from + 1))
    return items


def _rejected_by_dedupe(sources: Iterable[SourceLog]) -> dict[int, SourceOffsets]:
    found: dict[int, SourceOffsets] = defaultdict(SourceOffsets)
    for source in sources:
        for each in source.rejected:
            if each.stage == "dedupe":
                found[each.partition].add(each.source_offset)
    return found


def _place(places: Places, records: SourceOffsets, tables: Sequence[tuple[TableFigures, SourceLog]]) -> None:
    """Count the *records* of a partition by where they are."""
    places.records += len(records)
    left = len(records)
    for figures, source in tables:
        done = records.common(source.of_table(figures.table.name))
        reasons = (figures.rejected, figures.removed, figures.missing, figures.erased)
        gone = [len(records.common(each)) for each in reasons]
        places.rows[figures.table.name] += len(done) - sum(gone)
        places.rejected += gone[0]
        places.removed += gone[1]
        places.missing += gone[2]
        places.erased += gone[3]
        left -= len(done)
    places.waiting += left


def _faults(partition: int, missing: SourceOffsets, twice: SourceOffsets) -> Iterator[str]:
    place = f"items.v1, partition {partition}"
    if missing:
        yield (
            f"{place}: {len(missing)} items are neither on events.v1 nor on duplicates.v1, and not rejected: "
            f"{describe(missing)}"
        )
    if twice:
        yield f"{place}: {len(twice)} items are on events.v1 and on duplicates.v1: {describe(twice)}"
