"""Where the partitions of an assignment are read: what tells a slice that goes on from one that is fetched again.

aiokafka moves a partition's position when it hands records out, and Faust seeks when it has recovered. A slice counts
if its partition was sought in this assignment and not again since; then it has to go on, because nobody fetches it a
second time. Any other is fetched again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from faust.types import TP

from processors.engine.stage import RecordBatch, SourceRecord


@dataclass(slots=True, eq=False)
class FetchEpoch:
    """Where a partition is read since it was sought."""

    next_offset: int
    """Every offset from here to the next record is known not to exist."""


class Fetched(NamedTuple):
    """A slice, and the place that it was read at."""

    run: RecordBatch
    place: FetchEpoch


class FetchEpochs:
    """The places of one consumer. They change in the consumer's own thread, at the moment that positions do."""

    def __init__(self) -> None:
        self._places: dict[TP, FetchEpoch] = {}

    def forget(self) -> None:
        """The partitions are given up: whatever is read of them now, a seek brings again."""
        self._places.clear()

    def seek(self, offsets: Mapping[TP, int]) -> None:
        """Partitions are read from *offsets* on; what was fetched of them and is on its way is old."""
        self._places.update({tp: FetchEpoch(offset) for tp, offset in offsets.items()})

    def read(self, fetched: Mapping[TP, Sequence[SourceRecord]]) -> dict[TP, Fetched]:
        """Return the slices of what was *fetched*, without partitions that are still to be sought."""
        return {tp: _read(tp, run, self._places[tp]) for tp, run in fetched.items() if tp in self._places}

    def hold(self, tp: TP, place: FetchEpoch) -> bool:
        """Return whether *tp* is read at *place* still; any thread may ask."""
        return self._places.get(tp) is place


def _read(tp: TP, records: Sequence[SourceRecord], place: FetchEpoch) -> Fetched:
    run = RecordBatch(tp.topic, tp.partition, records, place.next_offset)
    place.next_offset = run.last_offset + 1
    return Fetched(run, place)
