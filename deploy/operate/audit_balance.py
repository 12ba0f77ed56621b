"""Compares the items of a window with what the topics and the tables have of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from deploy.operate.audit_tables import Rows
from deploy.operate.audit_tail import Rejections, Tail
from deploy.operate.kafka_reader import Key
from deploy.operate.source_offsets import Figures, SourceOffsets, describe
from processors.clickhouse.client import ClickHouse
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, REJECTED, Table
from schemas.topics import Topics

_CLOCKS_SECONDS = 3600.0
"""Rows of the window were received at most so much before it, unless a gateway's clock is wrong."""
_SETTINGS = "max_threads = 1, max_execution_time = 5"
_EXACT_WINDOWS = 16
"""Windows of a partition of a table whose differences are listed; of others only their number is known."""
_NO_FIGURES = Figures(0, 0, 0)


class Span(NamedTuple):
    """Source offsets of a partition, from *first* to before *end*."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Known:
    """What was read of the topics, and how far the tables were filled before that."""

    log: int
    topics: Topics
    since: float
    """Time of the oldest item of the window, in seconds since 1970."""
    spans: Mapping[Key, Span]
    """The window, of `items.v1` and of `rejected.v1`."""
    tails: Mapping[Key, Tail]
    rejections: Rejections
    positions: Mapping[tuple[str, int], int]
    kept: Mapping[tuple[str, int], int]
    """By table and partition, the position up to which rows were removed on purpose."""


@dataclass(slots=True)
class Balance:
    """What a window has and lacks, by topic: that on which the records are that should be further on."""

    since: float
    items: int = 0
    """Items that were compared: `unique` + `duplicates` + `rejected` + those that are missing on `items.v1`."""
    missing: dict[str, int] = field(default_factory=dict)
    unexpected: dict[str, int] = field(default_factory=dict)
    """Rows of no record; of `items.v1` the items that are unique and a duplicate."""
    repeated: dict[str, int] = field(default_factory=dict)
    """Rows that a merge will remove."""
    lines: list[str] = field(default_factory=list)
    """What does not add up, a sentence for each partition."""
    unique: int = 0
    duplicates: int = 0
    rejected: int = 0
    """By dedupe."""
    compared: dict[str, int] = field(default_factory=dict)
    """Records of the window that were compared, by topic: on `items.v1` the items, of the others those with a row."""

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing and nothing is too much."""
        return not any((*self.missing.values(), *self.unexpected.values()))


def compare(clickhouse: ClickHouse, known: Known) -> Balance:
    """Return the balance of what is *known*; raises `ClickHouseError`."""
    topics = known.topics
    names = (topics.items, topics.events, topics.duplicates, topics.rejected)
    missing, unexpected, repeated, compared = (dict.fromkeys(names, 0) for _ in range(4))
    balance = Balance(known.since, 0, missing, unexpected, repeated, compared=compared)
    for (topic, partition), span in known.spans.items():
        if topic == topics.rejected:
            tail = known.tails[topics.rejected, partition]
            _tables(clickhouse, known, balance, _Part(partition, _certain(span, tail), tail, (REJECTED,)))
            continue
        events, duplicates = known.tails[topics.events, partition], known.tails[topics.duplicates, partition]
        certain = _certain(span, events, duplicates)
        _items(known, balance, partition, certain)
        _tables(clickhouse, known, balance, _Part(partition, certain, events, (EVENTS, IDENTIFIES)))
        _tables(clickhouse, known, balance, _Part(partition, certain, duplicates, (DUPLICATES,)))
    return balance


def _certain(span: Span, *tails: Tail) -> Span:
    """Return the part of *span* of which *tails* have every record."""
    return Span(max(span.first, *(tail.certain_from + 1 for tail in tails)), span.end)


