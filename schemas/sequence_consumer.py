"""Reads topics of Sequence events exactly once: the source offset rule as one file to copy into a consumer.

It needs Python 3.11 and nothing else, and works with every client: it takes the partition, offset and headers of a
record. `docs/consumers.md` explains the rule and shows whole consumers.

The *source offset* of a record is the offset that its item had on `items.v1`, the header `origin`. A partition of
`events.v1` or `duplicates.v1` has growing source offsets, but a worker that was paused or restarted may append records
again. So a record is new if its source offset exceeds all before it, and a repeat otherwise. On `identifies.v1` this
holds for the records of each source partition, the header `origin_partition`.

Errors:

    ConsumerError
    ├── InvalidOriginError    the record has no source offset
    ├── MissedRecordsError    records were not read: they have expired, or the consumer skipped them
    ├── RecreatedTopicError   the stored state belongs to another topic
    └── InvalidStateError     the stored state was not written by `SourceOffsets.state`
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "ConsumerError",
    "InvalidOriginError",
    "InvalidStateError",
    "MissedRecordsError",
    "RecreatedTopicError",
    "SourceOffsets",
    "origin_of",
]

Headers = Iterable[tuple[str, bytes | None]] | None
"""Headers of a record as aiokafka, confluent-kafka and kafka-python give them."""

_MAX_OFFSET = 2**63 - 1


class ConsumerError(Exception):
    """A consumer cannot continue without a decision of a person."""


class InvalidOriginError(ConsumerError):
    """A record has no valid header `origin`."""


class MissedRecordsError(ConsumerError):
    """Records between the last one and this one were not read."""


class RecreatedTopicError(ConsumerError):
    """The topic is not the one that the state was stored for."""


class InvalidStateError(ConsumerError):
    """A stored state cannot be read."""


@dataclass(slots=True)
class _Partition:
    next_offset: int | None = None
    """The offset after the last record that was read; None before the first one."""
    highest: dict[int, int] = field(default_factory=dict)
    """Highest source offset by source partition."""


class SourceOffsets:
    """Tells new records of one topic from repeats, and where each partition continues after a restart.

    For one consumer, and not for several threads. Use another object for each topic.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    def resume(
        self, partition: int, state: str | None, *, log_start: int, log_end: int, accept_loss: bool = False
    ) -> int:
        """Continue *partition* from a stored *state*, and return the offset to seek to.

        Call it for each assigned partition, at the start and after each rebalance: another consumer may have read the
        partition meanwhile. None is the first start, without memory; the result is then *log_start*, but you may
        seek to any other offset. *log_start* and *log_end* are the offsets of the first and the next record now.

        Raises `MissedRecordsError` if records after the state have expired, unless *accept_loss*; `RecreatedTopicError`
        if the topic ends before the state; and `InvalidStateError`.
        """
        # A client may swallow what its listener raises: without a state `is_new` must refuse every record.
        self._partitions.pop(partition, None)
        known = _Partition() if state is None else _decode(state)
        name, following = f"partition {partition}", known.next_offset
        if following is not None and following < log_start:
            if accept_loss:
                self._partitions[partition] = _Partition(log_start, known.highest)
                return log_start
            raise MissedRecordsError(
                f"{name}: the stored state continues at offset {following}, but the topic begins at {log_start}: "
                f"{log_start - following} records expired before they were read. To continue without them, resume "
                "once with `accept_loss=True`."
            )
        if following is not None and following > log_end:
            raise RecreatedTopicError(
                f"{name}: the stored state continues at offset {following}, but the topic ends at {log_end}: it was "
                "deleted and created again, or lost records. To read the new topic, delete the state."
            )
        self._partitions[partition] = known
        return log_start if following is None else following

    def is_new(self, partition: int, offset: int, headers: Headers) -> bool:
        """Return whether the record is to be processed, and remember it; False for a repeat, which is to be skipped.

        Raises `InvalidOriginError` if the record has no source offset, `MissedRecordsError` if the records before it
        were not read, and `RecreatedTopicError` if it contradicts what was read before. Then nothing is remembered.
        LookupError without `resume`, or if `resume` has refused the partition.
        """
        known = self._known(partition)
        following = offset if known.next_offset is None else known.next_offset
        name = f"partition {partition}, offset {offset}"
        if offset > following:
            raise MissedRecordsError(
                f"{name}: offset {following} is the next to read. The records in between have expired or were "
                "skipped. Seek to the offset that `resume` returned, and turn off the client's automatic reset."
            )
        source_partition, source_offset = origin_of(partition, offset, headers)
        highest = known.highest.get(source_partition, -1)
        is_new = source_offset > highest
        if is_new and offset < following:
            raise RecreatedTopicError(
                f"{name}: source offset {source_offset} exceeds the highest one, {highest}, though the records before "
                f"offset {following} were read: the topic was deleted and created again, or you seek back. To read "
                "it from here, delete the state and resume without one."
            )
        known.next_offset = max(following, offset + 1)
        if is_new:
            known.highest[source_partition] = source_offset
        return is_new

    def skip(self, partition: int, offset: int) -> None:
        """Count the record as read, whatever it is: to continue after an `InvalidOriginError`."""
        known = self._known(partition)
        known.next_offset = max(known.next_offset or 0, offset + 1)

    def next_offset(self, partition: int) -> int:
        """Return the offset after the last record that was read, to commit; LookupError before the first record."""
        if (following := self._known(partition).next_offset) is None:
            raise LookupError(f"partition {partition}: no record was read yet")
        return following

    def state(self, partition: int) -> str:
        """Return the state to store: JSON text of `next_offset` and `source_offsets` by source partition.

        Store it in the transaction of the output, or as the metadata of the Kafka commit of `next_offset`, for which
        the broker's limit is 4,096 bytes. That is 200 source partitions; `events.v1` has one. LookupError before the
        first record.
        """
        fields = {"next_offset": self.next_offset(partition), "source_offsets": self._known(partition).highest}
        return json.dumps(fields, separators=(",", ":"))

    def _known(self, partition: int) -> _Partition:
        if partition not in self._partitions:
            raise LookupError(f"partition {partition}: it was not resumed. Call `resume` when it is assigned.")
        return self._partitions[partition]


