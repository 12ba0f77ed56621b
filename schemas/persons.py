"""A person: what the identifies of one user come to.

Per trait the last write wins, by the identify's (corrected) time, then by its messageId, then by the bytes of the
value. So a person is a point of a join-semilattice and `fold` the join: every order of the same identifies, with any
of them repeated, gives the same person. `null` takes a trait away and leaves its stamp, a tombstone, so that an older
value that arrives late does not bring it back.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from schemas.items import Identify
from schemas.records import InvalidRecordError

PERSON_LIMIT_BYTES = 256 * 1024
"""Longest person as it is encoded, well below what a broker takes; one that would be longer stays as it was."""

Stamp = tuple[str, str]
"""The time and the messageId of the write that stands."""

_NULL = b"null"
_NULL_VALUE = Raw(_NULL)


class Person(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What is known of a user: the value of a record on `persons.v1`."""

    project_id: str
    user_id: str
    traits: dict[str, Raw]
    """What can be seen: no trait that was taken away."""
    stamps: dict[str, Stamp]
    """By trait; a name that is not among `traits` is a tombstone."""
    first_seen: str
    """Time of the earliest identify."""
    last_seen: str
    """Time of the latest identify."""


_encode = msgspec.json.Encoder(order="deterministic").encode
_decoder = msgspec.json.Decoder(Person)
_traits = msgspec.json.Decoder(dict[str, Raw])


def fold(person: Person | None, identify: Identify) -> Person:
    """Return *person* with *identify* taken in; the same object where that changes nothing.

    Raises `InvalidRecordError` where the traits are no JSON object, which validation does not let through.
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
    """Return the person that knows all that *one* and *other* know; *other* itself where it knows all of it.

    Folding some identifies here and some there and joining the two is folding all of them.
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
    """Return by how many bytes, at most, folding *identify* makes a person longer as it is encoded."""
    # Each trait, its name once more, and a stamp for each: a trait takes five bytes at least, `"":1,`, and in a stamp
    # any character of a messageId may need six. The times of first and last seen do not change their length.
    traits = len(bytes(identify.traits))
    stamp = len(identify.timestamp) + 6 * len(identify.message_id.encode()) + 16
    return 2 * traits + (traits // 4 + 1) * stamp


def encode_person(person: Person) -> bytes:
    """Return the JSON value of *person* for `persons.v1`; equal persons have equal bytes."""
    return _encode(person)


def decode_person(value: bytes) -> Person:
    """Return the person of a record's *value*; `InvalidRecordError` says what is wrong with the bytes."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecordError(str(error)) from error


def _wins(person: Person, name: str, stamp: Stamp, value: Raw) -> bool:
    standing = person.stamps.get(name)
    if standing is None or stamp > standing:
        return True
    # A messageId can come again with other content once its window has passed.
    return stamp == standing and bytes(value) > bytes(person.traits.get(name, _NULL))
