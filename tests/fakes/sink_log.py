"""The log of the sink in memory: `_logs`, accepted losses, and the records of its topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from processors.engine.errors import ForeignDatabaseError
from processors.engine.stage import SourceRecord
from processors.sink.assignment import SinkLog
from processors.sink.log_reader import Windows, add_records
from processors.sink.logs import FIRST_ID, LogIdentity, RegisteredLog, find, listed, refusal
from processors.sink.resume import Window
from tests.fakes.sink import MemorySink

THIS_LOG = LogIdentity("cluster", "sequence", "v1", 4)


class MemoryLogs:
    """`_logs` beside the rows of *sink*."""

    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink
        self.registered_logs: list[RegisteredLog] = []
        self.losses: dict[tuple[int, str, int], int] = {}

    def find_or_register(self, identity: LogIdentity) -> int:
        """Return the id of *identity*, and register it first in an empty database."""
        if (found := find(self.registered_logs, identity)) is not None:
            return found
        if self.registered_logs or self.rows_of():
            raise refusal(identity, self.registered_logs, self.rows_of(), "sequence")
        return self.register(identity)

    def register(self, identity: LogIdentity, log: int | None = None) -> int:
        """Register *identity* with the next id, or with *log*."""
        if (found := find(self.registered_logs, identity)) is not None:
            return found
        if log is None:
            log = 1 + max([each.id for each in self.registered_logs] + self.rows_of(), default=FIRST_ID - 1)
        if log in [each.id for each in self.registered_logs]:
            raise ForeignDatabaseError(
                f"Log {log} of the database sequence is another: {listed(self.registered_logs)}."
            )
        self.registered_logs.append(RegisteredLog(log, identity))
        return log

    def rows_of(self) -> list[int]:
        """Return the logs that the rows come from."""
        return sorted({row.log for rows in self._sink.rows.values() for row in rows})

    def has_rows(self, log: int) -> bool:
        """Return whether a table has a row of *log*, or a position is noted for it."""
        noted = [key for key in self._sink.noted if key[1] == log] + [key for key in self.losses if key[0] == log]
        return bool(noted) or log in self.rows_of()

    def accept_loss(self, log: int, topic: str, partition: int, log_start: int) -> None:
        """Note that records of *topic* below *log_start* are accepted as lost."""
        key = log, topic, partition
        self.losses[key] = max(log_start, self.losses.get(key, 0))

    def accepted(self, log: int, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset below which losses are accepted."""
        return {number: self.losses[log, topic, number] for number in partitions if (log, topic, number) in self.losses}


class MemoryTopics:
    """Records of topics, by topic and partition."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], Sequence[SourceRecord]] = defaultdict(list)
        self.windows_read = 0

    @asynccontextmanager
    async def opened(self, topic: str, partition: int, log_end: int) -> AsyncIterator[Windows]:
        """Yield the windows of a partition."""
        yield _MemoryWindows(self, self.records[topic, partition], log_end)


class _MemoryWindows:
    def __init__(self, topics: MemoryTopics, records: Sequence[SourceRecord], log_end: int) -> None:
        self._topics = topics
        self._records = records
        self._log_end = log_end

    async def read(self, offset: int, position: int) -> Window:
        self._topics.windows_read += 1
        window = Window(position)
        add_records(window, [record for record in self._records if record.offset >= offset], self._log_end)
        return window


async def this_log() -> LogIdentity:
    """Return the identity of the log in these tests."""
    return THIS_LOG


def memory_log(
    sink: MemorySink,
    topics: MemoryTopics | None = None,
    logs: MemoryLogs | None = None,
    topic_ids: Mapping[str, str] | None = None,
) -> SinkLog:
    """Return the log of *sink*; without *logs* it is registered already."""
    if logs is None:
        logs = MemoryLogs(sink)
        logs.register(THIS_LOG, FIRST_ID)
    return SinkLog(logs, this_log, (topics or MemoryTopics()).opened, topic_ids or {})
