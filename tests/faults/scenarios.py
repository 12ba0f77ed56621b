"""The scenarios: each does its harm to a stack under load and leaves it running."""

from __future__ import annotations

from tests.faults.data_harms import (
    count_poison,
    filling_disk,
    killing_in_insert,
    losing_answers,
    making_topics_again,
    poisoning,
    repeating_late,
    resetting_offsets,
    small_disk,
)
from tests.faults.harms import (
    SETTLE_SECONDS,
    SLOW,
    WORKERS,
    coming_and_going,
    dying_at_points,
    ending_in_outage,
    ending_in_slow_inserts,
    holding_down,
    killing,
    killing_broker,
    losing_runs,
    nothing,
    pausing,
    repeatedly,
    waking_late,
    wiping,
)
from tests.faults.speed import taking_over
from tests.faults.trial import Scenario


def _dying_at(point: str) -> Scenario:
    return Scenario(
        f"killed-at-{point}",
        20,
        dying_at_points,
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
    *(_dying_at(point) for point in ("decided", "produced", "applied", "inserted", "processed")),
    Scenario("runs-lost", 10, losing_runs, environ={"SEQUENCE_TEST_LOSE": "1000"}),
    Scenario("broker-down-60s", 1, holding_down("kafka", seconds=60)),
    Scenario("worker-paused-90s", 5, pausing(*WORKERS, seconds=90, between_seconds=12), rate=200),
    Scenario(
        "woken-late",
        10,
        waking_late,
        environ={"SEQUENCE_TEST_STOP_AT": "decided:300", "SEQUENCE_WORKER_STALL_SECONDS": "15"},
        settle_seconds=SETTLE_SECONDS,
    ),
    Scenario("broker-paused-30s", 5, pausing("kafka", seconds=30, between_seconds=10)),
    Scenario("workers-come-and-go", 20, repeatedly(coming_and_going, pause_seconds=3)),
    Scenario("clickhouse-down-5m", 1, holding_down("clickhouse", seconds=300), rate=200, quiet=True),
    Scenario("answers-lost", 50, losing_answers, proxied=True, quiet=True),
    Scenario("state-wiped", 3, repeatedly(wiping, pause_seconds=10)),
    Scenario("disk-full", 3, repeatedly(filling_disk, pause_seconds=10), before=small_disk),
    Scenario("repeated-after-8-days", 1, repeating_late, items=0),
    Scenario("offsets-reset", 1, repeatedly(resetting_offsets, pause_seconds=10)),
    Scenario("ended-in-outage", 2, repeatedly(ending_in_outage, pause_seconds=5)),
    Scenario("ended-in-slow-inserts", 5, ending_in_slow_inserts, environ=SLOW, proxied=True),
    Scenario("poison", 10, repeatedly(poisoning, pause_seconds=1), afterwards=count_poison, quiet=True),
    Scenario("topics-made-again", 1, nothing, items=5_000, afterwards=making_topics_again),
    Scenario("takeover", 2, taking_over, environ={"SEQUENCE_WORKER_SESSION_SECONDS": "10"}, alone=True),
]
