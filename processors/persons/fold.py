"""The fold of a batch of identifies: a pure function of the current persons and the identifies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from processors.engine.stage import Known
from processors.persons.size import PersonSize, growth_bound, limit_for, size_bound
from processors.rejected import RejectionCode
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
from schemas.records import InvalidRecordError

PART_BYTES = 8 * 1024 * 1024
"""Persons that are folded and written together. It bounds the memory, and how long other partitions wait."""
READ_TOGETHER = 50
"""Identifies whose persons are read together."""

KeyedIdentify = tuple[bytes, Identify]
"""An identify, with the key of its person."""


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

    __slots__ = ("_bound", "_size", "changed", "person")

    def __init__(self, encoded: bytes | None) -> None:
        self.person: Person | None = None
        self.changed = False
        self._bound = 0
        self._size: PersonSize | None = None
        if encoded is not None:
            self.person = decode_person(encoded)
            self._bound = size_bound(encoded)

    def fold(self, identify: Identify) -> bool:
        """Apply *identify* and return whether it changes the person.

        Raises `InvalidRecordError` as `change_by` does, and `_TooLargeError`; the person is unchanged then.
        """
        person = self.person or new_person(identify)
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


def fold_batch(identifies: Iterable[KeyedIdentify], persons: Mapping[bytes, bytes | None]) -> Folded:
    """Fold *identifies* into *persons*, which has the encoded state of every key or None.

    A person is decoded and encoded once, however often it changes.
    """
    states: dict[bytes, _Folding] = {}
    rejected: list[RejectedIdentify] = []
    unchanged = 0
    for key, identify in identifies:
        state = states.get(key)
        if state is None:
            state = states[key] = _Folding(persons[key])
        try:
            unchanged += not state.fold(identify)
        except InvalidRecordError as error:
            rejected.append(RejectedIdentify(key, identify, RejectionCode.NOT_AN_ITEM, str(error)))
        except _TooLargeError as error:
            rejected.append(RejectedIdentify(key, identify, RejectionCode.PERSON_TOO_LARGE, str(error)))
    changed = {key: state.person for key, state in states.items() if state.changed and state.person is not None}
    return Folded({key: encode_person(person) for key, person in changed.items()}, rejected, unchanged)
