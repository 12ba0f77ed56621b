"""Where the sink continues on a topic whose records carry source offsets, for example `events.v1`. Pure.

The tables tell which source offsets are written. Their position is a source offset, and the offset on the topic that
follows it must be found. Source offsets grow along a partition, but for one case: a worker that was paused writes its
batch late, and a run of lower source offsets follows higher ones. So one low record proves nothing about what precedes
it. A window that is longer than any such run has at least one record that is higher than all before it: if no record of
the window exceeds the position, no record before the window does. Starting too early is safe, because rows that the
tables have are dropped; starting too late loses rows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass

import msgspec

WINDOW_RECORDS = 20_000
"""Records of a window: four times the longest batch of dedupe, so that the runs of several workers may be adjacent."""
WINDOW_BYTES = 256 * 1024 * 1024
"""Bytes of values at which a window may end sooner: several times the largest batch of dedupe."""
METADATA_BYTES = 4_096
"""The broker's default limit for the metadata of a commit."""


@dataclass(slots=True)
class Window:
    """What records of a log, read one after the other from some offset on, tell about a position."""

    position: int
    found: bool = False
    """Whether a record has the position itself as its source offset."""
    exceeding: int | None = None
    """The first source offset that exceeds the position; the window ends there."""
    records: int = 0
    size_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no record of a whole window exceeds the position, so that none before it does."""
        return self.exceeding is None and (self.records >= WINDOW_RECORDS or self.size_bytes >= WINDOW_BYTES)

    @property
    def has_ended(self) -> bool:
        """Whether no more records are needed."""
        return self.exceeding is not None or self.is_full

    def add(self, source_offset: int, size_bytes: int = 0) -> None:
        """Take the next record; one without a source offset is left out."""
        if source_offset > self.position:
            self.exceeding = source_offset
            return
        self.found = self.found or source_offset == self.position
        self.records += 1
        self.size_bytes += size_bytes

    @property
    def follows_position(self) -> bool:
        """Whether no record between the position and this window is missing.

        So it is if the record of the position is still there, if the next source offset is, or if a whole window does
        not exceed the position.
        """
        return self.found or self.exceeding == self.position + 1 or self.is_full


def search(log_start: int, log_end: int) -> Generator[int, Window, int]:
    """Return an offset at or before the first record that exceeds a position.

    Yields offsets; the caller sends the `Window` of the position that begins there. The result is *log_start* if
    nothing shows that a later offset is safe.
    """
    safe, unsafe = log_start, log_end
    while unsafe - safe > WINDOW_RECORDS:
        middle = (safe + unsafe) // 2
        window = yield middle
        # A window that the end of the log cuts off may be one run of records that were written late.
        if window.is_full:
            safe = middle
        else:
            unsafe = middle
    return safe


@dataclass(frozen=True, slots=True)
class Found:
    """Where the records of a topic begin that exceed a position."""

    offset: int
    """At or before the first of them."""
    is_complete: bool = True
    """Whether the topic still has all of them."""
    first: int | None = None
    """Source offset of the first one that is left, if some may have expired and one is left."""


@dataclass(frozen=True, slots=True)
class Lag:
    """A table that knows less than was committed."""

    table: str
    position: int
    """Its position now, -1 for none."""
    committed: int
    """The position that it showed when the group committed."""


def lagging(positions: Mapping[str, int], committed: Mapping[str, int]) -> list[Lag]:
    """Return the tables whose position is below the committed one: restored, lost or rolled back."""
    return [
        Lag(table, position, committed[table])
        for table, position in positions.items()
        if position < committed.get(table, -1)
    ]


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sink notes with a commit."""

    log: int
    """The log of the positions. It is not compared: the commit is of this very topic, whatever its id is by now."""
    positions: dict[str, int]
    """By table, the position that it showed."""
    source_id: str = ""
    """Kafka's id of the topic of the source offsets; empty if the broker does not tell."""


_decode = msgspec.json.Decoder(Metadata).decode


def encode_metadata(metadata: Metadata) -> str:
    """Return *metadata* as JSON text, empty if it exceeds the limit of the broker."""
    text = msgspec.json.encode(metadata).decode()
    return text if len(text) <= METADATA_BYTES else ""


def decode_metadata(text: str) -> Metadata:
    """Return the metadata of a commit; without positions if *text* has none."""
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return Metadata(0, {})


def windows_needed(log_start: int, log_end: int) -> int:
    """Return how many windows `search` asks for at most."""
    return max(0, (log_end - log_start) // WINDOW_RECORDS).bit_length()


def read_window(source_offsets: Iterable[int], position: int) -> Window:
    """Return the window over *source_offsets*, which may be more than it needs."""
    window = Window(position)
    for source_offset in source_offsets:
        window.add(source_offset)
        if window.has_ended:
            break
    return window
