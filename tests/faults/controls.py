"""The controls: one mechanism taken out at a time, under the harm that it is there for. Each has to turn red."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.data_harms import filling_disk, small_disk
from tests.faults.harms import SETTLE_SECONDS, dying_at_points, nothing, pausing, repeatedly, waking_late
from tests.faults.trial import Scenario, Step


def _without(
    mechanism: str, repetitions: int, harm: Step, turns: tuple[str, ...], *, rate: float = 400.0, **environ: str
) -> Scenario:
    return Scenario(
        f"without-{mechanism.replace('_', '-')}",
        repetitions,
        harm,
        rate=rate,
        environ={"SEQUENCE_TEST_WITHOUT": mechanism, **environ},
        settle_seconds=SETTLE_SECONDS if harm is waking_late else 0,
        must_turn=turns,
    )


CONTROLS = [
    _without(
        "produce_before_apply", 10, dying_at_points, ("lost", "wrong_persons"), SEQUENCE_TEST_KILL_AT="applied:40"
    ),
    # Right after an INSERT: a worker that dies at any moment may have had all its rows acknowledged and committed.
    _without("sink_position", 10, dying_at_points, ("doubled",), SEQUENCE_TEST_KILL_AT="inserted:40"),
    replace(
        _without("fail_fast", 3, repeatedly(filling_disk, pause_seconds=15), ("doubled", "wrong_persons")),
        before=small_disk,
    ),
    _without("origins", 3, pausing("dedupe", seconds=20, between_seconds=10), ("doubled",), rate=500),
    _without("contiguous_out", 20, waking_late, ("doubled", "wrong_persons"), SEQUENCE_TEST_STOP_AT="decided:300"),
    _without(
        "contiguous_in", 1, repeatedly(nothing, pause_seconds=30), ("lost", "wrong_persons"), SEQUENCE_TEST_LOSE="300"
    ),
]
