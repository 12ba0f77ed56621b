"""Where a partition starts after its assignment: a pure function of what is known about its input.

A stage is new only if neither the consumer group nor the output log knows anything. Kafka forgets the offsets of a
group without members after `offsets.retention.minutes`, so a missing offset alone proves nothing.
"""

from __future__ import annotations

from faust.types import TP

from processors.engine.errors import ExpiredInputError, TruncatedLogError
from processors.engine.stage import AssignedOffsets, InputOffsets

SEEK_RECORDS = 10_000
"""Records from which on seeking forward costs less than reading and dropping them."""
RECREATED = (
    "Topic was deleted and recreated, and offsets of the old topic mean nothing in the new one. Set a new "
    "SEQUENCE_TOPIC_PREFIX and a new SEQUENCE_CLICKHOUSE_DATABASE, or restore the topic."
)
"""What a log that ends below a known offset means, and what to do."""


def processed_offset(tp: TP, inputs: InputOffsets, assigned: AssignedOffsets, worker: str) -> int:
    """Return the highest offset of *tp* that needs no processing.

    It is what the stage has decided, otherwise the higher one of what it knows and what the group committed. Raises
    `ExpiredInputError` if records above it have expired, or may have and nothing tells whether they were processed.
    Raises `TruncatedLogError` if the log ends below what was committed. *worker* is named in the advice.
    """
    check_committed(tp, inputs)
    if (start := assigned.start_offsets.get(tp.partition)) is not None:
        processed = start - 1
    else:
        committed = 0 if inputs.committed is None else inputs.committed
        processed = max(assigned.processed_offsets.get(tp.partition, -1), committed - 1)
        if processed < 0 and inputs.committed is None and tp.partition in assigned.new_partitions:
            processed = inputs.log_start - 1
    if processed + 1 >= inputs.log_start:
        return processed
    accept = f"sequence positions accept --stage {worker} --partition {tp.partition}"
    if processed < 0:
        raise ExpiredInputError(
            f"{tp.topic}[{tp.partition}]: offsets below {inputs.log_start} have expired, and nothing tells whether "
            f"they were read: the consumer group has no committed offset, but its outputs exist. To continue at offset "
            f"{inputs.log_start}, stop the {worker} workers and run `{accept}`."
        )
    raise ExpiredInputError(
        f"{tp.topic}[{tp.partition}]: offsets {processed + 1} to {inputs.log_start - 1} expired before they were read "
        f"and are lost to this stage. To continue without them, stop the {worker} workers and run `{accept}`. To keep "
        f"more in the future, raise SEQUENCE_ITEMS_RETENTION_DAYS."
    )


def check_committed(tp: TP, inputs: InputOffsets) -> None:
    """Raise `TruncatedLogError` if the log of *tp* ends below what was committed."""
    if inputs.committed is not None and inputs.committed > inputs.log_end:
        raise TruncatedLogError(
            f"{tp.topic}[{tp.partition}] ends at {inputs.log_end - 1}, but the consumer group committed offset "
            f"{inputs.committed}. {RECREATED}"
        )


def seek_offset(inputs: InputOffsets, processed: int) -> int | None:
    """Return the offset to seek after Faust has sought the committed one, None if that is near enough.

    Records up to *processed* that are read anyway are dropped; a start below the committed offset needs the seek.
    """
    start = processed + 1
    sought = inputs.log_start if inputs.committed is None else inputs.committed
    return start if start < sought or start - sought > SEEK_RECORDS else None
