"""The store that `sequence://` names for Faust's tables: one `PartitionStore` for each partition that is here.

Faust reads the table's changelog, which is the output log of the stage, and hands its slices to
`apply_changelog_batch`. The store turns them into entries and positions with the table's own `Replay`, so recovery
writes what the stage itself would have written.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faust.stores import base
from faust.types import TP

from processors.engine.errors import LocalStateError, TruncatedLogError
from processors.engine.exit import fail_fast
from processors.engine.offsets import LogOffsets
from processors.engine.rocksdb import PartitionStore, Put, StoreConfig
from processors.engine.stage import RecordBatch, SourceRecord

Known = Callable[[Sequence[bytes]], list[bytes | None]]
"""Returns the entry of each key as it stands, None where there is none."""
Replay = Callable[[Sequence[SourceRecord], int, Known], tuple[list[Put], int]]
"""Turns records of the output log and the highest decided input offset into entries and the new highest offset."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a table tells its store."""

    directory: Path
    layout: StoreConfig
    replay: Replay
    compacted: bool = False
    """Whether the output log is compacted, so that holes in it are no loss."""


class PartitionedStore(base.Store[bytes, bytes]):
    """Faust's view of the local state of one table."""

    logger = logging.getLogger("faust.stores")
    app: Any
    table: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._options: StoreOptions = (self.options or {})["sequence"]
        self._partitions: dict[int, PartitionStore] = {}

    def partition(self, number: int) -> PartitionStore:
        """Return the state of partition *number*, opened at the first use."""
        if number not in self._partitions:
            path = self._options.directory / self.table_name / str(number)
            self._partitions[number] = PartitionStore(path, self._options.layout)
        return self._partitions[number]

    def position(self, number: int) -> int | None:
        """Return the last offset of the log that partition *number* holds, None where it is not open here."""
        state = self._partitions.get(number)
        return None if state is None else state.position

    def remembered(self) -> dict[int, int]:
        """Return the position of each partition that has local state here, also of those that are elsewhere now."""
        paths = (self._options.directory / self.table_name).glob("*")
        found = {}
        for number in sorted(int(path.name) for path in paths):
            held = number in self._partitions
            found[number] = self.partition(number).position
            if not held:
                self._close([number])
        return found

    def persisted_offset(self, tp: TP) -> int | None:
        """Return the last offset of the changelog that is applied here."""
        position = self.partition(tp.partition).position
        return position if position >= 0 else None

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Do nothing: the position is written together with what it stands for."""

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply slices of the changelog. Faust only logs what goes wrong in here, so it ends the process."""
        del to_key, to_value
        for event in batch:
            try:
                self._replay(event.message.tp, event.value)
            except Exception as error:  # noqa: BLE001
                fail_fast(error)

    def refuse_if_made_again(self, number: int, position: int, log: LogOffsets) -> None:
        """Refuse to go on where the *log* of partition *number* ends below the *position* that is remembered of it."""
        if position >= log.end:
            raise TruncatedLogError(
                f"{self.table.changelog_topic_name}[{number}] ends at {log.end - 1}, but table {self.table_name} "
                f"remembers {position}: the topic was deleted and made again. Give it a new epoch, or remove the local "
                f"state if the topic is meant to begin anew"
            )

    def verify_recovered(self, number: int, log: LogOffsets) -> None:
        """Check that partition *number* holds the whole of its *log*."""
        state = self.partition(number)
        self.refuse_if_made_again(number, state.position, log)
        if state.position < log.end - 1 and log.start < log.end:
            raise LocalStateError(
                f"table {self.table_name}[{number}] was recovered up to {state.position}, its log ends at {log.end - 1}"
            )
        if state.position < log.end - 1:
            # Retention has emptied the log: what it held is out of the window.
            state.apply((), position=log.end - 1, processed_offset=state.processed_offset)

    def reset_state(self) -> None:
        """Delete the local state; it is rebuilt from the log."""
        self._close(list(self._partitions))
        shutil.rmtree(self._options.directory / self.table_name, ignore_errors=True)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Close what has moved elsewhere."""
        del revoked, newly_assigned, generation_id
        topic = self.table.changelog_topic_name
        here = {tp.partition for tp in assigned if tp.topic == topic}
        self._close([number for number in self._partitions if number not in here])

    async def on_stop(self) -> None:
        """Close everything."""
        self._close(list(self._partitions))

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None:  # noqa: FBT001, FBT002
        """Refuse: the log is the backup."""
        raise NotImplementedError("the output log is the backup of this table")

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:  # noqa: FBT001, FBT002
        """Refuse: the log is the backup."""
        raise NotImplementedError("the output log is the backup of this table")

    def _replay(self, tp: TP, run: RecordBatch) -> None:
        state = self.partition(tp.partition)
        records = run.records
        if run.first_offset <= state.position:
            records = [record for record in records if record.offset > state.position]
            if not records:
                return
        due = max(state.position + 1, self.app.consumer.log_starts.get(tp, 0))
        begin = run.begin if self._options.compacted else records[0].offset
        if begin > due:
            raise LocalStateError(f"recovery of {tp.topic}[{tp.partition}] skipped from {due} to {begin}")
        puts, processed_offset = self._options.replay(records, state.processed_offset, state.get_many)
        state.apply(puts, position=records[-1].offset, processed_offset=processed_offset)

    def _close(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._partitions.pop(number).close()
