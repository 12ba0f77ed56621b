"""The controls: one mechanism taken out at a time, under the harm that it is there for. Each has to turn red."""

from __future__ import annotations

from tests.faults.harms import dying_at_points, killing, pausing, waking_late
from tests.faults.trial import Scenario, Step


def _without(mechanism: str, repetitions: int, harm: Step, *, rate: float = 400.0, **environ: str) -> Scenario:
    return Scenario(
        f"without-{mechanism.replace('_', '-')}",
        repetitions,
        harm,
        rate=rate,
        environ={"SEQUENCE_TEST_WITHOUT": mechanism, **environ},
        idle_within_seconds=60,
        must_be_red=True,
    )


CONTROLS = [
    _without("produce_before_apply", 10, dying_at_points, rate=300, SEQUENCE_TEST_KILL_AT="applied:40"),
    _without("sink_position", 10, killing("events", pause_seconds=5)),
    _without("end_process", 10, waking_late, SEQUENCE_TEST_STOP_AT="decided:60"),
    _without("origins", 3, pausing("dedupe", seconds=20, between_seconds=10), rate=500),
    _without("contiguous_out", 10, waking_late, SEQUENCE_TEST_STOP_AT="decided:60"),
    _without("join", 10, waking_late, SEQUENCE_TEST_STOP_AT="decided:60"),
    _without("contiguous_in", 5, pausing("kafka", seconds=12, between_seconds=8), rate=1_000),
]
