"""Ledger of what the client sent and which statuses it received: the source of truth of the checks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["unknown", "acknowledged", "rejected"]

USERS = 500
EVENTS = ("Order Completed", "Page Closed", "Video Played")
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


@dataclass
class Ledger:
    """Generates items and records their outcomes. The same seed generates the same items."""

    seed: int = 1
    identify_share: float = 0.1
    repeat_share: float = 0.1
    invalid_share: float = 0.01
    entries: dict[str, Entry] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._ids: list[str] = []

    def batch(self, size: int = 100) -> list[dict[str, Any]]:
        """Return *size* items: new ones, duplicates of earlier ones, and a few invalid ones."""
        return [self._item() for _ in range(size)]

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
        return {
            "type": "track",
            "userId": f"user-{self._rng.randrange(USERS)}",
            "event": EVENTS[number % 3],
            "timestamp": self._time(),
            "properties": {"number": number, "price": number / 8, "nested": {"text": "x" * 40}},
        }

    def _identify(self, number: int) -> dict[str, Any]:
        traits: dict[str, Any] = {"number": number, f"trait-{number % 7}": self._rng.choice(["a", "b", None])}
        return {
            "type": "identify",
            "userId": f"user-{self._rng.randrange(USERS)}",
            "timestamp": self._time(),
            "traits": traits,
        }

    def _time(self) -> str:
        second = self._rng.randrange(24 * 3600)
        return f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000Z"
