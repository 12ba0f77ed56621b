"""Person: the state of one user, folded from identifies. The value of a record on `persons.v1`.

For each trait the last write wins: by the identify's (corrected) time, then by its messageId, then by the bytes of the
value. `null` removes a trait and leaves a tombstone with its time, so an older value that arrives late does not restore
the trait; a `null` wins over a value of the same time. Persons form a join-semilattice and `fold` is its join: every
order of the same identifies, with any repetition, gives the same person.

A person may have thousands of traits, each written by an identify of its own. So the encoding has each name and each
write once: `writes` lists the writes that won, and `written` the place in it for each trait, in the order of their
names. Tombstones are grouped by time.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw

from schemas.items import Identify
from schemas.records import InvalidRecordError
from schemas.times import parse_time

PERSON_LIMIT_BYTES = 768 * 1024
"""Largest person, below a broker's default limit of 1 MiB. An identify that would exceed it is rejected."""
REMOVAL_RESERVE_BYTES = 128 * 1024
"""Above the limit, for identifies that only remove traits: where a value is short, its tombstone may be longer."""
KEPT_ID_CHARACTERS = 64
"""Longest messageId that a person keeps; of a longer one it keeps a hash."""
KEPT_NAME_CHARACTERS = 32
"""Longest name that a tombstone keeps; of a longer one it keeps a hash."""

Stamp = tuple[int, str]
"""Time, in microseconds since 1970, and messageId (or its hash) of the write that won."""

_FIXED_FORM = len("2026-01-31T23:59:59.123456Z")
_NATURAL = Annotated[int, Meta(ge=0)]


class Person(msgspec.Struct, frozen=True, gc=False):
    """The state of a user."""

    project_id: str
    user_id: str
    traits: dict[str, Raw]
    """Current traits."""
    stamps: dict[str, Stamp]
    """The write of each current trait."""
    removed: dict[str, int]
    """Tombstones: the time of the latest `null`, by `tombstone_name`."""
    first_seen: str
    """Time of the earliest identify."""
    last_seen: str
    """Time of the latest identify."""
    erased: int = 0
    """When the newest erasure of the user that the state knows was requested, microseconds since 1970; 0 for none."""


