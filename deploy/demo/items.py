"""The items of the sample, in the order in which they arrive. Pure: the same arguments give the same items.

A larger sample has the customers of a smaller one, and more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from deploy.demo.customer import Customer, Sent
from deploy.demo.shop import FIRST_CUSTOMER

DAYS = 90
"""Days that the sample covers."""
PREFIX = "demo-"
"""Beginning of the messageId of each item; the last day of the sample follows."""
_REPEATED = 50
"""One of so many items is sent twice, as after a request that was not answered."""
_REPEATED_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is sent."""

    items: Sequence[tuple[datetime, bytes]]
    """Time at which the item would have arrived, and its JSON. Items that arrive twice are in it twice."""
    different: int
    """Items with different messageIds."""


def sample(events: int, until: date, made_more: Callable[[int], object] = int) -> Sample:
    """Return *events* different items of the `DAYS` days up to and with *until*, in UTC.

    *made_more* is called with the number of items after each customer.
    """
    made: list[tuple[datetime, dict[str, Any]]] = []
    for number in count(FIRST_CUSTOMER):
        of_customer = sorted(Customer(number, until, DAYS).sent(), key=_time)[: events - len(made)]
        made_more(len(of_customer))
        made += [(each.arrives, _identified(each, until, at)) for at, each in enumerate(of_customer)]
        if len(made) == events:
            break
    encode = msgspec.json.Encoder().encode
    items = [(arrives, encode(item)) for arrives, item in made]
    items += [(arrives + _REPEATED_AFTER, item) for arrives, item in items[::_REPEATED]]
    items.sort()
    return Sample(items, events)


def last_day(message_id: str) -> date:
    """Return the last day of the sample that the item with *message_id* belongs to; raises `ValueError`."""
    return date.fromisoformat(message_id.removeprefix(PREFIX)[:10])


def _time(sent: Sent) -> datetime:
    return sent.time


def _identified(sent: Sent, until: date, at: int) -> dict[str, Any]:
    time = sent.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"messageId": f"{PREFIX}{until}-{sent.number}-{at}", "timestamp": time, **sent.item}
