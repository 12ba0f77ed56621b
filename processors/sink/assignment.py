"""What the sink does when partitions are assigned: finds its log, reads the positions, and decides where to start.

The tables decide, not the consumer group. A table that knows less than the group committed was restored, lost or rolled
back, or its newest rows were deleted: the sink starts early enough to write them again. What the topic no longer has is
refused. `processors.sink.resume` explains the search.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from processors.engine.errors import ExpiredInputError
from processors.engine.stage import AssignedOffsets, InputOffsets
from processors.engine.topic_ids import check_ids
from processors.sink import resume
from processors.sink.log_reader import LogReader
from processors.sink.logs import LogIdentity, Logs
from processors.sink.resume import Found, Lag, Metadata
from processors.sink.writer import TableWriter
from schemas.topics import without_prefix

log = logging.getLogger(__name__)


class StartFinder(Protocol):
    """Finds the offset of a topic that follows a position of its tables."""

    source: str
    """The topic of the source offsets."""

    async def find(self, partition: int, inputs: InputOffsets, position: int) -> Found:
        """Return where the records begin whose source offsets exceed *position*."""

    def known_start(self, position: int) -> int:
        """Return the offset after *position* if it is known without a search, 0 otherwise."""


class SinkLog:
    """The log that this sink writes: what Kafka calls it, what the database knows of it, and how to read it."""

    def __init__(
        self,
        logs: Logs,
        identity: Callable[[], Awaitable[LogIdentity]],
        reader: LogReader,
        topic_ids: Mapping[str, str],
    ) -> None:
        self.logs = logs
        self.reader = reader
        self.topic_ids = topic_ids
        """Kafka's ids of topics, as far as they are known."""
        self._read_identity = identity
        self._identity: LogIdentity | None = None

    async def find(self, writer: TableWriter) -> int:
        """Return the id of the log; `ForeignDatabaseError` if the database belongs to another."""
        if self._identity is None:
            self._identity = await self._read_identity()
        return await writer.until_it_works(partial(self.logs.find_or_register, self._identity))


@dataclass(frozen=True, slots=True)
class _Partition:
    """What is known of a partition that is assigned."""

    name: str
    number: int
    inputs: InputOffsets
    positions: Mapping[str, int]
    """By table."""
    accepted: int
    """Offset below which a person has accepted the loss of records."""

    @property
    def accepts_loss(self) -> bool:
        """Whether a person has accepted the loss of all that has expired."""
        return self.accepted >= self.inputs.log_start

    @property
    def accept(self) -> str:
        """The command that accepts it."""
        return f"`sequence positions accept --stage sink --partition {self.number}`"


