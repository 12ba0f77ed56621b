"""Mutants: each breaks its own mechanism and no other, so no control becomes harmless by a change of the product."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import NoError, RequestTimedOutError

from processors.dedupe import decision
from processors.engine.changelog_table import ChangelogTable, RecoveredRecords
from processors.engine.commit_proofs import CommitProofs
from processors.engine.errors import (
    InterleavedWriterError,
    SkippedRecordsError,
)
from processors.engine.partition_task import BatchLinger, PartitionTask
from processors.engine.producer import Output
from processors.engine.rocksdb import StoreConfig
from processors.persons import replay
from processors.sink.rows import blocks
from schemas.clickhouse import EVENTS
from schemas.persons import decode_person, encode_person, fold
from tests.contracts.sinks import tracks
from tests.fakes.store import MemoryPartitionStore
from tests.faults import mutants
from tests.faults.controls import CONTROLS
from tests.faults.mutants import MUTANTS
from tests.faults.worker import WITHOUT
from tests.support.records import SlimRecord, event_read, identify, track
from tests.unit.faults.lifecycle_mechanisms import (
    gateway_knows_the_rules_that_were_set_before_its_start,
    identifies_of_erased_users_are_left_out,
    notes_are_saved_before_rows,
    rows_of_erased_users_are_left_out,
    table_takes_no_rows_while_it_is_copied,
)
from tests.unit.faults.retention_mechanisms import (
    positions_of_removed_rows_are_noted,
    removal_that_was_interrupted_is_known,
)
from tests.unit.faults.sink_mechanisms import (
    another_log_is_refused,
    another_number_of_partitions_is_refused,
    block_that_fails_repeatedly_is_halved,
    error_makes_the_writer_ask_the_table,
    forgotten_group_is_not_new,
    insert_ignores_errors_of_views,
    lease_ends_while_the_host_is_suspended,
    noted_positions_count,
    one_low_record_proves_nothing,
    restored_table_is_noticed_after_an_interruption,
    rows_are_written_again_with_another_token,
    table_below_the_commit_is_noticed,
    time_of_one_clock_does_not_move_the_window,
    writer_knows_which_rows_the_table_has,
)
from tests.unit.processors.engine.stages import ITEMS, BatchEvent, CountingStage
from tests.unit.processors.engine.test_membership import OWN, Coordinator, beat, proven
from tests.unit.processors.engine.test_runner import FailingStage, IdleConsumer, started


class Producer:
    """Acknowledges outputs at *offset*, or fails if there is none."""

    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    async def append(self, topic: str, partition: int, outputs: Sequence[Output]) -> int:
        del topic, partition, outputs
        if self._offset is None:
            raise OSError("Kafka is away")
        return self._offset


async def entries_after_write(producer: Producer) -> dict[bytes, bytes]:
    """Write one output through a table whose changelog is empty, and return the local state."""
    store = MemoryPartitionStore(StoreConfig())
    table: Any = SimpleNamespace(
        changelog_topic_name="events", data=SimpleNamespace(partition=lambda number: {0: store}[number])
    )
    changelog = ChangelogTable(table, producer, None, RecoveredRecords())  # type: ignore[arg-type]
    with contextlib.suppress(OSError):
        await changelog.write(0, [Output(b"k", b"v")], [(b"k", b"entry", 0)], processed_offset=0)
    return store.entries()


async def local_state_follows_the_outputs() -> bool:
    assert await entries_after_write(Producer(0)) == {b"k": b"entry"}
    return await entries_after_write(Producer(None)) == {}


async def another_writer_is_an_error() -> bool:
    try:
        await entries_after_write(Producer(7))
    except InterleavedWriterError:
        return True
    return False


async def input_gap_is_an_error() -> bool:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = PartitionTask(CountingStage(), ITEMS, BatchLinger(0.0), ready, processed_offset=3)
    try:
        task.merge([BatchEvent(5)])
    except SkippedRecordsError:
        return True
    return False


async def records_with_repeated_source_offsets_are_dropped() -> bool:
    again = [event_read(offset, track("m"), source_offset=5) for offset in (0, 1)]
    puts, processed_offset = decision.replay(again, -1)
    assert processed_offset == 5
    rows = [row for each in blocks(EVENTS, tracks(range(3)) * 2, 0, -1) for row in each.rows]
    dropped = (len(puts) == 1, len(rows) == 3)
    assert len(set(dropped)) == 1, "recovery and sink differ"
    return all(dropped)


async def error_of_a_stage_is_fatal() -> bool:
    errors: list[BaseException] = []
    runner = await started(FailingStage(), IdleConsumer(), errors.append)
    event = BatchEvent(0)
    runner.submit(event)
    for _ in range(20):
        await asyncio.sleep(0)
    await runner.stop()
    assert event.acknowledged is (errors == [])
    return errors != []


async def stale_person_loses_no_trait() -> bool:
    stale = fold(None, identify("i1", traits=b'{"a": 1}'))
    state = encode_person(fold(stale, identify("i2", traits=b'{"b": 2}')))
    known = {b"p/u": state}
    puts, _ = replay.replay([SlimRecord(1, b"p/u", encode_person(stale))], 0, lambda keys: [known.get(k) for k in keys])
    merged = {key: value for key, value, _ in puts}[b"p/u"]
    return merged is not None and decode_person(merged).traits.keys() == {"a", "b"}


async def heartbeat_of_a_coordinator_that_is_cut_off_does_not_count() -> bool:
    coordinator, proofs = Coordinator(NoError), CommitProofs(lambda _: "")
    coordinator.commit = RequestTimedOutError
    counted = proven(coordinator, proofs, {OWN})
    proofs.note({OWN: 7})
    await beat(coordinator)
    return counted == []


ALSO_BREAKS = {"sink_position": {"positions_after_errors"}}
"""Mechanisms without which another one has no effect."""
MECHANISMS: dict[str, Callable[[], Awaitable[bool]]] = {
    "produce_before_apply": local_state_follows_the_outputs,
    "commit_proofs": heartbeat_of_a_coordinator_that_is_cut_off_does_not_count,
    "origins": records_with_repeated_source_offsets_are_dropped,
    "contiguous_in": input_gap_is_an_error,
    "contiguous_out": another_writer_is_an_error,
    "sink_position": writer_knows_which_rows_the_table_has,
    "fail_fast": error_of_a_stage_is_fatal,
    "partitions": another_number_of_partitions_is_refused,
    "positions_after_errors": error_makes_the_writer_ask_the_table,
    "view_errors_ignored": insert_ignores_errors_of_views,
    "halving": block_that_fails_repeatedly_is_halved,
    "noted_positions": noted_positions_count,
    "rollback_detection": table_below_the_commit_is_noticed,
    "renewed_tokens": rows_are_written_again_with_another_token,
    "windows": one_low_record_proves_nothing,
    "log_identity": another_log_is_refused,
    "fresh_rule": forgotten_group_is_not_new,
    "window_time": time_of_one_clock_does_not_move_the_window,
    "asking_after_interruptions": restored_table_is_noticed_after_an_interruption,
    "server_lease": lease_ends_while_the_host_is_suspended,
    "removal_records": removal_that_was_interrupted_is_known,
    "removal_positions": positions_of_removed_rows_are_noted,
    "erased_rows": rows_of_erased_users_are_left_out,
    "erased_identifies": identifies_of_erased_users_are_left_out,
    "notes_first": notes_are_saved_before_rows,
    "closed_tables": table_takes_no_rows_while_it_is_copied,
    "field_rules": gateway_knows_the_rules_that_were_set_before_its_start,
    "join": stale_person_loses_no_trait,
}


def test_every_mutant_has_a_check() -> None:
    assert MECHANISMS.keys() == MUTANTS.keys()


def test_every_control_has_a_mutant() -> None:
    # Property tests show the effect of the first two: the situation is too rare for a stack. Other tests show that
    # of the others.
    mutants = [control.environ[WITHOUT] for control in CONTROLS if WITHOUT in control.environ]
    shown_elsewhere = {"commit_proofs", "join", "windows", "removal_positions"}
    assert set(mutants) == MUTANTS.keys() - shown_elsewhere
    others = {control.name for control in CONTROLS if WITHOUT not in control.environ}
    assert others == {"without-replicas", "without-faults"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_product_has_the_mechanism(mechanism: str) -> None:
    assert await MECHANISMS[mechanism]()


@pytest.mark.parametrize("mutant", MUTANTS)
async def test_mutant_breaks_its_mechanism_and_no_other(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[mutant](monkeypatch.setattr)

    assert {name for name, holds in MECHANISMS.items() if not await holds()} == {mutant} | ALSO_BREAKS.get(
        mutant, set()
    )


def test_replacing_a_function_that_is_gone_is_an_error() -> None:
    with pytest.raises(AttributeError, match="check_input"):
        mutants.replace(SimpleNamespace(), "check_input", None)
