"""The fold of a batch of identifies: a pure function of the current persons, the identifies and the erasures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from processors.engine.stage import Known
from processors.persons.erased import Nulls, up_to_date
from processors.persons.size import PersonSize, growth_bound, limit_for, size_bound
from processors.rejected import RejectionCode
from schemas.erasure import Erasure
from schemas.items import Identify
from schemas.persons import (
    PERSON_LIMIT_BYTES,
    Change,
    Person,
    apply_change,
    change_by,
    decode_person,
    encode_person,
    new_person,
)
from schemas.records import Erase, InvalidRecordError
from schemas.times import parse_time

PART_BYTES = 8 * 1024 * 1024
"""Persons that are folded and written together. It bounds the memory, and how long other partitions wait."""
READ_TOGETHER = 50
"""Identifies whose persons are read together."""

KeyedIdentify = tuple[bytes, Identify | Nulls | Erase]
"""An identify, or that the person is erased, with the key of the person."""
ErasuresOf = Callable[[bytes], Sequence[Erasure]]
"""Returns the known erasures of the person with a key, in the order of their requests."""


class RejectedIdentify(NamedTuple):
    """An identify that cannot be applied to its person."""

    key: bytes
    identify: Identify
    code: RejectionCode
    message: str


@dataclass(frozen=True, slots=True)
class Folded:
    """The result of folding a batch."""

    changed: dict[bytes, bytes]
    """By key, the encoded new state of each person that changed."""
    rejected: list[RejectedIdentify]
    """Their persons are unchanged."""
    unchanged: int
    """Number of the other identifies that change nothing of their persons."""
    erased: int = 0
    """Number of identifies that an erasure covers, and of records that say that a person is erased."""
    gone: list[bytes] = field(default_factory=list)
    """Keys of persons that are removed."""
    forgets: bool = False
    """Whether an erasure has changed or removed a person that the table has."""


class Part(NamedTuple):
    """Consecutive identifies of a batch, and the state of their persons."""

    identifies: Sequence[KeyedIdentify]
    persons: Mapping[bytes, bytes | None]
    """The encoded person of every key, or None."""


def in_parts(identifies: Sequence[KeyedIdentify], known: Known) -> Iterator[Part]:
    """Yield *identifies* in parts whose persons have little more than `PART_BYTES`; *known* reads the table.

    Each part is read when it is asked for: its persons are what the parts before it have written.
    """
    first = 0
    persons: dict[bytes, bytes | None] = {}
    size = 0
    for start in range(0, len(identifies), READ_TOGETHER):
        end = min(start + READ_TOGETHER, len(identifies))
        keys = list({key for key, _ in identifies[start:end]} - persons.keys())
        values = known(keys)
        persons.update(zip(keys, values, strict=True))
        size += sum(len(value) for value in values if value is not None)
        if size > PART_BYTES or end == len(identifies):
            yield Part(identifies[first:end], persons)
            first, persons, size = end, {}, 0


class _Folding:
    """One person while the identifies of a batch are folded into it."""

    __slots__ = ("_bound", "_knows", "_size", "changed", "forgets", "person")

    def __init__(self, encoded: bytes | None, erasures: Sequence[Erasure]) -> None:
        self.person: Person | None = None
        self.changed = self.forgets = False
        self._knows = erasures[-1].requested_at if erasures else 0
        self._bound = 0
        self._size: PersonSize | None = None
        if encoded is not None:
            person = decode_person(encoded)
            self.person = up_to_date(person, erasures)
            self.changed = self.forgets = self.person is not person
            self._bound = 0 if self.person is None else size_bound(encoded)

    def fold(self, identify: Identify) -> bool:
        """Apply *identify* and return whether it changes the person.

        Raises `InvalidRecordError` as `change_by` does, and `_TooLargeError`; the person is unchanged then.
        """
        person = self.person or new_person(identify, self._knows)
        change = change_by(identify, person)
        if change is None:
            created = self.person is None
            self.changed |= created
            self.person = person
            return created
        self._bound += growth_bound(identify)
        # Elsewhere the bound will do.
        if self._bound > PERSON_LIMIT_BYTES:
            self._grow(person, change)
        self.person = apply_change(person, change)
        self.changed = True
        return True

    def remove(self, nulls: Nulls) -> None:
        """Remove the traits of *nulls*. It has no limit: each of them had a place in a person, or is refused one."""
        person = self.person or new_person(msgspec.structs.replace(nulls.identify, timestamp=nulls.seen), self._knows)
        change = change_by(nulls.identify, person)
        removed = change.removed if change is not None else []
        first_seen, last_seen = min(person.first_seen, nulls.seen), max(person.last_seen, nulls.seen)
        self.changed |= self.person is None or bool(removed)
        self.changed |= (first_seen, last_seen) != (person.first_seen, person.last_seen)
        if self.changed and change is not None:
            self._bound += growth_bound(nulls.identify)
            self._size = None
        time = parse_time(nulls.identify.timestamp)
        self.person = apply_change(person, Change((time, ""), {}, removed, first_seen, last_seen))

    def _grow(self, person: Person, change: Change) -> None:
        if self._size is None:
            self._size = PersonSize(person)
        growth = self._size.growth(person, change)
        size, limit = self._size.bytes + growth.size, limit_for(change)
        if growth.size > 0 and size > limit:
            raise _TooLargeError(
                f"With this identify the person would have {size} bytes; the limit is {limit}. The person is unchanged."
            )
        self._size.grow(growth)


class _TooLargeError(Exception):
    """A person would exceed its limit."""


def no_erasures(key: bytes) -> Sequence[Erasure]:
    """Return none, for projects without erasures."""
    del key
    return ()


def fold_batch(
    identifies: Iterable[KeyedIdentify], persons: Mapping[bytes, bytes | None], erasures_of: ErasuresOf = no_erasures
) -> Folded:
    """Fold *identifies* into *persons*, which has the encoded state of every key or None.

    A person is first brought up to date with its erasures. It is decoded and encoded once, however often it changes.
    """
    states: dict[bytes, _Folding] = {}
    rejected: list[RejectedIdentify] = []
    unchanged = erased = 0
    for key, identify in identifies:
        state = states.get(key)
        if state is None:
            state = states[key] = _Folding(persons[key], erasures_of(key))
        if not isinstance(identify, Identify):
            erased += 1
            # An erased person has been brought up to date.
            if isinstance(identify, Nulls):
                state.remove(identify)
            continue
        try:
            unchanged += not state.fold(identify)
        except InvalidRecordError as error:
            rejected.append(RejectedIdentify(key, identify, RejectionCode.NOT_AN_ITEM, str(error)))
        except _TooLargeError as error:
            rejected.append(RejectedIdentify(key, identify, RejectionCode.PERSON_TOO_LARGE, str(error)))
    changed = {key: state.person for key, state in states.items() if state.changed}
    return Folded(
        {key: encode_person(person) for key, person in changed.items() if person is not None},
        rejected,
        unchanged,
        erased,
        [key for key, person in changed.items() if person is None],
        any(state.forgets for state in states.values()),
    )
