"""What has to come of `items.v1`: the product's rules once more, as plainly as they can be said, by none of its code.

Only how a record is read (`decode_item`) is shared: its bytes are a contract with golden examples of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from schemas.items import Identify, Item
from schemas.records import InvalidRecordError, decode_item

Origin = tuple[int, int]
"""Partition and offset on `items.v1`."""


def counted(records: Iterable[Any], window_ms: int) -> dict[Origin, Item]:
    """Return the items that count, by origin: the first of each messageId, and the first after each window."""
    counts: dict[Origin, Item] = {}
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


def persons(items: Iterable[Item]) -> dict[str, tuple[dict[str, Any], str, str]]:
    """Return by user the traits that can be seen, and the times of the first and the last identify.

    Per trait the largest (time, messageId, text) stands; a null takes the trait away.
    """
    writes: dict[str, dict[str, tuple[str, str, bytes]]] = {}
    times: dict[str, list[str]] = {}
    for item in items:
        if not isinstance(item, Identify):
            continue
        times.setdefault(item.user_id, []).append(item.timestamp)
        standing = writes.setdefault(item.user_id, {})
        for name, value in orjson.loads(bytes(item.traits)).items():
            write = (item.timestamp, item.message_id, orjson.dumps(value))
            standing[name] = max(write, standing.get(name, write))
    return {user: (_visible(writes[user]), min(mine), max(mine)) for user, mine in times.items()}


def _visible(standing: dict[str, tuple[str, str, bytes]]) -> dict[str, Any]:
    traits = {name: orjson.loads(value) for name, (_, _, value) in standing.items()}
    return {name: value for name, value in traits.items() if value is not None}
