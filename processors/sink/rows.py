"""Records to rows: pure functions from records of `events.v1` and `persons.v1` to blocks of JSON lines.

A line is an array, in the order of the columns in `schemas.clickhouse`.

Raw JSON goes through as it is. Names of properties are data in the rows and never part of a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec
from msgspec import Raw

from processors.engine.stage import SourceRecord
from schemas.clickhouse import Table
from schemas.items import EMPTY_OBJECT, Track
from schemas.persons import decode_person
from schemas.records import InvalidRecordError, decode_item, origin_of

BLOCK_BYTES = 32 * 1024 * 1024
"""What a block may hold of raw JSON: written well within the time that an answer is waited for."""

_encode_lines = msgspec.json.Encoder().encode_lines


class ItemRow(msgspec.Struct, array_like=True, gc=False):
    """What rows of both kinds of item have."""

    project_id: str
    message_id: str
    user_id: str
    timestamp: str
    received_at: str
    original_timestamp: str | None
    sent_at: str | None
    anonymous_id: str | None
    context: str
    integrations: str
    partition: int
    origin: int


class EventRow(ItemRow):
    """A row of `events`."""

    event: str
    properties: Raw


class IdentifyRow(ItemRow):
    """A row of `identifies`."""

    traits: Raw


class PersonRow(msgspec.Struct, array_like=True, gc=False):
    """A row of `person_states`."""

    project_id: str
    user_id: str
    traits: dict[str, Raw]
    first_seen: str
    last_seen: str
    partition: int
    origin: int


Row = EventRow | IdentifyRow | PersonRow


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one table, one partition and one month, in the order of their origins: written whole or not at all."""

    table: Table
    partition: int
    rows: Sequence[Row]
    size_bytes: int = 0
    """Of their raw JSON; 0 where nobody has counted."""

    @property
    def month(self) -> str:
        """The month that all of them were received in; empty where the table does not ask."""
        return _month(self.rows[0])

    @property
    def first(self) -> int:
        """Origin of the first row."""
        return self.rows[0].origin

    @property
    def last(self) -> int:
        """Origin of the last row."""
        return self.rows[-1].origin

    def encode(self) -> bytes:
        """Return the rows as lines of JSON arrays."""
        return _encode_lines(self.rows)

    def halves(self) -> tuple[Block, Block]:
        """Return the block in two; it has more than one row."""
        middle = len(self.rows) // 2
        first, second = self.rows[:middle], self.rows[middle:]
        return (
            Block(self.table, self.partition, first, sum(map(_size, first))),
            Block(self.table, self.partition, second, sum(map(_size, second))),
        )


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that makes no row, and why."""

    record: SourceRecord
    message: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What a run of records of `events.v1` comes to."""

    events: list[Row]
    identifies: list[Row]
    unreadable: list[RejectedRecord]


def item_rows(records: Iterable[SourceRecord], partition: int) -> Rows:
    """Return the rows of *records* of `events.v1`, each with its origin."""
    rows = Rows([], [], [])
    for record in records:
        try:
            item, origin = decode_item(record.value), origin_of(record.headers)
        except (InvalidRecordError, KeyError, ValueError) as error:
            rows.unreadable.append(RejectedRecord(record, str(error)))
            continue
        # Positions and not names: for each row that is a third of the time.
        context, integrations = _text(item.context), _text(item.integrations)
        if isinstance(item, Track):
            rows.events.append(
                EventRow(
                    item.project_id, item.message_id, item.user_id, item.timestamp, item.received_at,
                    item.original_timestamp, item.sent_at, item.anonymous_id, context, integrations, partition, origin,
                    item.event, item.properties,
                )
            )  # fmt: skip
        else:
            rows.identifies.append(
                IdentifyRow(
                    item.project_id, item.message_id, item.user_id, item.timestamp, item.received_at,
                    item.original_timestamp, item.sent_at, item.anonymous_id, context, integrations, partition, origin,
                    item.traits,
                )
            )  # fmt: skip
    return rows


def person_rows(records: Iterable[SourceRecord], partition: int) -> tuple[list[Row], list[RejectedRecord]]:
    """Return the rows of *records* of `persons.v1`: their origin is their own offset."""
    rows: list[Row] = []
    unreadable: list[RejectedRecord] = []
    for record in records:
        if record.value is None:
            continue
        try:
            person = decode_person(record.value)
        except InvalidRecordError as error:
            unreadable.append(RejectedRecord(record, str(error)))
            continue
        rows.append(
            PersonRow(
                person.project_id,
                person.user_id,
                person.traits,
                person.first_seen,
                person.last_seen,
                partition,
                record.offset,
            )
        )
    return rows, unreadable


def blocks(table: Table, rows: Iterable[Row], partition: int, after: int) -> Iterator[Block]:
    """Yield the blocks of *rows* whose origins grow beyond *after*.

    A row that does not is there already: it was read again, or a worker that woke after its partition had moved wrote
    its record a second time. A block never crosses a month, because ClickHouse would make it two parts, and holds
    `BLOCK_BYTES` at most.
    """
    for _, month in groupby(_growing(rows, after), key=_month):
        for run, size_bytes in _bounded(month):
            yield Block(table, partition, run, size_bytes)


def _growing(rows: Iterable[Row], after: int) -> Iterator[Row]:
    for row in rows:
        if row.origin > after:
            after = row.origin
            yield row


def _bounded(rows: Iterable[Row]) -> Iterator[tuple[list[Row], int]]:
    run: list[Row] = []
    size = 0
    for row in rows:
        size += (more := _size(row))
        if run and size > BLOCK_BYTES:
            yield run, size - more
            run, size = [], more
        run.append(row)
    if run:
        yield run, size


def _size(row: Row) -> int:
    if isinstance(row, EventRow):
        return len(row.properties) + len(row.context) + len(row.integrations)
    if isinstance(row, IdentifyRow):
        return len(row.traits) + len(row.context) + len(row.integrations)
    return sum(len(value) for value in row.traits.values())


def _month(row: Row) -> str:
    return "" if isinstance(row, PersonRow) else row.received_at[:7]


def _text(value: Raw) -> str:
    # Most items have none, and then it is this very object.
    return "{}" if value is EMPTY_OBJECT else str(bytes(value), "utf-8")
