"""The controls: one mutant each, under the fault that its mechanism protects against. Each must turn red."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.alert_faults import MACHINE, SERVERS
from tests.faults.alerting import UNREPORTED, reporting
from tests.faults.armed import with_points
from tests.faults.backup_faults import notes_during_backup
from tests.faults.broker_faults import BROKERS, wiping
from tests.faults.checkpoints import in_turn
from tests.faults.clock_faults import CLOCKS, with_clocks
from tests.faults.data_faults import filling_disk, losing_responses_of_joint_inserts, small_disk
from tests.faults.deployment_faults import adding_partitions, expiring_unread, using_two_prefixes
from tests.faults.erasure_faults import losing_state, losing_tables, without_kills
from tests.faults.field_rule_faults import STORED, changing_rules
from tests.faults.name_faults import unstorable_rows
from tests.faults.process_faults import (
    SETTLE_SECONDS,
    killing_at_failpoints,
    nothing,
    pausing,
    repeatedly,
    resuming_late,
)
from tests.faults.retention_faults import killing_removals
from tests.faults.scenarios import FEW
from tests.faults.small_machine import with_disk_and_clock
from tests.faults.storage_faults import deleting, deleting_one_block, restoring, restoring_unnoticed
from tests.faults.trial import Scenario, Step
from tests.faults.upgrades import migrating, with_previous_release
from tests.faults.view_faults import ALWAYS, throwing


def _without(
    mechanism: str, repetitions: int, inject: Step, violations: tuple[str, ...], *, rate: float = 400.0, **environ: str
) -> Scenario:
    return Scenario(
        f"without-{mechanism.replace('_', '-')}",
        repetitions,
        inject,
        rate=rate,
        environ={"SEQUENCE_TEST_WITHOUT": mechanism, **environ},
        settle_seconds=SETTLE_SECONDS if inject is resuming_late else 0,
        must_violate=violations,
    )


def _of_one_fault(mechanism: str, fault: Step, *violations: str) -> Scenario:
    """Return the control with one *fault* of those that share a stack otherwise."""
    checked = in_turn(("fault", fault), fill_seconds=5.0)
    return _without(
        mechanism, 1, checked, violations or ("fault: lost", "fault: doubled", "fault: wrong_persons"), rate=FEW
    )


CONTROLS = [
    _without(
        "produce_before_apply", 10, killing_at_failpoints, ("lost", "wrong_persons"), SEQUENCE_TEST_KILL_AT="applied:40"
    ),
    # Right after an INSERT: a worker that dies at any moment may have had all its rows acknowledged and committed.
    _without("sink_position", 10, killing_at_failpoints, ("doubled",), SEQUENCE_TEST_KILL_AT="inserted:40"),
    replace(
        _without("fail_fast", 3, repeatedly(filling_disk, pause_seconds=15), ("doubled", "wrong_persons")),
        before=small_disk,
    ),
    _without("origins", 3, pausing("dedupe", seconds=20, between_seconds=10), ("doubled",), rate=500),
    _without("contiguous_out", 20, resuming_late, ("doubled", "wrong_persons"), SEQUENCE_TEST_STOP_AT="decided:300"),
    _without(
        "contiguous_in", 1, repeatedly(nothing, pause_seconds=30), ("lost", "wrong_persons"), SEQUENCE_TEST_LOSE="300"
    ),
    replace(
        _without(
            "positions_after_errors",
            10,
            losing_responses_of_joint_inserts,
            ("doubled", "duplicates_doubled"),
            rate=1_000,
        ),
        proxied=True,
    ),
    _of_one_fault(
        "view_errors_ignored",
        throwing("throws", ALWAYS, is_named=False),
        "throws: rows of a healthy view lost",
        "throws: rows of a healthy view doubled",
        "throws: rejected by the sink",
        "fault: doubled",
    ),
    _without("halving", 1, unstorable_rows, ("unstorable rows: clean events never visible",), rate=100),
    _of_one_fault("rollback_detection", restoring(sinks_too=True)),
    _of_one_fault("asking_after_interruptions", restoring_unnoticed),
    _of_one_fault("renewed_tokens", deleting_one_block, "fault: failed"),
    _of_one_fault("log_identity", using_two_prefixes, "two prefixes: not refused", "fault: doubled"),
    _of_one_fault("fresh_rule", expiring_unread, "expired unread: not refused"),
    replace(
        _without("window_time", 1, in_turn(*CLOCKS[:1], CLOCKS[3]), ("record of next year: doubled",)),
        before=with_clocks,
    ),
    _of_one_fault("partitions", adding_partitions, "partitions added: tracks counted twice"),
    _of_one_fault("noted_positions", deleting("DELETE", keep=True), "fault: undeleted"),
    _without(
        "server_lease",
        10,
        resuming_late,
        ("doubled",),
        SEQUENCE_TEST_STOP_AT="inserting:40",
        SEQUENCE_TEST_SUSPENDED="1",
    ),
    *(
        replace(_of_one_fault(mechanism, fault, *violations), before=with_points)
        for mechanism, fault, violations in (
            ("erased_rows", without_kills(losing_tables), ("fault: erased_visible",)),
            ("erased_identifies", without_kills(losing_state), ("fault: wrong_persons",)),
        )
    ),
    # Rows that are only late are no violation.
    replace(
        _without("notes_first", 1, in_turn(("fault", notes_during_backup)), ("fault: lost",), rate=FEW),
        before=with_points,
    ),
    _without("field_rules", 2, changing_rules, (STORED,), rate=FEW),
    _without(
        "removal_records",
        3,
        killing_removals,
        ("removed rows not counted once",),
        rate=FEW,
        SEQUENCE_TEST_KILL_AT="removed:1",
    ),
    replace(_without("closed_tables", 1, migrating, ("lost", "wrong_persons"), rate=FEW), before=with_previous_release),
    # Each record is on one broker, which loses it with its disk.
    Scenario(
        "without-replicas",
        1,
        in_turn(("broker wiped", wiping)),
        rate=FEW,
        environ={**BROKERS, "SEQUENCE_REPLICATION_FACTOR": "1", "SEQUENCE_MIN_INSYNC_REPLICAS": "1"},
        must_violate=("broker wiped: lost", "one broker lost: availability below 99 %"),
    ),
    # Nothing is injected, and nothing is reported: neither alerts nor commands always speak.
    Scenario(
        "without-faults",
        0,
        reporting((*SERVERS, *MACHINE), injected=False),
        rate=FEW,
        before=with_disk_and_clock,
        must_violate=(UNREPORTED,),
    ),
]