class PersonRecord(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A person as a record has it."""

    project_id: str
    user_id: str
    traits: dict[str, Raw]
    first_seen: str
    last_seen: str
    writes: Sequence[Stamp] = ()
    written: Sequence[_NATURAL] = ()
    removed: Sequence[tuple[int, Sequence[str]]] = ()
    erased: _NATURAL = 0
    stamps: dict[str, tuple[str, str]] | None = None
    """In records of earlier versions: time and messageId by trait, and of tombstones. Never written."""


class Change(NamedTuple):
    """What one identify changes of a person."""

    stamp: Stamp
    values: dict[str, Raw]
    """Traits that get a value."""
    removed: list[str]
    """Traits that are removed, known or not."""
    first_seen: str
    last_seen: str


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(PersonRecord)
_traits = msgspec.json.Decoder(dict[str, Raw])


def fold(person: Person | None, identify: Identify) -> Person:
    """Return *person* with *identify* applied; the same object if nothing changes.

    Raises `InvalidRecordError` if the traits are not a JSON object or the time is none. The gateway rejects those.
    """
    known = person or new_person(identify)
    change = change_by(identify, known)
    if change is None:
        return known
    return apply_change(
        msgspec.structs.replace(
            known, traits=known.traits.copy(), stamps=known.stamps.copy(), removed=known.removed.copy()
        ),
        change,
    )


def new_person(identify: Identify, erased: int = 0) -> Person:
    """Return the person of *identify*, without its traits; it knows the erasures up to *erased*."""
    return Person(identify.project_id, identify.user_id, {}, {}, {}, identify.timestamp, identify.timestamp, erased)


def change_by(identify: Identify, person: Person) -> Change | None:
    """Return what *identify* changes of *person*, None if nothing; raise `InvalidRecordError` as `fold` does."""
    try:
        content = _traits.decode(identify.traits)
        time = _micros(identify.timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecordError(f"traits: {error}") from error
    except ValueError as error:
        raise InvalidRecordError(f"timestamp: {error}") from error
    stamp = (time, kept_id(identify.message_id))
    values: dict[str, Raw] = {}
    removed: list[str] = []
    stamps = person.stamps
    for name, value in content.items():
        if len(value) == 4 and bytes(value) == b"null":
            if _null_wins(person, name, tombstone_name(name), time):
                removed.append(name)
        # Most writes are newer than the one before them.
        elif (name in stamps and stamp > stamps[name]) or _value_wins(person, name, stamp, value):
            values[name] = value
    first_seen, last_seen = person.first_seen, person.last_seen
    if values or removed or not first_seen <= identify.timestamp <= last_seen:
        first_seen, last_seen = min(first_seen, identify.timestamp), max(last_seen, identify.timestamp)
        return Change(stamp, values, removed, first_seen, last_seen)
    return None


def apply_change(person: Person, change: Change) -> Person:
    """Return *person* after *change*. The result takes over the dictionaries of *person*: do not use that again."""
    stamp, values, removed, first_seen, last_seen = change
    if values:
        person.traits.update(values)
        person.stamps.update(dict.fromkeys(values, stamp))
        if person.removed:
            for name in values:
                person.removed.pop(tombstone_name(name), None)
    for name in removed:
        person.traits.pop(name, None)
        person.stamps.pop(name, None)
        person.removed[tombstone_name(name)] = stamp[0]
    if first_seen == person.first_seen and last_seen == person.last_seen:
        return person
    return Person(
        person.project_id, person.user_id, person.traits, person.stamps, person.removed, first_seen, last_seen,
        person.erased,
    )  # fmt: skip


def join(one: Person, other: Person) -> Person:
    """Return the merge of *one* and *other*; *other* itself if it already contains all of *one*.

    Joining the folds of two sets of identifies equals folding their union. Both must know the same erasures.
    """
    values = {name: stamp for name, stamp in one.stamps.items() if _value_wins(other, name, stamp, one.traits[name])}
    # A tombstone may have a hash in place of the name of a trait that *other* still has.
    current = {tombstone_name(name): name for name in other.traits} if one.removed else {}
    nulls = {key: time for key, time in one.removed.items() if _null_wins(other, current.get(key), key, time)}
    first_seen = min(one.first_seen, other.first_seen)
    last_seen = max(one.last_seen, other.last_seen)
    erased = max(one.erased, other.erased)
    if (
        not values
        and not nulls
        and (first_seen, last_seen, erased) == (other.first_seen, other.last_seen, other.erased)
    ):
        return other
    traits = other.traits | {name: one.traits[name] for name in values}
    stamps = other.stamps | values
    for name in [current[key] for key in nulls if key in current]:
        del traits[name], stamps[name]
    removed = other.removed | nulls
    for name in values:
        removed.pop(tombstone_name(name), None)
    return Person(other.project_id, other.user_id, traits, stamps, removed, first_seen, last_seen, erased)


def kept_id(message_id: str) -> str:
    """Return what a stamp has of *message_id*, by which writes of one time are ordered."""
    return message_id if len(message_id) <= KEPT_ID_CHARACTERS else _hash(message_id)


def tombstone_name(name: str) -> str:
    """Return what a tombstone has of the trait's *name*. A hash is longer than every kept name, so it equals none."""
    return name if len(name) <= KEPT_NAME_CHARACTERS else _hash(name)


def encode_person(person: Person) -> bytes:
    """Return the JSON value of *person* for `persons.v1`. Equal persons have equal bytes."""
    places: dict[Stamp, int] = {}
    traits, stamps = person.traits, person.stamps
    names = sorted(traits)
    if names != list(traits):
        traits = {name: traits[name] for name in names}
    place = places.setdefault
    written = [place(stamps[name], len(places)) for name in names]
    removed = _by_time(person.removed) if person.removed else ()
    return _encode(
        PersonRecord(
            person.project_id, person.user_id, traits, person.first_seen, person.last_seen, list(places), written,
            removed, person.erased,
        )
    )  # fmt: skip


def decode_person(value: bytes) -> Person:
    """Return the person in a record's *value*, of this or an earlier version; `InvalidRecordError` if it is none."""
    try:
        encoded = _decoder.decode(value)
        if encoded.stamps is not None:
            return _of_earlier_version(encoded, encoded.stamps)
        writes, written = encoded.writes, encoded.written
        stamps = dict(zip(encoded.traits, [writes[place] for place in written], strict=True))
    except (msgspec.DecodeError, ValueError, LookupError, RecursionError) as error:
        raise InvalidRecordError(str(error)) from error
    return Person(
        encoded.project_id,
        encoded.user_id,
        encoded.traits,
        stamps,
        {name: time for time, names in encoded.removed for name in names} if encoded.removed else {},
        encoded.first_seen,
        encoded.last_seen,
        encoded.erased,
    )


def _of_earlier_version(encoded: PersonRecord, stamps: dict[str, tuple[str, str]]) -> Person:
    """Return the person of a record with a time and a messageId for each name: 256 KiB at most."""
    traits = encoded.traits
    return Person(
        encoded.project_id,
        encoded.user_id,
        traits,
        {name: (_micros(stamps[name][0]), kept_id(stamps[name][1])) for name in traits},
        {tombstone_name(name): _micros(time) for name, (time, _) in stamps.items() if name not in traits},
        encoded.first_seen,
        encoded.last_seen,
    )


def _value_wins(person: Person, name: str, stamp: Stamp, value: Raw) -> bool:
    current = person.stamps.get(name)
    if current is None:
        return not person.removed or stamp[0] > person.removed.get(tombstone_name(name), -1)
    # The same messageId with other content is a new event once the dedupe window has passed.
    return stamp > current or (stamp == current and bytes(value) > bytes(person.traits[name]))


def _null_wins(person: Person, name: str | None, key: str, time: int) -> bool:
    """Return whether a null of *time* removes the trait *name*, or renews its tombstone *key*."""
    current = None if name is None else person.stamps.get(name)
    # Tombstones have no messageId, because they must stay small.
    return time > person.removed.get(key, -1) if current is None else time >= current[0]


def _by_time(removed: dict[str, int]) -> list[tuple[int, list[str]]]:
    names: dict[int, list[str]] = {}
    for name in sorted(removed):
        names.setdefault(removed[name], []).append(name)
    return sorted(names.items())


@lru_cache(maxsize=8192)
def _hash(text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=24).digest()
    return f"~{base64.urlsafe_b64encode(digest).decode()}"


def _micros(time: str) -> int:
    """Return the time of *time*, which has the fixed form in all but foreign records."""
    fraction = time[20:26]
    if len(time) == _FIXED_FORM and fraction.isdecimal() and time[26] == "Z":
        return _second(time[:20]) + int(fraction)
    return parse_time(time)


@lru_cache(maxsize=8192)
def _second(text: str) -> int:
    return parse_time(f"{text}0Z")
