"""What an erasure does to a person and to identifies: pure.

A complete erasure removes the person. An erasure of a range turns each trait whose write it covers into a tombstone at
the time of that write: older values do not return, and a stale state that still has the value cannot restore it. An
identify that an erasure covers may arrive after it, or again. It is left out, or counts as a `null` for each of its
traits, so that every order gives the same person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from schemas.erasure import Erasure
from schemas.items import Identify
from schemas.persons import Person, tombstone_name
from schemas.records import ORIGIN, ORIGIN_PARTITION
from schemas.times import format_time, parse_time

V = TypeVar("V")

_NULL = Raw(b"null")
_traits = msgspec.json.Decoder(dict[str, Raw])


class Nulls(NamedTuple):
    """An identify of which the time and the names of traits alone count, because an erasure of a range covers it."""

    identify: Identify
    """Its traits are `null`."""
    seen: str
    """Time of the identify, or a bound of the range."""


def up_to_date(person: Person, erasures: Iterable[Erasure]) -> Person | None:
    """Return *person* after those of *erasures* that it does not know, in the order of their requests.

    Returns the same object if it knows all, and None if one of them removes it.
    """
    for erasure in erasures:
        if erasure.requested_at <= person.erased:
            continue
        if erasure.is_complete:
            return None
        person = _without_range(person, erasure)
    return person


def after_erasures(
    identify: Identify, headers: Iterable[tuple[str, bytes]], erasures: Sequence[Erasure], cluster_id: str
) -> Identify | Nulls | None:
    """Return what *identify* with *headers* is for its person, None if it is left out.

    *erasures* are those of its user, in the order of their requests; an offset belongs to the cluster *cluster_id*.
    """
    named = dict(headers)
    try:
        time = parse_time(identify.timestamp)
        partition, source_offset = int(named[ORIGIN_PARTITION]), int(named[ORIGIN])
    except (KeyError, ValueError):
        return identify  # It is rejected, or of no item.
    seen, is_covered = time, False
    for erasure in erasures:
        covers = erasure.cluster_id == cluster_id and erasure.covers_item(partition, source_offset, time)
        if covers and erasure.is_complete:
            return None
        if erasure.covers_time(seen) if is_covered else covers:
            seen, is_covered = _bound(erasure), True
    if not is_covered:
        return identify
    return Nulls(msgspec.structs.replace(identify, traits=_nulls(identify.traits)), format_time(seen))


def _without_range(person: Person, erasure: Erasure) -> Person:
    covered = {name: stamp[0] for name, stamp in person.stamps.items() if erasure.covers_time(stamp[0])}
    return Person(
        person.project_id,
        person.user_id,
        _without(person.traits, covered),
        _without(person.stamps, covered),
        person.removed | {tombstone_name(name): time for name, time in covered.items()},
        _clamped(person.first_seen, erasure),
        _clamped(person.last_seen, erasure),
        erasure.requested_at,
    )


def _without(values: Mapping[str, V], names: Mapping[str, int]) -> dict[str, V]:
    return {name: value for name, value in values.items() if name not in names}


def _clamped(time: str, erasure: Erasure) -> str:
    return format_time(_bound(erasure)) if erasure.covers_time(parse_time(time)) else time


def _bound(erasure: Erasure) -> int:
    """Return the time that stands for a time in the range: the bound that it has, the earlier one of two."""
    bound = erasure.until if erasure.since is None else erasure.since
    return bound or 0


def _nulls(traits: Raw) -> Raw:
    try:
        return Raw(msgspec.json.encode(dict.fromkeys(_traits.decode(traits), _NULL)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Raw(b"{}")
