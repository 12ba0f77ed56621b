"""Recovery of persons from `persons.v1`: pure.

A worker that is paused with persons in memory until its partition has moved may write them when it resumes. They are
stale: they lack what the new owner has written meanwhile, but follow it in the log. So each record is merged into the
state, never put in its place, and no trait is lost. If the newest record of a person is stale, its key is kept in the
table until the merged person has been published again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processors.engine.stage import Known, Put, SourceRecord
from schemas.persons import decode_person, encode_person, join
from schemas.records import InvalidRecordError

STALE_KEYS = b"\0stale"
"""Entry of the table: keys of persons whose newest record in the log is stale. A project's ID does not begin with a
zero byte, so this is the key of no person."""

_keys = msgspec.json.Decoder(list[bytes])


def stale_keys(known: Known) -> list[bytes]:
    """Return the keys of persons that must be published again; *known* reads the table."""
    (text,) = known([STALE_KEYS])
    return [] if text is None else _keys.decode(text)


def replay(records: Sequence[SourceRecord], processed_offset: int, known: Known) -> tuple[list[Put], int]:
    """Return the entries that *records* of `persons.v1` give, and *processed_offset* unchanged.

    The records do not contain their offsets on `identifies.v1`. *known* reads the table.
    """
    keys = list({record.key or b"" for record in records})
    state = dict(zip(keys, known(keys), strict=True))
    stale = before = set(stale_keys(known))
    for record in records:
        key = record.key or b""
        state[key], is_stale = _merged(state[key], record.value)
        stale = stale | {key} if is_stale else stale - {key}
    puts: list[Put] = [(key, value, 0) for key, value in state.items()]
    if stale != before:
        puts.append((STALE_KEYS, msgspec.json.encode(sorted(stale)) if stale else None, 0))
    return puts, processed_offset


def _merged(current: bytes | None, written: bytes | None) -> tuple[bytes | None, bool]:
    """Return the person after the record *written*, and whether that record is stale."""
    if written is None or current == written:
        return written, False
    try:
        newer = decode_person(written)
    except InvalidRecordError:
        # Not written by a worker: workers write only what they can decode.
        return current, current is not None
    if current is None:
        return written, False
    person = join(decode_person(current), newer)
    return (written, False) if person is newer else (encode_person(person), True)
