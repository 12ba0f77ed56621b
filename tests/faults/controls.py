"""The controls: one mechanism taken out at a time, under the harm that it is there for."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.scenarios import Scenario, dying_at_points, holding_down, killing, pausing


@dataclass(frozen=True)
class Control:
    """A scenario that has to turn red."""

    scenario: Scenario

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenario.name


def _without(mechanism: str, **environ: str) -> dict[str, str]:
    return {"SEQUENCE_TEST_WITHOUT": mechanism, **environ}


CONTROLS = [
    Control(
        Scenario(
            "control-produce-before-apply",
            10,
            dying_at_points,
            rate=300,
            environ=_without("produce_before_apply", SEQUENCE_TEST_KILL_AT="applied:40"),
        )
    ),
    Control(
        Scenario(
            "control-sink-position",
            10,
            killing("events", pause_seconds=5),
            environ=_without("sink_position"),
        )
    ),
    Control(
        Scenario(
            "control-end-process",
            1,
            holding_down("kafka", seconds=60),
            environ=_without("end_process"),
        )
    ),
    Control(
        Scenario(
            "control-origins",
            3,
            pausing("dedupe", seconds=20, between_seconds=10),
            rate=500,
            environ=_without("origins"),
        )
    ),
    Control(
        Scenario(
            "control-contiguous-out",
            3,
            pausing("dedupe", seconds=20, between_seconds=10),
            rate=500,
            environ=_without("contiguous_out"),
        )
    ),
    Control(
        Scenario(
            "control-contiguous-in",
            10,
            killing("dedupe", pause_seconds=8),
            rate=500,
            environ=_without("contiguous_in"),
        )
    ),
]
