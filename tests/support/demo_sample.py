"""The sample of `sequence demo` as plain Python values, to compute answers from."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processors.typed_views.naming import snake_case
from schemas.items import Identify, Item, Track


@dataclass(frozen=True, slots=True)
class Event:
    """A track with its time and properties read."""

    user: str
    name: str
    time: datetime
    properties: Mapping[str, Any]

    @property
    def total(self) -> float | None:
        """The total of an order, if it is a number."""
        try:
            return float(self.properties["total"])
        except ValueError:
            return None

    @property
    def number(self) -> str:
        """The number of an order."""
        return str(self.properties.get("order_id", self.properties.get("orderId")))


@dataclass(frozen=True, slots=True)
class Sample:
    """The events by time, those of each user, and the traits of each user as they were set, by time."""

    events: list[Event]
    by_user: Mapping[str, list[Event]]
    writes: Mapping[str, list[tuple[datetime, Mapping[str, Any]]]]

    def named(self, name: str) -> list[Event]:
        """Return the events of one name."""
        return [event for event in self.events if event.name == name]

    def first(self, name: str) -> dict[str, datetime]:
        """Return by user the time of the first event of one name."""
        return {event.user: event.time for event in reversed(self.named(name))}

    def times(self, name: str) -> defaultdict[str, list[datetime]]:
        """Return by user the times of the events of one name."""
        found: defaultdict[str, list[datetime]] = defaultdict(list)
        for event in self.named(name):
            found[event.user].append(event.time)
        return found

    def trait(self, user: str, name: str, at: datetime) -> Any:
        """Return the value of a trait at a time; None if the user does not have it."""
        value = None
        for time, traits in self.writes.get(user, ()):
            if time <= at and name in traits:
                value = traits[name]
        return value


def read(items: Iterable[Item]) -> Sample:
    """Return the sample of *items*."""
    events: list[Event] = []
    writes: defaultdict[str, list[tuple[datetime, Mapping[str, Any]]]] = defaultdict(list)
    for item in items:
        time = datetime.fromisoformat(item.timestamp)
        if isinstance(item, Track):
            events.append(Event(item.user_id, snake_case(item.event), time, json.loads(bytes(item.properties))))
        elif isinstance(item, Identify):
            writes[item.user_id].append((time, json.loads(bytes(item.traits))))
    events.sort(key=lambda event: event.time)
    by_user: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_user[event.user].append(event)
    return Sample(events, by_user, {user: sorted(of, key=lambda write: write[0]) for user, of in writes.items()})
