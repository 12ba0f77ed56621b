"""Persons out of `persons.v1`: pure.

A worker that was paused with persons in hand until its partition had moved may write them when it wakes. They know less
than those that the new owner has written meanwhile, and stand after them on the log. So a record is joined to what is
known and never takes its place: no trait is lost. Where the newest record of a person is such a one, the log has fallen
behind the state; its key is kept until the person has been written again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processors.engine.rocksdb import Put
from processors.engine.stage import SourceRecord
from processors.engine.store import Known
from schemas.persons import decode_person, encode_person, join
from schemas.records import InvalidRecordError

BEHIND = b"\0behind"
"""Entry of the table: the keys of persons whose newest record on the log knows less than the state. No key of a person
begins with a zero byte, because a project's id does not."""

_keys = msgspec.json.Decoder(list[bytes])


def fallen_behind(known: Known) -> list[bytes]:
    """Return the keys of persons that have to be written again."""
    (text,) = known([BEHIND])
    return [] if text is None else _keys.decode(text)


def replay(records: Sequence[SourceRecord], processed_offset: int, known: Known) -> tuple[list[Put], int]:
    """Return the entries of *records* of `persons.v1`; they do not tell how far `identifies.v1` is folded."""
    keys = list({record.key or b"" for record in records})
    state = dict(zip(keys, known(keys), strict=True))
    behind = before = set(fallen_behind(known))
    for record in records:
        key = record.key or b""
        state[key], stale = _joined(state[key], record.value)
        behind = behind | {key} if stale else behind - {key}
    puts: list[Put] = [(key, value, 0) for key, value in state.items()]
    if behind != before:
        puts.append((BEHIND, msgspec.json.encode(sorted(behind)) if behind else None, 0))
    return puts, processed_offset


def _joined(standing: bytes | None, written: bytes | None) -> tuple[bytes | None, bool]:
    """Return the person after a record was read, and whether the record knows less."""
    if written is None or standing == written:
        return written, False
    try:
        newer = decode_person(written)
    except InvalidRecordError:
        # Somebody else's record: no worker writes what it cannot read.
        return standing, standing is not None
    if standing is None:
        return written, False
    person = join(decode_person(standing), newer)
    return (written, False) if person is newer else (encode_person(person), True)
