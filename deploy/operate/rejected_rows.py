"""Reads from `rejected.v1` which rows ClickHouse did not take: they are missing in a table for a known reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from deploy.operate import offsets
from deploy.operate.events_log import batches
from processors.rejected import RejectionCode
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES
from schemas.settings import KafkaSettings
from schemas.topics import Topics

_CODES = frozenset({RejectionCode.ROW_REJECTED.value, "engine_cannot_store"})
_OWN_COLUMNS = {EVENTS.name: "properties", IDENTIFIES.name: "traits", DUPLICATES.name: "first_origin"}
"""A column that no other of these tables has."""


class _Rejection(msgspec.Struct, rename="camel"):
    code: str
    content: str | None = None
    table: str | None = None
    source_partition: int | None = None
    source_offset: int | None = None


_decoder = msgspec.json.Decoder(_Rejection)
_contents = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def rejected_rows(kafka: KafkaSettings, log: int) -> list[tuple[str, int, int]]:
    """Return table, partition and source offset of each rejected row of *log*."""
    topics = Topics(kafka.topic_prefix)
    group = await offsets.group(kafka, f"{topics.prefix}-sink", [topics.rejected])
    found = []
    for read in group.inputs.values():
        async for records in batches(kafka, read, read.log_start, read.log_end):
            found += [row for record in records if (row := row_of(record.value, log)) is not None]
    return found


def row_of(value: bytes | None, log: int) -> tuple[str, int, int] | None:
    """Return table, partition and source offset of the row in a record of `rejected.v1`, None without one of *log*."""
    try:
        rejection = _decoder.decode(value or b"")
        if rejection.code not in _CODES or rejection.content is None:
            return None
        partition, source_offset = rejection.source_partition, rejection.source_offset
        if rejection.table in _OWN_COLUMNS and partition is not None and source_offset is not None:
            return rejection.table, partition, source_offset
        row = _contents.decode(rejection.content)
        if "message_id" not in row or _number(row, "_log") != log:
            return None  # A person's state is on another log.
        (table,) = [name for name, column in _OWN_COLUMNS.items() if column in row]
        return table, _number(row, "_partition"), _number(row, "_origin")
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, ValueError):
        return None  # Cut, or not a row.


def _number(row: Mapping[str, Any], name: str) -> int:
    return msgspec.json.decode(row[name], type=int)
