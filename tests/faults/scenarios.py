"""The scenarios: each injects a fault into a stack under load and leaves it running."""

from __future__ import annotations

from processors.settings import WORKERS
from tests.faults import networks
from tests.faults.alert_faults import MACHINE, SERVERS
from tests.faults.alerting import reporting
from tests.faults.armed import with_points
from tests.faults.backup_faults import BACKUPS, adding_up
from tests.faults.broker_faults import BROKERS, CUT_OFF, FAULTS, with_networks
from tests.faults.checkpoints import in_turn
from tests.faults.clock_faults import CLOCKS, with_clocks
from tests.faults.data_faults import (
    count_missing_rejections,
    filling_disk,
    killing_in_insert,
    losing_responses,
    losing_responses_of_joint_inserts,
    recreating_topics,
    resending_late,
    resetting_offsets,
    small_disk,
    writing_invalid_records,
)
from tests.faults.deployment_faults import DEPLOYMENT, adding_partitions
from tests.faults.erasure_faults import ERASURE
from tests.faults.field_rule_faults import CHANGES, changing_rules
from tests.faults.name_faults import HEAVY, many_names
from tests.faults.process_faults import (
    SETTLE_SECONDS,
    SLOW,
    deleting_state,
    killing,
    killing_at_failpoints,
    killing_broker,
    losing_batches,
    nothing,
    outages,
    pausing,
    repeatedly,
    resuming_late,
    scaling_out_and_in,
    stopping_in_outage,
    stopping_in_slow_inserts,
)
from tests.faults.random_faults import compare_source_offsets, random_sequence
from tests.faults.recovery_time import measuring_takeover
from tests.faults.retention_faults import killing_removals
from tests.faults.small_machine import with_disk_and_clock
from tests.faults.storage_faults import DELETIONS, DELETIONS_FOR_GOOD, STORAGE
from tests.faults.trial import Scenario
from tests.faults.up import CLICKHOUSE_FILES
from tests.faults.upgrades import returning, upgrading, with_previous_release
from tests.faults.view_faults import VIEWS

FEW = 120.0
"""Items per second of scenarios with several faults: each check reads all topics and tables."""


def _killed_at(point: str) -> Scenario:
    return Scenario(
        f"killed-at-{point}",
        20,
        killing_at_failpoints,
        environ={"SEQUENCE_TEST_KILL_AT": f"{point}:40"},
        idle_within_seconds=300,
    )


