"""Recovery of persons from `persons.v1`: pure.

A worker that is paused with persons in memory until its partition has moved may write them when it resumes. They are
stale: they lack what the new owner has written meanwhile, but follow it in the log. So each record is merged into the
state, never put in its place, and no trait is lost. If the newest record of a person is stale, its key is kept in the
table until the merged person has been published again.

A stale record may also lack an erasure. So each record is brought up to date with the erasures that are known before it
is merged; one that an erasure changes is stale as well, and what is published again may be a tombstone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from processors.engine.stage import Known, Put, SourceRecord
from processors.persons.erased import up_to_date
from processors.persons.fold import ErasuresOf, no_erasures
from schemas.erasure import Erasure
from schemas.persons import Person, decode_person, encode_person, join
from schemas.records import InvalidRecordError

STALE_KEYS = b"\0stale"
"""Entry of the table: keys of persons whose newest record in the log is stale. A project's ID does not begin with a
zero byte, so this is the key of no person."""

FORGET = b"\0forget"
"""Entry of the table, while its files may have persons that were erased. The value differs after each erasure."""

_keys = msgspec.json.Decoder(list[bytes])


def stale_keys(known: Known) -> list[bytes]:
    """Return the keys of persons that must be published again; *known* reads the table."""
    (text,) = known([STALE_KEYS])
    return [] if text is None else _keys.decode(text)


def replay(
    records: Sequence[SourceRecord], processed_offset: int, known: Known, erasures_of: ErasuresOf = no_erasures
) -> tuple[list[Put], int]:
    """Return the entries that *records* of `persons.v1` give, and *processed_offset* unchanged.

    The records do not contain their offsets on `identifies.v1`. *known* reads the table.
    """
    keys = list({record.key or b"" for record in records})
    state = dict(zip(keys, known(keys), strict=True))
    stale = before = set(stale_keys(known))
    forgets = False
    for record in records:
        key = record.key or b""
        merged = _merged(state[key], record.value, erasures_of(key))
        state[key] = merged.value
        stale = stale | {key} if merged.is_stale else stale - {key}
        forgets = forgets or merged.forgets
    puts: list[Put] = [(key, value, 0) for key, value in state.items()]
    if forgets:
        puts.append((FORGET, b"replayed %d" % records[-1].offset, 0))
    if stale != before:
        puts.append((STALE_KEYS, msgspec.json.encode(sorted(stale)) if stale else None, 0))
    return puts, processed_offset


class Merged(NamedTuple):
    """A person after a record of `persons.v1`."""

    value: bytes | None
    is_stale: bool
    """Whether the record is stale."""
    forgets: bool
    """Whether the record, or the table, had a person that was erased."""


def _merged(current: bytes | None, written: bytes | None, erasures: Sequence[Erasure]) -> Merged:
    """Return the person after the record *written*."""
    if current == written and not erasures:
        return Merged(written, is_stale=False, forgets=False)
    stored = None if current is None else decode_person(current)
    known = None if stored is None else up_to_date(stored, erasures)
    forgets = known is not stored
    if written is None:
        # The table knows the erasure of a tombstone. What an erased user has written since is newer than a stale one.
        is_stale = known is not None and known.erased > 0
        return Merged(_encoded(known) if is_stale else None, is_stale, forgets=True)
    try:
        decoded = decode_person(written)
    except InvalidRecordError:
        # Not written by a worker: workers write only what they can decode.
        return Merged(_encoded(known), known is not None, forgets)
    newer = up_to_date(decoded, erasures)
    if known is not None and newer is not None and _are_apart(known, newer):
        known, newer = (None, newer) if known.erased < newer.erased else (known, None)
        forgets = True
    forgets = forgets or newer is not decoded
    if newer is None:
        return Merged(_encoded(known), is_stale=True, forgets=True)
    person = newer if known is None else join(known, newer)
    if person is decoded:
        return Merged(written, is_stale=False, forgets=forgets)
    return Merged(encode_person(person), is_stale=True, forgets=forgets)


def _are_apart(known: Person, newer: Person) -> bool:
    """Return whether an erasure that is not known here yet tells them apart: what one of them lacks may be erased."""
    return known.erased != newer.erased


def _encoded(person: Person | None) -> bytes | None:
    return None if person is None else encode_person(person)
