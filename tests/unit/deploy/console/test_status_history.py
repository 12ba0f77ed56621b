"""The lag of each stage over time, and the steps of `/api/rates`."""

from __future__ import annotations

import pytest

from deploy.console.rates import _step
from deploy.console.sampler import Sample, lag_at


def sample(at: float, dedupe: float | None, sink: float | None = 0.0) -> Sample:
    return Sample(at, {"dedupe": dedupe, "persons": 0.0, "sink": sink})


def test_step_has_the_highest_lag_of_its_samples() -> None:
    samples = [sample(100, 1.0), sample(105, 3.0), sample(109.9, 2.0), sample(110, 0.0), sample(125, None, 7.5)]

    found = lag_at(samples, [100, 110, 120, 130], 10)

    assert found["dedupe"] == [3.0, 0.0, None, None]
    assert found["sink"] == [0.0, 0.0, 7.5, None]


def test_samples_outside_the_asked_time_do_not_count() -> None:
    assert lag_at([sample(99.9, 9.0), sample(120, 9.0)], [100, 110], 10)["dedupe"] == [None, None]
    assert lag_at([sample(1, 1.0)], [], 10) == {"dedupe": [], "persons": [], "sink": []}


@pytest.mark.parametrize(("seconds", "step"), [(60, 10), (3600, 10), (7200, 10), (7201, 30), (86_400, 120)])
def test_longer_time_has_longer_steps(seconds: int, step: int) -> None:
    assert _step(seconds) == step
    assert seconds / step <= 720.5
