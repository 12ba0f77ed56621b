"""Contiguous in, contiguous out: the two checks that turn any lost or interleaved record into an error.

A dropped record leaves a gap in the input offsets. A second writer shifts the output offsets. Either exits the process,
and recovery reads what it missed.
"""

from __future__ import annotations

from faust.types import TP

from processors.engine.errors import InterleavedWriterError, SkippedRecordsError
from processors.engine.stage import RecordBatch


def check_input(tp: TP, batch: RecordBatch, expected: int, *, compacted: bool) -> None:
    """Raise `SkippedRecordsError` unless *batch* holds every record of *tp* from offset *expected* on.

    It may begin earlier. In a *compacted* topic, offsets between two records may not exist; in any other, none is
    missing.
    """
    first = batch.complete_from if compacted else batch.first_offset
    complete = compacted or batch.last_offset - batch.first_offset + 1 == len(batch.records)
    if first > expected or not complete:
        raise SkippedRecordsError(
            f"{tp.topic}[{tp.partition}]: offset gap: expected {expected}, got batch {batch.first_offset}\u2013"
            f"{batch.last_offset} ({len(batch.records)} records). Records were skipped between the broker and the "
            f"stage; exiting so that they are read again."
        )


def check_output(tp: TP, acknowledged: int, *, expected: int, applied: int) -> None:
    """Raise `InterleavedWriterError` unless outputs to *tp* were *acknowledged* at the *expected* offset.

    *applied* is the last offset of *tp* in the local state after the acknowledgement: nothing else may have moved it.
    """
    if not acknowledged == expected == applied + 1:
        raise InterleavedWriterError(
            f"{tp.topic}[{tp.partition}]: outputs were acknowledged at offset {acknowledged}, expected {expected}: "
            f"another worker has written in between. Exiting so that recovery reads what it wrote."
        )
