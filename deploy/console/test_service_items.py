"""What a test asserts on: the items in records of `items.v1` and `rejected.v1`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.console import items
from deploy.console.items import Item
from processors.sink.rejected import rejection_rows
from schemas.records import INVALID_ITEM, read_item


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items a request asks for; None is any."""

    event: str | None = None
    user_id: str | None = None
    type: str | None = None
    code: str | None = None

    @classmethod
    def of(cls, found: Mapping[str, str]) -> Wanted:
        """Return what the parameters *found* ask for."""
        return cls(found.get("event"), found.get("userId"), found.get("type"), found.get("code"))

    def has(self, item: Item) -> bool:
        """Return whether *item* is asked for."""
        pairs = (
            (self.event, item.event),
            (self.user_id, item.user_id),
            (self.type, item.type),
            (self.code, item.code),
        )
        return all(asked is None or asked == given for asked, given in pairs)


def accepted(records: Iterable[Any], wanted: Wanted) -> tuple[list[Item], int]:
    """Return the items of *records* of `items.v1` in the order of their timestamps, each messageId once.

    The second value counts the repeats of a messageId. Those of one messageId are on one partition, so the first of
    them has the lowest offset, as in `processors.dedupe`. A record that is no item is left out: a worker rejects it.
    """
    found: list[tuple[str, Item]] = []
    seen: set[str] = set()
    repeats = 0
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        try:
            item = read_item(record.value or b"")
        except INVALID_ITEM:
            continue
        is_repeat = item.message_id in seen
        seen.add(item.message_id)
        shown = items.of_item(item, "accepted", (record.partition, record.offset), record.value)
        if not wanted.has(shown):
            continue
        if is_repeat:
            repeats += 1
        else:
            found.append((item.timestamp, shown))
    # The sort is stable: items of one timestamp keep the order of partition and offset.
    return [shown for _, shown in sorted(found, key=lambda pair: pair[0])], repeats


def rejected(records: Iterable[Any], wanted: Wanted) -> list[Item]:
    """Return the items of *records* of `rejected.v1` in the order of their receipt."""
    found: list[Item] = []
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        [row] = rejection_rows([record], 0, record.partition)
        shown = items.of_rejection(row)  # type: ignore[arg-type]  # all rows of this function are of this type
        if wanted.has(shown):
            found.append(shown)
    return sorted(found, key=lambda item: item.received_at)