class Assignment:
    """Decides where the sink starts on one topic."""

    def __init__(self, topic: str, writers: Sequence[TableWriter], sink_log: SinkLog, finder: StartFinder) -> None:
        self._topic = topic
        self._writers = writers
        self._sink_log = sink_log
        self._finder = finder
        self._deciding = 0

    @property
    def waiting(self) -> bool:
        """Whether the start is being decided, which may take minutes."""
        return self._deciding > 0

    def commit_metadata(self, partition: int) -> str:
        """Return the positions that the tables have shown; any thread may call this."""
        shown = {each.table.name: each.shown(partition) for each in self._writers}
        known = {table: position for table, position in shown.items() if position is not None}
        if len(known) < len(shown):
            return ""
        source_id = self._sink_log.topic_ids.get(self._finder.source, "")
        return resume.encode_metadata(Metadata(self._writers[0].log, known, source_id))

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return where each partition starts.

        Raises `ForeignDatabaseError` if the database belongs to another log, and `ExpiredInputError` if rows are
        missing that the topic no longer has.
        """
        self._deciding += 1
        try:
            partitions = await self._read(inputs)
            starts = await asyncio.gather(*map(self._start, partitions))
        finally:
            self._deciding -= 1
        return AssignedOffsets(
            start_offsets={partition.number: start for partition, start in zip(partitions, starts, strict=True)},
            remembered_offsets={
                (self._finder.source, partition.number): max(partition.positions.values()) for partition in partitions
            },
        )

    async def _read(self, inputs: Mapping[int, InputOffsets]) -> list[_Partition]:
        log_id = await self._sink_log.find(self._writers[0])
        positions: dict[int, dict[str, int]] = {number: {} for number in inputs}
        for writer in self._writers:
            writer.log = log_id
            for number, position in (await writer.load_positions(inputs)).items():
                positions[number][writer.table.name] = position
        logs, until_it_works = self._sink_log.logs, self._writers[0].until_it_works
        short_name = without_prefix(self._topic)
        accepted = await until_it_works(partial(logs.accepted, log_id, short_name, list(inputs)))
        return [
            _Partition(f"{self._topic}[{number}]", number, inputs[number], positions[number], accepted.get(number, 0))
            for number in sorted(inputs)
        ]

    async def _start(self, partition: _Partition) -> int:
        inputs = partition.inputs
        if inputs.committed is None:
            return await self._start_without_commit(partition)
        committed = max(inputs.committed, self._finder.known_start(max(partition.positions.values())))
        metadata = resume.decode_metadata(inputs.metadata)
        if metadata.source_id:
            check_ids({self._finder.source: metadata.source_id}, self._sink_log.topic_ids)
        lags = resume.lagging(partition.positions, metadata.positions)
        if not lags:
            # Records that have expired unread are refused by the engine.
            return inputs.log_start if committed < inputs.log_start and partition.accepts_loss else committed
        position = min(lag.position for lag in lags)
        found = await self._finder.find(partition.number, inputs, position)
        if not found.is_complete and not partition.accepts_loss:
            raise ExpiredInputError(_lost(partition, lags, found))
        start = max(min(found.offset, inputs.committed), inputs.log_start)
        if start < inputs.committed:
            _warn(partition, lags, start)
        return start

    async def _has_rows(self) -> bool:
        writer = self._writers[0]
        return await writer.until_it_works(partial(self._sink_log.logs.has_rows, writer.log))

    async def _start_without_commit(self, partition: _Partition) -> int:
        """Return where to start if the group has committed nothing, or Kafka has forgotten it."""
        inputs, positions = partition.inputs, partition.positions.values()
        if max(positions) < 0:
            # The partition may have had no record yet; that all partitions have had none is a new deployment.
            if not partition.accepts_loss and await self._has_rows():
                raise ExpiredInputError(_unknown(partition))
            return inputs.log_start
        found = await self._finder.find(partition.number, inputs, max(positions))
        if not found.is_complete and not partition.accepts_loss:
            raise ExpiredInputError(_unknown(partition))
        if min(positions) < max(positions):
            # The table with the lower position may lack rows: the last batch may have reached one table alone.
            found = await self._finder.find(partition.number, inputs, min(positions))
        log.info(
            "%s: the consumer group has no committed offset; by the tables it continues at offset %d",
            *(partition.name, found.offset),
        )
        return found.offset


def _warn(partition: _Partition, lags: Sequence[Lag], start: int) -> None:
    for lag in lags:
        log.warning(
            "%s: the table %s is at source offset %d, but it was at %d when the consumer group committed. It was "
            "restored, lost or rolled back, or rows were deleted without `sequence positions keep`. Reading again from "
            "offset %d and writing the rows that are missing",
            *(partition.name, lag.table, lag.position, lag.committed, start),
        )


def _lost(partition: _Partition, lags: Sequence[Lag], found: Found) -> str:
    """Return which rows are lost to the tables, and what to do."""
    lag = min(lags, key=lambda each: each.position)
    last = lag.committed if found.first is None else found.first - 1
    return (
        f"{partition.name}: the table {lag.table} is at source offset {lag.position}, but it was at {lag.committed} "
        f"when the consumer group committed. Rows with source offsets {lag.position + 1} to {last} cannot be written "
        f"again: offsets below {partition.inputs.log_start} have expired. Restore a newer backup of the tables, or "
        f"accept the loss with {partition.accept}."
    )


def _unknown(partition: _Partition) -> str:
    """Return why nothing tells whether rows are missing, and what to do."""
    return (
        f"{partition.name}: the consumer group has no committed offset, the tables are at source offset "
        f"{max(partition.positions.values())}, and offsets below {partition.inputs.log_start} have expired, so that "
        f"nothing tells whether records in between were written. To continue at offset {partition.inputs.log_start}, "
        f"run {partition.accept}."
    )
