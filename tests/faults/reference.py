"""Reference model: the expected result of the records on `items.v1`, implemented without the product's code.

Only `decode_item` is shared. The record format is a contract with golden examples of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import orjson

from schemas.items import Identify, Item
from schemas.records import InvalidRecordError, decode_item
from tests.faults.ledger import SourceOffset

Write = tuple[str, bool, str, bytes]
"""Time, whether it removes the trait, messageId and JSON text."""


def counted(records: Iterable[Any], window_ms: int) -> dict[SourceOffset, Item]:
    """Return the items that count, by source offset: the first of each messageId in each window."""
    counts: dict[SourceOffset, Item] = {}
    since: dict[bytes, int] = {}
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        try:
            item = decode_item(record.value)
        except InvalidRecordError:
            continue
        if record.key not in since or record.timestamp - since[record.key] >= window_ms:
            since[record.key] = record.timestamp
            counts[record.partition, record.offset] = item
    return counts


def valid(records: Iterable[Any]) -> dict[SourceOffset, Item]:
    """Return the records that are items, by source offset."""
    found = {}
    for record in records:
        with contextlib.suppress(InvalidRecordError):
            found[record.partition, record.offset] = decode_item(record.value)
    return found


def persons(items: Iterable[Item]) -> dict[str, tuple[dict[str, Any], str, str]]:
    """Return, by user, the visible traits and the times of the first and the last identify.

    Per trait the largest (time, messageId, text) wins; null removes the trait, and wins over values of its time.
    """
    writes: dict[str, dict[str, Write]] = {}
    times: dict[str, list[str]] = {}
    for item in items:
        if not isinstance(item, Identify):
            continue
        times.setdefault(item.user_id, []).append(item.timestamp)
        standing = writes.setdefault(item.user_id, {})
        for name, value in orjson.loads(bytes(item.traits)).items():
            write = (item.timestamp, value is None, item.message_id, orjson.dumps(value))
            standing[name] = max(write, standing.get(name, write))
    return {user: (_visible(writes[user]), min(mine), max(mine)) for user, mine in times.items()}


def _visible(standing: dict[str, Write]) -> dict[str, Any]:
    traits = {name: orjson.loads(value) for name, (*_, value) in standing.items()}
    return {name: value for name, value in traits.items() if value is not None}
