"""What the client sent and was told: the only truth that the checks start from."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["unknown", "acknowledged", "refused"]

USERS = 500
EVENTS = ("Order Completed", "Page Closed", "Video Played")
_CONTENT = {"track": "properties", "identify": "traits"}


@dataclass(slots=True)
class Entry:
    """One messageId: every content it was sent with, and the best that was answered."""

    kind: str
    contents: list[dict[str, Any]]
    outcome: Outcome = "unknown"

    @property
    def refusable(self) -> bool:
        """Whether the gateway has to refuse it."""
        return not self.contents[0]["userId"]


@dataclass
class Ledger:
    """Items as they are made and answered. The same seed makes the same items."""

    seed: int = 1
    identify_share: float = 0.1
    repeat_share: float = 0.1
    refused_share: float = 0.01
    entries: dict[str, Entry] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._ids: list[str] = []

    def batch(self, size: int = 100) -> list[dict[str, Any]]:
        """Return *size* items: new ones, repeats of any that came before, and a few that are to be refused."""
        return [self._item() for _ in range(size)]

    def settle(self, batch: list[dict[str, Any]], outcomes: dict[int, Outcome]) -> None:
        """Note what was answered for each item of *batch*; what once was acknowledged stays so."""
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
        """Return how many messageIds of *kind* have *outcome*."""
        return sum(entry.kind == kind and entry.outcome == outcome for entry in self.entries.values())

    def _item(self) -> dict[str, Any]:
        chance = self._chance
        if self._ids and chance.random() < self.repeat_share:
            return self._repeat(chance.choice(self._ids))
        number = len(self._ids)
        message_id = f"{self.seed}-{number:08d}"
        item = self._identify(number) if chance.random() < self.identify_share else self._track(number)
        if chance.random() < self.refused_share:
            item["userId"] = ""
        item["messageId"] = message_id
        self._ids.append(message_id)
        self.entries[message_id] = Entry(item["type"], [item])
        return item

    def _repeat(self, message_id: str) -> dict[str, Any]:
        """Return an item that was sent before; one in twenty with another user or content, which must not count."""
        entry = self.entries[message_id]
        item = dict(entry.contents[0])
        if entry.refusable or self._chance.random() >= 0.05:
            return item
        if self._chance.random() < 0.5:
            item["userId"] = f"stranger-{self._chance.randrange(USERS)}"
        else:
            item[_CONTENT[entry.kind]] = {"number": -1, "changed": True}
        entry.contents.append(item)
        return item

    def _track(self, number: int) -> dict[str, Any]:
        return {
            "type": "track",
            "userId": f"user-{self._chance.randrange(USERS)}",
            "event": EVENTS[number % 3],
            "timestamp": self._time(),
            "properties": {"number": number, "price": number / 8, "nested": {"text": "x" * 40}},
        }

    def _identify(self, number: int) -> dict[str, Any]:
        traits: dict[str, Any] = {"number": number, f"trait-{number % 7}": self._chance.choice(["a", "b", None])}
        return {
            "type": "identify",
            "userId": f"user-{self._chance.randrange(USERS)}",
            "timestamp": self._time(),
            "traits": traits,
        }

    def _time(self) -> str:
        second = self._chance.randrange(24 * 3600)
        return f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000Z"
