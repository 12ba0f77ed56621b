"""Events of a chosen size and number of names, for the coefficients of `sequence capacity`.

Properties are numbers, flags, and words of a vocabulary, so that they compress as such values do. There are 20 events,
each with names of its own; all identifies have the same. One property is text that fills the event up to its size.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from random import Random
from string import ascii_lowercase

from deploy.operate.capacity import Load
from schemas.times import format_time

KINDS = 20
USERS = 50_000
POOL = 4_000
"""Different properties of a load."""
_VOCABULARY = 2_000
_RECENT = 10_000
"""Events among which a duplicate is chosen."""
_TEXT = "text"
_EMPTY_TEXT = len(f'"{_TEXT}":""')


class EventMaker:
    """Makes the events of *load*; the names of events and users begin with *label*.

    Their properties are drawn from *pool* different ones.
    """

    def __init__(self, load: Load, label: str, *, pool: int = POOL) -> None:
        self.load = load
        self.label = label
        self._chance = Random(label)  # reproducible load, not a secret
        self._words = ["".join(self._chance.choices(ascii_lowercase, k=3 + at % 8)) for at in range(_VOCABULARY)]
        self._contents = {kind: self._pool(pool, is_identify=kind) for kind in (True, False)}

    def bodies(self, number: int) -> Iterator[bytes]:
        """Yield *number* request bodies of `load.per_request` events."""
        size = round(self.load.per_request)
        recent: list[bytes] = []
        for _ in range(number):
            batch = []
            for _ in range(size):
                if recent and self._chance.random() < self.load.duplicates:
                    batch.append(recent[self._chance.randrange(len(recent))])
                else:
                    batch.append(self._event(is_identify=self._chance.random() < self.load.identifies))
                    recent.append(batch[-1])
            del recent[:-_RECENT]
            yield b'{"batch":[%s]}' % b",".join(batch)

    def _event(self, *, is_identify: bool) -> bytes:
        kind, contents = self._chance.choice(self._contents[is_identify])
        return self._written(is_identify=is_identify, kind=kind, contents=contents)

    def _written(self, *, is_identify: bool, kind: int, contents: bytes) -> bytes:
        prefix = f"{self.label}-".encode()
        common = (self._chance.randbytes(16).hex().encode(), prefix, self._chance.randrange(USERS), _timestamp())
        if is_identify:
            form = b'{"type":"identify","messageId":"%s","userId":"%suser-%05d","timestamp":"%s","traits":%s}'
            return form % (*common, contents)
        form = (
            b'{"type":"track","messageId":"%s","userId":"%suser-%05d","timestamp":"%s","event":"%sEvent %02d",'
            b'"properties":%s}'
        )
        return form % (*common, prefix, kind, contents)

    def _pool(self, size: int, *, is_identify: bool) -> list[tuple[int, bytes]]:
        found = []
        for number in range(size):
            kind = 0 if is_identify else number % KINDS
            bare = len(self._written(is_identify=is_identify, kind=kind, contents=b"{}"))
            found.append((kind, self._properties(kind, round(self.load.event_bytes) - bare)))
        return found

    def _properties(self, kind: int, room: int) -> bytes:
        """Return properties with the names of *kind* that are *room* bytes longer than none."""
        said = {f"name_{kind}_{at}": self._value(at) for at in range(round(self.load.names) - 1)}
        written = json.dumps(said, separators=(",", ":")).encode()
        missing = room - (len(written) - 2) - _EMPTY_TEXT - bool(said)
        if missing < 0:
            raise ValueError(f"{self.load.names:g} names do not fit into {self.load.event_bytes:g} bytes.")
        comma = b"," if said else b""
        return b'%s%s"%s":"%s"}' % (written[:-1], comma, _TEXT.encode(), self._text(missing).encode())

    def _value(self, at: int) -> object:
        chance = self._chance
        number, amount = chance.randrange(1_000_000), round(chance.random() * 1_000, 2)
        return (number, amount, chance.choice(self._words), chance.random() < 0.5)[at % 4]

    def _text(self, size: int) -> str:
        words = self._chance.choices(self._words, k=size // 4 + 1)
        return " ".join(words)[:size].ljust(size, "x")


def _timestamp() -> bytes:
    return format_time(time.time_ns() // 1000).encode()
