"""Person: the state of one user, folded from identifies. The value of a record on `persons.v1`.

For each trait the last write wins, by the identify's (corrected) time, then by its messageId, then by the bytes of the
value. Persons form a join-semilattice and `fold` is its join: every order of the same identifies, with any repetition,
gives the same person. `null` removes a trait and leaves its stamp as a tombstone, so an older value that arrives late
does not restore the trait.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from schemas.items import Identify
from schemas.records import InvalidRecordError

PERSON_LIMIT_BYTES = 256 * 1024
"""Largest encoded person, well below a broker's limit. An identify that would exceed it is rejected."""

Stamp = tuple[str, str]
"""Time and messageId of the write that won."""

_NULL = b"null"
_NULL_VALUE = Raw(_NULL)


class Person(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The state of a user."""

    project_id: str
    user_id: str
    traits: dict[str, Raw]
    """Current traits, without the removed ones."""
    stamps: dict[str, Stamp]
    """By trait. A name without an entry in `traits` is a tombstone."""
    first_seen: str
    """Time of the earliest identify."""
    last_seen: str
    """Time of the latest identify."""


_encode = msgspec.json.Encoder(order="deterministic").encode
_decoder = msgspec.json.Decoder(Person)
_traits = msgspec.json.Decoder(dict[str, Raw])


def fold(person: Person | None, identify: Identify) -> Person:
    """Return *person* with *identify* applied; the same object if nothing changes.

    Raises `InvalidRecordError` if the traits are not a JSON object. The gateway rejects those.
    """
    try:
        written = _traits.decode(identify.traits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecordError(f"traits: {error}") from error
    stamp = (identify.timestamp, identify.message_id)
    known = person or Person(identify.project_id, identify.user_id, {}, {}, identify.timestamp, identify.timestamp)
    newer = {name: value for name, value in written.items() if _wins(known, name, stamp, value)}
    first_seen = min(known.first_seen, identify.timestamp)
    last_seen = max(known.last_seen, identify.timestamp)
    if person and not newer and (first_seen, last_seen) == (person.first_seen, person.last_seen):
        return person
    traits = known.traits | newer
    for name, value in newer.items():
        if bytes(value) == _NULL:
            del traits[name]
    return Person(
        known.project_id, known.user_id, traits, known.stamps | dict.fromkeys(newer, stamp), first_seen, last_seen
    )


def join(one: Person, other: Person) -> Person:
    """Return the merge of *one* and *other*; *other* itself if it already contains all of *one*.

    Joining the folds of two sets of identifies equals folding their union.
    """
    newer = {
        name: stamp
        for name, stamp in one.stamps.items()
        if _wins(other, name, stamp, one.traits.get(name, _NULL_VALUE))
    }
    first_seen = min(one.first_seen, other.first_seen)
    last_seen = max(one.last_seen, other.last_seen)
    if not newer and (first_seen, last_seen) == (other.first_seen, other.last_seen):
        return other
    traits = other.traits | {name: value for name in newer if (value := one.traits.get(name)) is not None}
    for name in newer.keys() - one.traits.keys():
        traits.pop(name, None)
    return Person(other.project_id, other.user_id, traits, other.stamps | newer, first_seen, last_seen)


def growth_limit(identify: Identify) -> int:
    """Return the largest number of bytes by which folding *identify* can lengthen an encoded person."""
    # Each trait, its name a second time, and its stamp. A trait has five bytes at least, `"":1,`, and a character of a
    # messageId up to six in a stamp. First and last seen have a constant length.
    traits = len(bytes(identify.traits))
    stamp = len(identify.timestamp) + 6 * len(identify.message_id.encode()) + 16
    return 2 * traits + (traits // 4 + 1) * stamp


def encode_person(person: Person) -> bytes:
    """Return the JSON value of *person* for `persons.v1`. Equal persons have equal bytes."""
    return _encode(person)


def decode_person(value: bytes) -> Person:
    """Return the person in a record's *value*; raise `InvalidRecordError` if it is none."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecordError(str(error)) from error


def _wins(person: Person, name: str, stamp: Stamp, value: Raw) -> bool:
    current = person.stamps.get(name)
    if current is None or stamp > current:
        return True
    # The same messageId with other content is a new event once the dedupe window has passed.
    return stamp == current and bytes(value) > bytes(person.traits.get(name, _NULL))
