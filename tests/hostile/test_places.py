"""The stack works wherever it is started, or refuses before it touches anything: three events, two starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.places import IN_MAKE_TEST, PLACES
from tests.support.places import Place, visit


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, id=place.name, marks=() if place in IN_MAKE_TEST else pytest.mark.hostile)
        for place in PLACES
    ],
)
def test_events_arrive_and_stay_wherever_the_stack_is_started(place: Place, tmp_path: Path) -> None:
    outcome = visit(place, tmp_path)

    assert outcome.fits(place), outcome
