"""Ledger of what the client sent and which statuses it received: the source of truth of the checks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["unknown", "acknowledged", "rejected"]
SourceOffset = tuple[int, int]
"""Partition and offset on `items.v1`."""

USERS = 500
EVENTS = ("Order Completed", "Page Closed", "Video Played")
KINDS = 200
"""Names of events if there are many names of properties."""
NAMES_OF_KIND = 15
_CONTENT = {"track": "properties", "identify": "traits"}


@dataclass(slots=True)
class Entry:
    """One messageId: every content it was sent with, and its best outcome."""

    kind: str
    contents: list[dict[str, Any]]
    outcome: Outcome = "unknown"

    @property
    def is_invalid(self) -> bool:
        """Whether the gateway must reject it."""
        return not self.contents[0]["userId"]


@dataclass(frozen=True, slots=True)
class Cut:
    """What an erasure covers of a user: everything before these offsets, by partition."""

    items: tuple[int, ...]
    rejections: tuple[int, ...]
    requested_at: int
    """Microseconds since 1970. No state of the person from before may be left."""

    def covers(self, source_offset: SourceOffset) -> bool:
        """Return whether it covers the item at *source_offset*."""
        return source_offset[1] < self.items[source_offset[0]]

    def covers_rejection(self, partition: int, offset: int) -> bool:
        """Return whether it covers the rejection at *offset* of `rejected.v1`."""
        return offset < self.rejections[partition]


@dataclass
class Ledger:
    """Generates items and records their outcomes. The same seed generates the same items."""

    seed: int = 1
    identify_share: float = 0.1
    repeat_share: float = 0.1
    invalid_share: float = 0.01
    names: int = 0
    """Number of names of properties; 0 gives every track the same ones."""
    entries: dict[str, Entry] = field(default_factory=dict)
    sent: int = 0
    deleted: set[SourceOffset] = field(default_factory=set)
    """Source offsets whose rows an operator deleted for good."""
    maybe_deleted: set[SourceOffset] = field(default_factory=set)
    """Source offsets whose rows an operator deleted; the sink may write them again, once."""
    may_be_rejected: set[str] = field(default_factory=set)
    """MessageIds that the sink may reject although the gateway accepted them."""

    erased: dict[str, Cut] = field(default_factory=dict)
    """By user, what was erased."""

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._ids: list[str] = []

    def batch(self, size: int = 100) -> list[dict[str, Any]]:
        """Return *size* items: new ones, duplicates of earlier ones, and a few invalid ones."""
        return [self._item() for _ in range(size)]

    def add(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Enter *items*, each with a `messageId` of its own, and return them."""
        for item in items:
            self.entries[item["messageId"]] = Entry(item["type"], [item])
        return items

    def settle(self, batch: list[dict[str, Any]], outcomes: dict[int, Outcome]) -> None:
        """Record the outcome of each item of *batch*. An acknowledged messageId stays acknowledged."""
        self.sent += len(batch)
        for index, item in enumerate(batch):
            entry = self.entries[item["messageId"]]
            outcome = outcomes.get(index, "unknown")
            if entry.outcome != "acknowledged" and outcome != "unknown":
                entry.outcome = outcome

    def ids(self, outcome: Outcome) -> set[str]:
        """Return the messageIds with *outcome*."""
        return {name for name, entry in self.entries.items() if entry.outcome == outcome}

    def count(self, kind: str, outcome: Outcome) -> int:
        """Return the number of messageIds of *kind* with *outcome*."""
        return sum(entry.kind == kind and entry.outcome == outcome for entry in self.entries.values())

    def _item(self) -> dict[str, Any]:
        rng = self._rng
        if self._ids and rng.random() < self.repeat_share:
            return self._repeat(rng.choice(self._ids))
        number = len(self._ids)
        message_id = f"{self.seed}-{number:08d}"
        item = self._identify(number) if rng.random() < self.identify_share else self._track(number)
        if rng.random() < self.invalid_share:
            item["userId"] = ""
        item["messageId"] = message_id
        self._ids.append(message_id)
        self.entries[message_id] = Entry(item["type"], [item])
        return item

    def _repeat(self, message_id: str) -> dict[str, Any]:
        """Return a duplicate. One in twenty has another user or content, which must not be counted."""
        entry = self.entries[message_id]
        item = dict(entry.contents[0])
        if entry.is_invalid or self._rng.random() >= 0.05:
            return item
        if self._rng.random() < 0.5:
            item["userId"] = f"other-user-{self._rng.randrange(USERS)}"
        else:
            item[_CONTENT[entry.kind]] = {"number": -1, "changed": True}
        entry.contents.append(item)
        return item

    def _track(self, number: int) -> dict[str, Any]:
        properties: dict[str, Any] = {"number": number, "price": number / 8, "nested": {"text": "x" * 40}}
        if self.names:
            properties |= self._named(number)
            if number % 10 == 0:
                properties["items"] = [self._named(number + 1), self._named(number + 2)]
        return {
            "type": "track",
            "userId": f"user-{self._rng.randrange(USERS)}",
            "event": f"Kind {number % KINDS}" if self.names else EVENTS[number % 3],
            "timestamp": self._time(),
            "properties": properties,
        }

    def _identify(self, number: int) -> dict[str, Any]:
        traits: dict[str, Any] = {"number": number, f"trait-{number % 7}": self._rng.choice(["a", "b", None])}
        if self.names:
            # A person has a size limit, so there are fewer names for each user.
            traits |= {f"trait_{number % 50}_{each}": number for each in range(3)}
        return {
            "type": "identify",
            "userId": f"user-{self._rng.randrange(USERS)}",
            "timestamp": self._time(),
            "traits": traits,
        }

    def _named(self, number: int) -> dict[str, Any]:
        """Return the properties of one kind of event; all kinds together have `names` names."""
        first = number * NAMES_OF_KIND * 7919
        return {
            f"name_{(first + each) % self.names}": each / 2 if each % 2 else "text" for each in range(NAMES_OF_KIND)
        }

    def _time(self) -> str:
        second = self._rng.randrange(24 * 3600)
        return f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000Z"