SCENARIOS = [
    Scenario("calm", 0, nothing, rate=2_000, items=50_000, quiet=True),
    Scenario("worker-killed", 30, killing(*WORKERS, pause_seconds=4)),
    Scenario(
        "killed-with-standbys",
        10,
        killing("dedupe", "persons", pause_seconds=8),
        environ={"SEQUENCE_WORKER_STANDBYS": "1"},
    ),
    Scenario("both-killed", 10, killing(*WORKERS, pause_seconds=12, whole_kind=True)),
    Scenario("gateway-killed", 20, killing("gateway", pause_seconds=3)),
    Scenario("broker-killed", 10, killing_broker),
    Scenario("clickhouse-killed", 20, killing_in_insert, proxied=True),
    *(_killed_at(point) for point in ("decided", "produced", "applied", "inserted", "processed")),
    Scenario("batches-lost", 10, losing_batches, environ={"SEQUENCE_TEST_LOSE": "1000"}),
    Scenario("broker-down-60s", 1, outages("kafka", seconds=60)),
    Scenario("worker-paused-90s", 5, pausing(*WORKERS, seconds=90, between_seconds=12), rate=200),
    Scenario(
        "resumed-late",
        10,
        resuming_late,
        environ={"SEQUENCE_TEST_STOP_AT": "decided:300", "SEQUENCE_WORKER_STALL_SECONDS": "15"},
        settle_seconds=SETTLE_SECONDS,
    ),
    Scenario("broker-paused-30s", 5, pausing("kafka", seconds=30, between_seconds=10)),
    Scenario("workers-added-and-removed", 20, repeatedly(scaling_out_and_in, pause_seconds=3)),
    Scenario("clickhouse-down-5m", 1, outages("clickhouse", seconds=300), rate=200, quiet=True),
    Scenario("responses-lost", 50, losing_responses, proxied=True, quiet=True),
    Scenario("joint-responses-lost", 20, losing_responses_of_joint_inserts, rate=1_000, proxied=True, quiet=True),
    Scenario("state-deleted", 3, repeatedly(deleting_state, pause_seconds=10)),
    Scenario("disk-full", 3, repeatedly(filling_disk, pause_seconds=10), before=small_disk),
    Scenario("resent-after-8-days", 1, resending_late, items=0),
    Scenario("offsets-reset", 1, repeatedly(resetting_offsets, pause_seconds=10)),
    Scenario("stopped-in-outage", 2, repeatedly(stopping_in_outage, pause_seconds=5)),
    Scenario("stopped-in-slow-inserts", 5, stopping_in_slow_inserts, environ=SLOW, proxied=True),
    Scenario(
        "invalid-records",
        10,
        repeatedly(writing_invalid_records, pause_seconds=1),
        afterwards=count_missing_rejections,
        quiet=True,
    ),
    Scenario("topics-recreated", 1, nothing, items=5_000, afterwards=recreating_topics),
    Scenario("views", 3, in_turn(*VIEWS), rate=FEW, quiet=True),
    # A sink that runs while ClickHouse is restored exits when it finds less than it has written.
    Scenario("storage", len(STORAGE), in_turn(*STORAGE), rate=FEW),
    Scenario("deletions", len(DELETIONS), in_turn(*DELETIONS), rate=FEW, quiet=True),
    Scenario("deletions-for-good", len(DELETIONS_FOR_GOOD), in_turn(*DELETIONS_FOR_GOOD), rate=FEW, quiet=True),
    Scenario(
        "deployment",
        3,
        in_turn(*DEPLOYMENT),
        rate=FEW,
        afterwards=adding_partitions,
    ),
    Scenario(
        "host-suspended",
        10,
        resuming_late,
        environ={"SEQUENCE_TEST_STOP_AT": "inserting:40", "SEQUENCE_TEST_SUSPENDED": "1"},
        settle_seconds=SETTLE_SECONDS,
    ),
    Scenario("retention", 3, killing_removals, rate=FEW, environ={"SEQUENCE_TEST_KILL_AT": "removed:1"}),
    Scenario("erasure", len(ERASURE), in_turn(*ERASURE), rate=FEW, before=with_points),
    Scenario("backup", len(BACKUPS), in_turn(*BACKUPS), rate=FEW, before=with_points, afterwards=adding_up),
    Scenario("field-rules", len(CHANGES), changing_rules, rate=FEW),
    Scenario("clocks", len(CLOCKS), in_turn(*CLOCKS), rate=FEW, before=with_clocks, quiet=True),
    Scenario("heavy-request", len(HEAVY), in_turn(*HEAVY), rate=100, idle_within_seconds=300),
    Scenario(
        "random",
        50,
        random_sequence,
        rate=FEW,
        idle_within_seconds=300,
        fill_within_seconds=120,
        afterwards=compare_source_offsets,
    ),
    Scenario("alerts-of-servers", len(SERVERS), reporting(SERVERS), rate=FEW, alone=True),
    Scenario("alerts-of-machine", len(MACHINE), reporting(MACHINE), rate=FEW, before=with_disk_and_clock, alone=True),
    Scenario("brokers", len(FAULTS), in_turn(*FAULTS), rate=300, environ=BROKERS, idle_within_seconds=300, alone=True),
    Scenario(
        "broker-cut-off",
        len(networks.NODES),
        in_turn(*CUT_OFF),
        rate=FEW,
        environ={**BROKERS, networks.NETWORKS: "1"},
        before=with_networks,
        idle_within_seconds=300,
        alone=True,
    ),
    Scenario("upgrade", 1, upgrading, rate=FEW, before=with_previous_release, quiet=True),
    Scenario("upgrade-undone", 1, returning, rate=FEW, before=with_previous_release, quiet=True),
    Scenario("many-names", 1, many_names(20), rate=1_500, alone=True),
    Scenario("many-names-few-files", 1, many_names(20), rate=800, environ={CLICKHOUSE_FILES: "1024"}),
    Scenario("takeover", 2, measuring_takeover, environ={"SEQUENCE_WORKER_SESSION_SECONDS": "10"}, alone=True),
]
