"""Fetch epochs. A seek starts a new epoch for a partition; batches fetched in an older epoch are stale.

A stale batch is dropped, because the seek fetches its records again. A current batch must be processed, because nothing
fetches it a second time. aiokafka moves a partition's position when it returns records, so the epoch is noted there.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from faust.types import TP

from processors.engine.stage import RecordBatch, SourceRecord


@dataclass(slots=True, eq=False)
class FetchEpoch:
    """The time between two seeks of a partition."""

    next_offset: int
    """No record exists from here to the next record that is fetched."""


class Fetched(NamedTuple):
    """A batch and the epoch in which it was fetched."""

    batch: RecordBatch
    epoch: FetchEpoch


class FetchEpochs:
    """The current epoch of each partition of one consumer. They change in the consumer's thread, with its positions."""

    def __init__(self) -> None:
        self._epochs: dict[TP, FetchEpoch] = {}

    def clear(self) -> None:
        """End all epochs: the partitions are revoked."""
        self._epochs.clear()

    def seek(self, offsets: Mapping[TP, int]) -> None:
        """Start an epoch at *offsets*."""
        self._epochs.update({tp: FetchEpoch(offset) for tp, offset in offsets.items()})

    def batches(self, fetched: Mapping[TP, Sequence[SourceRecord]]) -> dict[TP, Fetched]:
        """Return what was *fetched* as batches, without partitions that were not sought since their assignment."""
        return {tp: _batch(tp, records, self._epochs[tp]) for tp, records in fetched.items() if tp in self._epochs}

    def is_current(self, tp: TP, epoch: FetchEpoch) -> bool:
        """Return whether *epoch* is still the one of *tp*; any thread may ask."""
        return self._epochs.get(tp) is epoch


def _batch(tp: TP, records: Sequence[SourceRecord], epoch: FetchEpoch) -> Fetched:
    batch = RecordBatch(tp.topic, tp.partition, records, epoch.next_offset)
    epoch.next_offset = batch.last_offset + 1
    return Fetched(batch, epoch)


class ActivePartitions:
    """The partitions to fetch. Unlike an empty set, which aiokafka takes for all partitions, it is always true."""

    def __init__(self, tps: Container[TP], held: Container[TP] = ()) -> None:
        self._tps = tps
        self._held = held

    def __contains__(self, tp: object) -> bool:
        return tp in self._tps and tp not in self._held