def origin_of(partition: int, offset: int, headers: Headers) -> tuple[int, int]:
    """Return source partition and source offset of a record. In an output the pair is a unique key of the event.

    *partition* and *offset* are those of the record. Raises `InvalidOriginError` without a valid header `origin`.
    """
    where = f"partition {partition}, offset {offset}"
    found: dict[str, int] = {}
    for name, value in headers or ():
        if name not in {"origin", "origin_partition"}:
            continue
        if name in found:
            raise InvalidOriginError(f"{where}: the header {name!r} is there twice.")
        if value is None or not value.isdigit() or len(value) > 19 or int(value) > _MAX_OFFSET:
            raise InvalidOriginError(f"{where}: the header {name!r} is {value!r}, not a number in decimal digits.")
        found[name] = int(value)
    if "origin" not in found:
        raise InvalidOriginError(
            f"{where}: the header 'origin' is missing. Records of events.v1, duplicates.v1 and identifies.v1 have it: "
            "this is another topic, or another program wrote the record."
        )
    return found.get("origin_partition", partition), found["origin"]


def _decode(state: str) -> _Partition:
    if not state:
        raise InvalidStateError(
            "The stored state is empty. An offset that was committed without metadata, by automatic commits or a "
            "reset of the group, does not tell which records are repeats. Turn off automatic commits. To start "
            "without memory, resume with None and seek."
        )
    try:
        fields: Any = json.loads(state)
        next_offset = _offset(fields["next_offset"])
        return _Partition(next_offset, {int(name): _offset(value) for name, value in fields["source_offsets"].items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidStateError(
            f"The stored state {state[:100]!r} was not written by `SourceOffsets.state`. To start without memory, "
            "resume with None and seek."
        ) from error


def _offset(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_OFFSET:
        raise ValueError(value)
    return value
