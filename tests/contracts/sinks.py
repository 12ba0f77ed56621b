"""Sinks under test, and rows for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from processors.clickhouse.client import ANSWER_SECONDS
from processors.engine.stage import Membership
from processors.rejected_topic import RejectedTopic
from processors.sink.insert import Sink
from processors.sink.rows import Block, Row, item_rows
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, Table
from schemas.topics import Topics
from tests.fakes.outputs import MemoryOutputs
from tests.support.records import event_read, track


@dataclass
class SinkCase:
    """A sink, and a reader of its tables: partition and source offset of each row, sorted."""

    sink: Sink
    stored: Callable[[Table], list[tuple[int, int]]]
    remove_above: Callable[[Table, int], object]
    """Removes the rows above a source offset."""


@dataclass
class FixedLease:
    """A lease that ends *seconds* from the moment of each question, on the clock of this machine and its servers."""

    seconds: float
    answer_seconds: float = ANSWER_SECONDS
    interruptions: int = 0

    def start(self, membership: Membership) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def deadline(self) -> float:
        return time.time() + min(self.seconds, self.answer_seconds)

    def has_ended(self, server_seconds: float) -> bool:
        return server_seconds >= time.time() + self.seconds


valid_lease = FixedLease(60)
ended_lease = FixedLease(-1)


def tracks(offsets: range, partition: int = 0) -> list[Row]:
    """Return a row of `events` for each of the source *offsets*."""
    records = [event_read(offset, track(f"m{partition}-{offset}"), source_offset=offset) for offset in offsets]
    return list(item_rows(records, 1, partition).events)


def block(offsets: range, partition: int = 0) -> Block:
    return Block(EVENTS, partition, tracks(offsets, partition))


def row_positions(offsets: range, partition: int = 0) -> list[tuple[int, int]]:
    return [(partition, offset) for offset in offsets]


def unstorable(row: Row) -> Row:
    """Return *row* with a text that is no time, which every sink rejects."""
    return msgspec.structs.replace(row, timestamp="never")


def table_writer(sink: Sink) -> TableWriter:
    """Return a started writer of `events` whose rejections stay in memory."""
    writer = TableWriter(EVENTS, sink, RejectedTopic(MemoryOutputs(), Topics(), "sink"))
    writer.start(valid_lease)
    return writer
