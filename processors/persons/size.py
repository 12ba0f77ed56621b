"""The size of a person while identifies are folded into it: pure.

Encoding a person of thousands of traits takes milliseconds, and a person near its limit may get a thousand identifies a
second. So the size is a sum over traits, writes and tombstones that each change adjusts. It depends on the person
alone, never on how it came about, and is at least the length of the encoded person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from schemas.items import MAX_ID_CHARACTERS, Identify
from schemas.persons import (
    KEPT_ID_CHARACTERS,
    PERSON_LIMIT_BYTES,
    REMOVAL_RESERVE_BYTES,
    Change,
    Person,
    Stamp,
    tombstone_name,
)

_PERSON = len(
    '{"projectId":,"userId":,"traits":{},"firstSeen":"","lastSeen":"","writes":[],"written":[],"removed":[]}'
) + 2 * len("2026-01-31T23:59:59.123456Z")
_TRAIT = len(":,") + len("99999,")
_WRITE = len("[9999999999999999,],")
_TOMBSTONE = len(",")
_REMOVAL = len("[9999999999999999,[]],")
_GROWTH = _PERSON + 6 * (2 * MAX_ID_CHARACTERS + KEPT_ID_CHARACTERS) + 200

K = TypeVar("K")
_encode = msgspec.json.encode


class Growth(NamedTuple):
    """What a change adds to the size of a person."""

    size: int
    """In bytes; may be negative."""
    writes: Counter[Stamp]
    """The number of traits more, by their write."""
    removals: Counter[int]
    """The number of tombstones more, by their time."""


class PersonSize:
    """The size of one person, at present."""

    def __init__(self, person: Person) -> None:
        self._writes = Counter(person.stamps.values())
        self._removals = Counter(person.removed.values())
        self.bytes = _PERSON + len(_encode(person.project_id)) + len(_encode(person.user_id))
        self.bytes += sum(_of_trait(name, value) for name, value in person.traits.items())
        self.bytes += sum(map(_of_write, self._writes))
        self.bytes += sum(map(_of_tombstone, person.removed)) + _REMOVAL * len(self._removals)

    def growth(self, person: Person, change: Change) -> Growth:
        """Return what *change* adds to *person*, whose size this is."""
        size = 0
        writes: Counter[Stamp] = Counter()
        removals: Counter[int] = Counter()
        for name in (*change.values, *change.removed):
            if (stamp := person.stamps.get(name)) is not None:
                size -= _of_trait(name, person.traits[name])
                writes[stamp] -= 1
            elif (time := person.removed.get(key := tombstone_name(name))) is not None:
                size -= _of_tombstone(key)
                removals[time] -= 1
        for name, value in change.values.items():
            size += _of_trait(name, value)
            writes[change.stamp] += 1
        for key in set(map(tombstone_name, change.removed)):
            size += _of_tombstone(key)
            removals[change.stamp[0]] += 1
        size += _more(self._writes, writes, _of_write) + _more(self._removals, removals, lambda _: _REMOVAL)
        return Growth(size, writes, removals)

    def grow(self, growth: Growth) -> None:
        """Take the *growth* by a change that was applied to the person."""
        self.bytes += growth.size
        self._writes.update(growth.writes)
        self._removals.update(growth.removals)


def limit_for(change: Change) -> int:
    """Return the largest size of a person after *change*. Removing traits remains possible at the limit."""
    return PERSON_LIMIT_BYTES + (0 if change.values else REMOVAL_RESERVE_BYTES)


def size_bound(encoded: bytes) -> int:
    """Return a number that the size of the person with the record *encoded* does not exceed."""
    # A trait has seven bytes at least, `"":1,0,`, and a tombstone three.
    return 8 * len(encoded) + _PERSON


def growth_bound(identify: Identify) -> int:
    """Return a number that the growth of a person by *identify* does not exceed, its own fields included."""
    # A trait has five bytes at least, `"":1,`, and a character of an id up to six.
    return 4 * len(identify.traits) + _GROWTH


def _of_trait(name: str, value: Raw) -> int:
    return len(_encode(name)) + len(value) + _TRAIT


def _of_write(stamp: Stamp) -> int:
    return len(_encode(stamp[1])) + _WRITE


def _of_tombstone(name: str) -> int:
    return len(_encode(name)) + _TOMBSTONE


def _more(counts: Counter[K], changes: Counter[K], size: Callable[[K], int]) -> int:
    """Return how much larger the set of the keys of *counts* is after *changes*, each of its *size*."""
    return sum(
        size(key) * ((counts[key] + change > 0) - (counts[key] > 0)) for key, change in changes.items() if change
    )
