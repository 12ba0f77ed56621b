"""Faust's store `sequence://`: one `PartitionStore` for each assigned partition of a table.

In recovery, Faust reads the table's changelog, which is the stage's output log, and passes its batches to
`apply_changelog_batch`. The table's `Replay` turns them into the entries and offsets that the stage itself wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faust.stores import base
from faust.types import TP

from processors.engine.errors import LocalStateError, TruncatedLogError
from processors.engine.exit import fail_fast
from processors.engine.offsets import LogOffsets
from processors.engine.rocksdb import PartitionStore, StoreConfig, discard
from processors.engine.stage import Known, Put, RecordBatch, SourceRecord

Replay = Callable[[Sequence[SourceRecord], int, Known], tuple[list[Put], int]]
"""Turns changelog records and the processed offset before them into entries and the new processed offset."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Options of a table's store."""

    directory: Path
    config: StoreConfig
    replay: Replay
    compacted: bool = False
    """Whether the changelog is compacted, so that holes between offsets are no loss."""


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
        """Return the store of partition *number*, opened on first use."""
        if number not in self._partitions:
            self._partitions[number] = PartitionStore(self._path(number), self._options.config)
        return self._partitions[number]

    def open_partitions(self) -> list[PartitionStore]:
        """Return the partitions that are open here, those of standbys as well."""
        return list(self._partitions.values())

    def changelog_offset(self, number: int) -> int | None:
        """Return the changelog offset of partition *number*, None if it is not open."""
        state = self._partitions.get(number)
        return None if state is None else state.changelog_offset

    def size_bytes(self) -> dict[int, int]:
        """Return the size of each partition that is open here."""
        return {number: state.size_bytes for number, state in self._partitions.items()}

    def stored_offsets(self) -> dict[int, int]:
        """Return the changelog offset of each partition that has local state, even if it is assigned elsewhere."""
        found = {}
        for number in self._stored():
            opened = number in self._partitions
            found[number] = self.partition(number).changelog_offset
            if not opened:
                self._close([number])
        return found

    def persisted_offset(self, tp: TP) -> int | None:
        """Return the last changelog offset that is applied here. An error exits the process, as in recovery."""
        try:
            offset = self.partition(tp.partition).changelog_offset
        except Exception as error:  # noqa: BLE001  # any error exits the process
            fail_fast(error)
        return offset if offset >= 0 else None

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Do nothing: the offset is written together with the entries."""

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply batches of the changelog. An error exits the process, because Faust would only log it."""
        del to_key, to_value
        for event in batch:
            try:
                self._replay(event.message.tp, event.value)
            except Exception as error:  # noqa: BLE001  # any error exits the process
                fail_fast(error)

    def check_not_recreated(self, number: int, offset: int, offsets: LogOffsets) -> None:
        """Raise `TruncatedLogError` if the changelog of partition *number* ends at or below the stored *offset*."""
        if offset >= offsets.log_end:
            raise TruncatedLogError(
                f"{self.table.changelog_topic_name}[{number}] ends at {offsets.log_end - 1}, but the local state in "
                f"{self._options.directory} has applied offset {offset}. Topic was deleted and recreated. Set a new "
                f"SEQUENCE_TOPIC_PREFIX and a new SEQUENCE_CLICKHOUSE_DATABASE, or restore the topic."
            )

    def verify_recovered(self, number: int, offsets: LogOffsets) -> None:
        """Raise `LocalStateError` unless partition *number* has applied its whole changelog."""
        state = self.partition(number)
        self.check_not_recreated(number, state.changelog_offset, offsets)
        last = offsets.log_end - 1
        if state.changelog_offset < last and offsets.log_start < offsets.log_end:
            raise LocalStateError(
                f"{self.table_name}[{number}] was recovered to offset {state.changelog_offset}, but its changelog ends "
                f"at {last}. The next start recovers the rest."
            )
        if state.changelog_offset < last:
            # Retention has emptied the changelog: all it held is out of the window.
            state.apply((), changelog_offset=last, processed_offset=state.processed_offset)

    def reset_state(self) -> None:
        """Discard the local state; it is rebuilt from the changelog."""
        self._close(list(self._partitions))
        for number in self._stored():
            discard(self._path(number))

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Close partitions that are assigned elsewhere."""
        del revoked, newly_assigned, generation_id
        topic = self.table.changelog_topic_name
        here = {tp.partition for tp in assigned if tp.topic == topic}
        self._close([number for number in self._partitions if number not in here])

    async def on_stop(self) -> None:
        """Close everything."""
        self._close(list(self._partitions))

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None:  # noqa: FBT001, FBT002
        """Not supported: the changelog is the backup."""
        raise NotImplementedError("the changelog is the backup of this table")

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:  # noqa: FBT001, FBT002
        """Not supported: the changelog is the backup."""
        raise NotImplementedError("the changelog is the backup of this table")

    def _replay(self, tp: TP, batch: RecordBatch) -> None:
        state = self.partition(tp.partition)
        records = batch.records
        if batch.first_offset <= state.changelog_offset:
            records = [record for record in records if record.offset > state.changelog_offset]
            if not records:
                return
        expected = max(state.changelog_offset + 1, self.app.consumer.log_starts.get(tp, 0))
        first = batch.complete_from if self._options.compacted else records[0].offset
        if first > expected:
            raise LocalStateError(
                f"{tp.topic}[{tp.partition}]: offset gap in recovery: expected {expected}, got {first}. The next start "
                f"recovers again."
            )
        puts, processed_offset = self._options.replay(records, state.processed_offset, state.get_many)
        state.apply(puts, changelog_offset=records[-1].offset, processed_offset=processed_offset)

    def _path(self, number: int) -> Path:
        return self._options.directory / self.table_name / str(number)

    def _stored(self) -> list[int]:
        """Return the partitions that have a directory here."""
        # Other names are discarded stores, and files that a desktop leaves in every directory.
        names = [path.name for path in (self._options.directory / self.table_name).glob("*")]
        return sorted(int(name) for name in names if name.isdecimal())

    def _close(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._partitions.pop(number).close()