def _items(known: Known, balance: Balance, partition: int, span: Span) -> None:
    """Compare items with the topics of dedupe."""
    topics = known.topics
    items = SourceOffsets.between(*span)
    events, duplicates = (known.tails[topic, partition].seen for topic in (topics.events, topics.duplicates))
    rejected = known.rejections.by_dedupe[partition]
    missing = items.without(events, duplicates, rejected)
    twice = items.common(events).common(duplicates)
    balance.items += len(items)
    balance.compared[topics.items] += len(items)
    balance.unique += len(items.common(events))
    balance.duplicates += len(items.common(duplicates).without(events))
    balance.rejected += len(items.common(rejected).without(events, duplicates))
    balance.missing[topics.items] += len(missing)
    balance.unexpected[topics.items] += len(twice)
    place = f"items.v1, partition {partition}"
    if missing:
        balance.lines.append(
            f"{place}: {len(missing)} items are neither on events.v1 nor on duplicates.v1, and not rejected: "
            f"{describe(missing)}"
        )
    if twice:
        balance.lines.append(f"{place}: {len(twice)} items are on events.v1 and on duplicates.v1: {describe(twice)}")


class _Part(NamedTuple):
    """A partition of a topic, and the tables that are filled from it."""

    partition: int
    span: Span
    tail: Tail
    tables: Sequence[Table]


def _tables(clickhouse: ClickHouse, known: Known, balance: Balance, part: _Part) -> None:
    topic = f"{known.topics.prefix}.{part.tail.source.topic}"
    for table in part.tables:
        key = table.name, part.partition
        first = max(part.span.first, known.kept.get(key, -1) + 1)
        last = min(part.span.end - 1, known.positions.get(key, -1))
        if first > last:
            continue
        expected = part.tail.of_table(table.name).common(SourceOffsets.between(first, last + 1))
        expected = expected.without(known.rejections.rows[key])
        found = _differences(
            clickhouse, Rows(table, known.log, part.partition, first, last, settings=_SETTINGS), expected, known.since
        )
        balance.compared[topic] += len(expected)
        balance.missing[topic] += found.missing
        balance.unexpected[topic] += found.unexpected
        balance.repeated[topic] += found.repeated
        balance.lines += [f"{table.name}, partition {part.partition}: {line}" for line in found.lines]


@dataclass(slots=True)
class _Differences:
    missing: int = 0
    unexpected: int = 0
    repeated: int = 0
    lines: list[str] = field(default_factory=list)


def _differences(clickhouse: ClickHouse, rows: Rows, expected: SourceOffsets, since: float) -> _Differences:
    recent = rows.since(since - _CLOCKS_SECONDS)
    found = _Differences()
    if not expected.differing_windows(recent.figures(clickhouse)):
        return found
    # A gateway's clock may be wrong: rows are looked for whenever they were received.
    figures = rows.figures(clickhouse)
    if expected.differing_windows(figures):
        expected = expected.without(rows.erased(clickhouse))
    windows = expected.differing_windows(figures)
    missing, unexpected = SourceOffsets(), SourceOffsets()
    for ours, theirs in rows.differing(clickhouse, windows[:_EXACT_WINDOWS], expected):
        found.repeated += len(theirs) - len(set(theirs))
        for offsets, difference in ((missing, ours.difference(theirs)), (unexpected, set(theirs) - ours)):
            for offset in difference:
                offsets.add(offset)
    found.lines += [f"{len(missing)} missing: {describe(missing)}"] if missing else []
    found.lines += [f"{len(unexpected)} unexpected: {describe(unexpected)}"] if unexpected else []
    found.missing, found.unexpected = len(missing), len(unexpected)
    for window in windows[_EXACT_WINDOWS:]:
        surplus = figures.get(window, _NO_FIGURES).number - expected.figures(window).number
        found.missing += max(0, -surplus)
        found.unexpected += max(0, surplus)
    if more := len(windows) - _EXACT_WINDOWS:
        found.lines += [f"{more} more ranges of source offsets differ"] if more > 0 else []
    return found
