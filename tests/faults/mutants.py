"""Mutants: one mechanism of the guarantee taken out, for the controls that prove that its absence is seen.

Each mutant replaces the function that is the mechanism. A name that the product no longer has raises `AttributeError`
at the start, so no control becomes harmless by a rename.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from faust.types import TP

from gateway.kafka import partitions as gateway_partitions
from processors.dedupe import decision
from processors.engine import contiguous, failpoints
from processors.engine import deployment as worker_deployment
from processors.engine.changelog_table import ChangelogTable
from processors.engine.commit_proofs import CommitProofs
from processors.engine.partition_task import PartitionTask
from processors.engine.producer import Output
from processors.engine.stage import Put, RecordBatch, SourceRecord
from processors.persons import replay
from processors.sink import rows
from processors.sink.writer import TableWriter
from schemas.projects import Deployment
from tests.faults import lifecycle_mutants, sink_mutants, start_mutants

Patch = Callable[[object, str, Any], None]
"""Replaces an attribute that exists: `replace`, or pytest's `monkeypatch.setattr`."""

log = logging.getLogger(__name__)


def replace(owner: object, name: str, value: object) -> None:
    """Set attribute *name* of *owner*; AttributeError if it has none."""
    getattr(owner, name)
    setattr(owner, name, value)


def produce_before_apply(patch: Patch) -> None:
    """Write the local state before the outputs are durable."""

    async def write(
        self: ChangelogTable, number: int, outputs: Sequence[Output], puts: Iterable[Put], *, processed_offset: int
    ) -> None:
        state = self.partition(number)
        failpoints.hit("decided")
        state.apply(puts, changelog_offset=state.changelog_offset, processed_offset=state.processed_offset)
        failpoints.hit("applied")
        last = await self.append(number, outputs)
        failpoints.hit("produced")
        state.apply((), changelog_offset=last, processed_offset=processed_offset)

    patch(ChangelogTable, "write", write)


def origins(patch: Patch) -> None:
    """Accept every record of `events.v1`, whatever source offset it has."""
    original = decision.replay

    def replay_all(records: Sequence[SourceRecord], processed_offset: int) -> tuple[list[Put], int]:
        puts: list[Put] = []
        for record in records:
            more, source_offset = original([record], -1)
            puts += more
            processed_offset = max(processed_offset, source_offset)
        return puts, processed_offset

    def all_rows(found: Iterable[rows.Row], after: int) -> Iterator[rows.Row]:
        del after
        return iter(found)

    patch(decision, "replay", replay_all)
    patch(rows, "growing", all_rows)


def commit_proofs(patch: Patch) -> None:
    """Let a heartbeat count although nothing was committed after it."""

    def begin(self: CommitProofs, consumer: Any, node: object, proven: Callable[[], None]) -> None:
        del self, consumer, node
        proven()

    patch(CommitProofs, "begin", begin)


def contiguous_in(patch: Patch) -> None:
    """Let a gap in the input pass."""

    def check_nothing(tp: TP, batch: RecordBatch, expected: int, *, compacted: bool) -> None:
        del tp, batch, expected, compacted

    patch(contiguous, "check_input", check_nothing)


def contiguous_out(patch: Patch) -> None:
    """Let another writer's records between the own outputs pass."""

    def check_nothing(tp: TP, acknowledged: int, *, expected: int, applied: int) -> None:
        del tp, acknowledged, expected, applied

    patch(contiguous, "check_output", check_nothing)


def sink_position(patch: Patch) -> None:
    """Never ask ClickHouse which rows it has."""

    def read_nothing(self: TableWriter, partitions: Sequence[int]) -> dict[int, int]:
        self._sink.wait_for_running_inserts(self.table, self.log, partitions)
        return dict.fromkeys(partitions, -1)

    patch(TableWriter, "_read_positions", read_nothing)


def fail_fast(patch: Patch) -> None:
    """Continue with the next batch after an error."""
    original = PartitionTask.process

    async def process(self: PartitionTask, batch: RecordBatch) -> None:
        try:
            await original(self, batch)
        except Exception as error:  # noqa: BLE001  # what the mutant is for
            log.warning("TEST: continuing after %r", error)

    patch(PartitionTask, "process", process)


def partitions(patch: Patch) -> None:
    """Take whatever number of partitions the topics have."""

    def no_difference(deployment: Deployment | None, counts: Mapping[str, int]) -> None:
        del deployment, counts

    patch(gateway_partitions, "different_partitions", no_difference)
    patch(worker_deployment, "different_partitions", no_difference)


def window_time(patch: Patch) -> None:
    """Let the broker's time of any item move the dedupe window."""

    def always(broker_ms: int) -> tuple[str, str]:
        del broker_ms
        return "", "~"

    patch(decision, "agreeing", always)


def join(patch: Patch) -> None:
    """Let a stale record of `persons.v1` replace the person in the local state."""

    def replaced(current: bytes | None, written: bytes | None, erasures: object) -> replay.Merged:
        del current, erasures
        return replay.Merged(written, is_stale=False, forgets=False)

    patch(replay, "_merged", replaced)


MUTANTS: dict[str, Callable[[Patch], None]] = {
    mutant.__name__: mutant
    for mutant in (
        produce_before_apply,
        origins,
        contiguous_in,
        contiguous_out,
        sink_position,
        fail_fast,
        join,
        partitions,
        window_time,
        sink_mutants.positions_after_errors,
        sink_mutants.view_errors_ignored,
        sink_mutants.halving,
        sink_mutants.noted_positions,
        sink_mutants.server_lease,
        commit_proofs,
        sink_mutants.removal_records,
        sink_mutants.removal_positions,
        lifecycle_mutants.erased_rows,
        lifecycle_mutants.erased_identifies,
        lifecycle_mutants.notes_first,
        lifecycle_mutants.field_rules,
        lifecycle_mutants.closed_tables,
        start_mutants.rollback_detection,
        start_mutants.renewed_tokens,
        start_mutants.asking_after_interruptions,
        start_mutants.windows,
        start_mutants.log_identity,
        start_mutants.fresh_rule,
    )
}
"""By the name that `SEQUENCE_TEST_WITHOUT` gives."""
