"""A table whose changelog is the stage's output log: what DESIGN calls 'the log is the state'.

`write` is the rule for every stage in one place: the outputs first, acknowledged by all in-sync replicas; then the
local state, with the positions they were given, in one atomic write. That they were given the positions that were due
shows that nobody else wrote in between; anything else ends the process, and recovery reads what was missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from faust.types import TP

from processors.engine import contiguous, failpoints
from processors.engine.offsets import OffsetReader
from processors.engine.producer import ChangelogProducer, Output
from processors.engine.rocksdb import PartitionStore, Put
from processors.engine.stage import Positions
from processors.engine.store import PartitionedStore


class ChangelogTable:
    """A Faust table with its output log."""

    def __init__(self, table: Any, outputs: ChangelogProducer, logs: OffsetReader) -> None:
        self._table = table
        self._logs = logs
        self._outputs = outputs
        self._numbers: frozenset[int] = frozenset()
        self._checked = False
        self.source = ""
        """The topic whose records decide what is written, once a partition of it was here."""

    @property
    def topic(self) -> str:
        """The output log."""
        name: str = self._table.changelog_topic_name
        return name

    @property
    def store(self) -> PartitionedStore:
        """Faust's store of the table."""
        return self._table.data  # type: ignore[no-any-return]

    def partition(self, number: int) -> PartitionStore:
        """Return the local state of partition *number*."""
        return self.store.partition(number)

    async def positions(self, source: str, numbers: Iterable[int]) -> Positions:
        """Return how far each partition of the *source* topic is decided; check that its log was read to its end."""
        await self._refuse_logs_made_again()
        self.source = source
        self._numbers = frozenset(numbers)
        numbers = sorted(self._numbers)
        bounds = await self._logs.bounds(TP(self.topic, number) for number in numbers)
        for tp, log in bounds.items():
            self.store.verify_recovered(tp.partition, log)
        processed_offset = {number: self.partition(number).processed_offset for number in numbers}
        return Positions(
            {number: offset for number, offset in processed_offset.items() if offset >= 0},
            {(source, number): offset for number, offset in processed_offset.items()},
        )

    async def _refuse_logs_made_again(self) -> None:
        """Refuse to start if any log that there is local state of ends below it, whoever has its partition now.

        Kafka forgets what groups have committed of a topic when it is deleted, so local state alone remembers.
        """
        if self._checked:
            return
        partitions = await self._outputs.partitions(self.topic)
        remembered = {number: position for number, position in self.store.remembered().items() if number < partitions}
        for tp, log in (await self._logs.bounds(TP(self.topic, number) for number in remembered)).items():
            self.store.refuse_if_made_again(tp.partition, remembered[tp.partition], log)
        self._checked = True

    def applied(self) -> dict[TP, int]:
        """Return the position of each partition that was asked about last and is still here."""
        found = ((TP(self.topic, number), self.store.position(number)) for number in self._numbers)
        return {tp: position for tp, position in found if position is not None}

    async def write(
        self, number: int, outputs: Sequence[Output], puts: Iterable[Put], *, processed_offset: int
    ) -> None:
        """Write *outputs*, wait until they are durable, and then apply *puts*; *decided* is the last input offset."""
        state = self.partition(number)
        position = state.position
        failpoints.hit("decided")
        if outputs:
            base = await self._outputs.append(self.topic, number, outputs)
            contiguous.check_output(TP(self.topic, number), base, expected=position + 1, applied=state.position)
            position = base + len(outputs) - 1
        failpoints.hit("produced")
        state.apply(puts, position=position, processed_offset=processed_offset)
        failpoints.hit("applied")
