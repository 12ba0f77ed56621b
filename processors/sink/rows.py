"""Rows and blocks: pure functions from records of `events.v1` and `persons.v1` to JSON lines.

A line is an array in the order of the columns in `schemas.clickhouse`. `_log`, `_partition` and `_origin` are the log,
the partition and the source offset of a row: the offset that an item had on `items.v1`, or that a person's state has on
`persons.v1`.

Raw JSON is copied unchanged. Property names are data in the rows and never part of a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec
from msgspec import Raw

from processors.engine.stage import SourceRecord
from processors.rejected import RejectedRecord, RejectionCode
from processors.sink.null_keys import null_keys, null_keys_of_members
from schemas.clickhouse import Table
from schemas.items import EMPTY_OBJECT, ItemWarning, Track
from schemas.persons import decode_person
from schemas.records import InvalidRecordError, decode_item, source_offset_of
from schemas.retention import week_of

BLOCK_BYTES = 32 * 1024 * 1024
"""Maximum raw JSON of a block, which ClickHouse writes well within the timeout of an answer."""

_encode_lines = msgspec.json.Encoder().encode_lines


class ItemRow(msgspec.Struct, array_like=True, gc=False):
    """The columns of every item."""

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
    warnings: Sequence[ItemWarning]
    token_id: str
    log: int
    partition: int
    source_offset: int


class EventRow(ItemRow):
    """A row of `events`."""

    event: str
    properties: Raw
    null_keys: Sequence[str]


class IdentifyRow(ItemRow):
    """A row of `identifies`."""

    traits: Raw
    null_keys: Sequence[str]


class PersonRow(msgspec.Struct, array_like=True, gc=False):
    """A row of `person_states`."""

    project_id: str
    user_id: str
    traits: dict[str, Raw]
    null_keys: Sequence[str]
    first_seen: str
    last_seen: str
    erased: int
    log: int
    partition: int
    source_offset: int


class DuplicateRow(msgspec.Struct, array_like=True, gc=False):
    """A row of `duplicates`."""

    project_id: str
    message_id: str
    type: str
    event: str
    user_id: str
    received_at: str
    first_offset: int
    same_content: bool | None
    content: str
    token_id: str
    log: int
    partition: int
    source_offset: int


class RejectedRow(msgspec.Struct, array_like=True, gc=False):
    """A row of `rejected`."""

    project_id: str
    stage: str
    code: str
    field: str
    value: str
    message: str
    message_id: str
    type: str
    event: str
    user_id: str
    received_at: str
    rejected_at: str
    request_id: str
    table_name: str
    content: str
    is_base64: bool
    is_truncated: bool
    source_topic: str
    rejected_partition: int
    rejected_offset: int
    token_id: str
    log: int
    partition: int
    source_offset: int


Row = EventRow | IdentifyRow | PersonRow | DuplicateRow | RejectedRow


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one table, partition and week, by growing source offset; written as a whole or not at all."""

    table: Table
    partition: int
    rows: Sequence[Row]
    size_bytes: int = 0
    """Bytes of raw JSON; 0 if not counted."""

    @property
    def log(self) -> int:
        """The log of the source offsets: an `id` of `_logs`."""
        return self.rows[0].log

    @property
    def week(self) -> str:
        """The Monday of the week in which the rows were received; empty for a table that has no partitions by week."""
        return row_week(self.rows[0])

    @property
    def first_offset(self) -> int:
        """Source offset of the first row."""
        return self.rows[0].source_offset

    @property
    def last_offset(self) -> int:
        """Source offset of the last row."""
        return self.rows[-1].source_offset

    def encode(self) -> bytes:
        """Return the rows as lines of JSON arrays."""
        return _encode_lines(self.rows)

    def halves(self) -> tuple[Block, Block]:
        """Return the two halves of a block of more than one row."""
        middle = len(self.rows) // 2
        first, second = self.rows[:middle], self.rows[middle:]
        return (
            Block(self.table, self.partition, first, sum(map(_size, first))),
            Block(self.table, self.partition, second, sum(map(_size, second))),
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a batch of `events.v1`."""

    events: list[Row]
    identifies: list[Row]
    rejected: list[RejectedRecord]


def item_rows(records: Iterable[SourceRecord], log: int, partition: int) -> Rows:
    """Return the rows of *records* of `events.v1`, whose source offsets belong to *log*."""
    rows = Rows([], [], [])
    for record in records:
        try:
            item, source_offset = decode_item(record.value), source_offset_of(record.headers)
        except (InvalidRecordError, KeyError, ValueError) as error:
            rows.rejected.append(RejectedRecord(record, RejectionCode.NOT_AN_ITEM, str(error)))
            continue
        # Positional arguments: keywords would take three times as long.
        context, integrations = _text(item.context), _text(item.integrations)
        if isinstance(item, Track):
            rows.events.append(
                EventRow(
                    item.project_id, item.message_id, item.user_id, item.timestamp, item.received_at,
                    item.original_timestamp, item.sent_at, item.anonymous_id, context, integrations,
                    item.warnings, item.token_id, log, partition, source_offset, item.event, item.properties,
                    null_keys(item.properties),
                )
            )  # fmt: skip
        else:
            rows.identifies.append(
                IdentifyRow(
                    item.project_id, item.message_id, item.user_id, item.timestamp, item.received_at,
                    item.original_timestamp, item.sent_at, item.anonymous_id, context, integrations,
                    item.warnings, item.token_id, log, partition, source_offset, item.traits, null_keys(item.traits),
                )
            )  # fmt: skip
    return rows


def person_rows(records: Iterable[SourceRecord], log: int, partition: int) -> tuple[list[Row], list[RejectedRecord]]:
    """Return the rows of *records* of `persons.v1`, whose offsets belong to *log*, and the rejected records.

    Tombstones have no row.
    """
    rows: list[Row] = []
    rejected: list[RejectedRecord] = []
    for record in records:
        if record.value is None:
            continue
        try:
            person = decode_person(record.value)
        except InvalidRecordError as error:
            rejected.append(RejectedRecord(record, RejectionCode.NOT_AN_ITEM, str(error)))
            continue
        rows.append(
            PersonRow(
                person.project_id, person.user_id, person.traits, null_keys_of_members(person.traits),
                person.first_seen, person.last_seen, person.erased, log, partition, record.offset,
            )
        )  # fmt: skip
    return rows, rejected


def blocks(table: Table, rows: Iterable[Row], partition: int, after: int) -> Iterator[Block]:
    """Yield blocks of the *rows* whose source offsets grow beyond *after*.

    Any other row is in the table already: its record was read again, or a worker that was paused wrote the record a
    second time. A block is of one week, because ClickHouse would split it into two parts otherwise, and has at most
    `BLOCK_BYTES`.
    """
    for _, of_week in groupby(growing(rows, after), key=row_week):
        for part, size_bytes in _bounded(of_week):
            yield Block(table, partition, part, size_bytes)


def growing(rows: Iterable[Row], after: int) -> Iterator[Row]:
    """Yield the *rows* whose source offsets grow beyond *after*."""
    for row in rows:
        if row.source_offset > after:
            after = row.source_offset
            yield row


def _bounded(rows: Iterable[Row]) -> Iterator[tuple[list[Row], int]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        size += (more := _size(row))
        if part and size > BLOCK_BYTES:
            yield part, size - more
            part, size = [], more
        part.append(row)
    if part:
        yield part, size


def _size(row: Row) -> int:
    if isinstance(row, DuplicateRow | RejectedRow):
        return len(row.content)
    keys = sum(map(len, row.null_keys)) if row.null_keys else 0
    if isinstance(row, EventRow):
        return len(row.properties) + len(row.context) + len(row.integrations) + keys
    if isinstance(row, IdentifyRow):
        return len(row.traits) + len(row.context) + len(row.integrations) + keys
    return sum(len(value) for value in row.traits.values()) + keys


def row_week(row: Row) -> str:
    """Return the Monday of the week in which *row* was received; empty for a state of a person."""
    return "" if isinstance(row, PersonRow) else week_of(row.received_at)


def _text(value: Raw) -> str:
    # Most items have the default, which is this very object.
    return "{}" if value is EMPTY_OBJECT else str(bytes(value), "utf-8")
