"""One customer of the sample: visits over some weeks, a plan that changes, and programs that send in their own way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

from deploy.demo import shop
from deploy.demo.visit import ORDERS_OF_A_CUSTOMER, Visit

_SEED = "sequence shop"
_WITHOUT_PROFILE = 0.04
"""Share of customers that no program identifies."""
_BEFORE_THE_SAMPLE = 0.25
"""Share of customers that signed up before the first day."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An item before it has a messageId."""

    number: int
    """Of the customer."""
    time: datetime
    arrives: datetime
    item: dict[str, Any]


class Customer:
    """The customer with *number*, in the *days* days up to and with *until*.

    What a customer does depends on the number alone; weekdays only move visits.
    """

    def __init__(self, number: int, until: date, days: int) -> None:
        self.number = number
        self.chance = chance = Random(f"{_SEED} {number}")  # noqa: S311  # the same at each run
        self.end = datetime.combine(until + timedelta(days=1), time(), UTC)
        self.begin = self.end - timedelta(days=days)
        self.app = chance.choices(shop.APPS, shop.APP_WEIGHTS)[0]
        self.address = chance.choices(shop.ADDRESSES, shop.ADDRESS_WEIGHTS)[0]
        self.plan: str | None = "free"
        self.is_old = chance.random() < _BEFORE_THE_SAMPLE
        self.has_profile = chance.random() >= _WITHOUT_PROFILE
        self.last_order = number * ORDERS_OF_A_CUSTOMER + (chance.randrange(1, 5) if self.is_old else 0)
        self._gap_days = chance.choice((1.5, 4.0, 7.0, 15.0))
        self._leaves = chance.choice((0.02, 0.06, 0.15, 0.4))
        """Chance that a visit is the last one."""

    def sent(self) -> Iterator[Sent]:
        """Yield all items, visit by visit."""
        chance = self.chance
        if self.is_old:
            self.plan = chance.choices(shop.PLANS, (6, 3, 1))[0]
            day = chance.expovariate(1 / 6)
        else:
            # More and more sign up.
            day = (self.end - self.begin).days * max(chance.random(), chance.random() * chance.random())
        is_first, start = True, self._start(day)
        while start < self.end:
            yield from self._visit(start, is_first=is_first)
            if chance.random() < self._leaves:
                break
            is_first = False
            # Some come back on the same day.
            day += 0 if chance.random() < 0.08 else 1 + chance.expovariate(1 / self._gap_days)
            start = max(self._start(day), start + timedelta(hours=chance.randrange(2, 5)))

    def _start(self, day: float) -> datetime:
        """Return when the visit that is planned for *day* begins."""
        start = self.begin + timedelta(days=int(day))
        hour = self.chance.choices(range(24), shop.HOURS)[0]
        if self.chance.random() > shop.WEEKDAYS[start.weekday()]:
            start += timedelta(days=1)
        return start + timedelta(hours=hour, seconds=self.chance.randrange(3600))

    def _visit(self, start: datetime, *, is_first: bool) -> Iterator[Sent]:
        chance = self.chance
        visit = Visit(self.app, self.address, chance)
        late = timedelta(hours=chance.randrange(1, 60)) if self._was_offline() else timedelta()
        changes: list[tuple[timedelta, dict[str, Any]]] = []
        if is_first and self.has_profile:
            changes.append((timedelta(seconds=4), self._profile()))
        if not is_first and (event := self._changed_plan()) is not None:
            after, traits, properties = event
            changes.append((after, {"type": "identify", "traits": traits}))
            visit.add(after, "Subscription Changed", properties)
        self.last_order = visit.shop(self.last_order, is_new=is_first and not self.is_old)
        for after, item in (*visit.events, *changes):
            at = start + after
            if at < self.end:
                delay = late + timedelta(seconds=chance.randrange(1, 20))
                if item["type"] == "identify" and chance.random() < 0.15:
                    delay += timedelta(days=chance.randrange(1, 40))  # from a queue that was stuck
                yield Sent(self.number, at, at + delay, self._from(item))

    def _was_offline(self) -> bool:
        return self.app.platform != "web" and self.chance.random() < 0.07

    def _from(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return *item* as the customer's program sends it."""
        context: dict[str, Any] = {
            "library": {"name": self.app.library},
            "app": {"name": f"shop-{self.app.platform}", "version": self.app.version},
            "locale": shop.LOCALES[self.address[0]],
        }
        user_id = self.number if self.app.platform == shop.CAMEL_CASE else str(self.number)
        ids = {"anonymousId": f"browser-{self.number:x}"} if self.app.platform == "web" else {}
        return {"userId": user_id, **ids, **item, "context": context | item.get("context", {})}

    def _profile(self) -> dict[str, Any]:
        chance = self.chance
        traits = {
            "plan": self.plan,
            "country": self.address[0],
            "address": {"city": self.address[1], "zip": f"{chance.randrange(1000, 99_999):05d}"},
            "newsletter": chance.random() < 0.4,
            "age": chance.randrange(18, 75),
            "interests": sorted(chance.sample(("espresso", "filter", "tea", "latte art"), 2)),
        }
        return {"type": "identify", "traits": traits}

    def _changed_plan(self) -> tuple[timedelta, dict[str, Any], dict[str, Any]] | None:
        """Return when the plan changes in a visit, the traits and the properties; None if it does not."""
        chance = self.chance
        if self.plan is None or not self.has_profile or chance.random() > 0.07:
            return None
        before = self.plan
        at = shop.PLANS.index(before)
        ends = chance.random() < 0.1
        up = chance.random() < 0.7
        self.plan = None if ends else shop.PLANS[min(2, at + 1) if up or at == 0 else at - 1]
        if self.plan == before:
            return None
        seats = {"seats": chance.randrange(3, 20)} if self.plan == "team" else {}
        after = timedelta(seconds=chance.randrange(20, 200))
        return after, {"plan": self.plan, **seats}, {"from": before, "to": self.plan}
