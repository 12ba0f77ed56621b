"""The ages of many rows at once are those of each row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.sink.row_ages import row_ages
from schemas.times import DAY, SECOND, format_time

NOW = 1_800_000_000 * SECOND
BOUNDS = (0.1, 1.0, 60.0, 7200.0)


def of_each(ages: list[int]) -> tuple[list[int], float]:
    """Return what `row_ages` must return for rows of *ages* in microseconds."""
    counts = [sum(age <= bound * SECOND for age in ages) for bound in BOUNDS]
    return [*counts, len(ages)], sum(ages) / SECOND


@given(
    st.lists(st.integers(-5 * SECOND, 120 * SECOND), max_size=50)
    | st.lists(st.integers(-2 * DAY, 60 * DAY), max_size=50)
    | st.lists(st.sampled_from([100_000, 100_001, SECOND, SECOND + 1, 60 * SECOND]), max_size=50)
)
def test_counts_and_sum_are_those_of_each_row(ages: list[int]) -> None:
    counts, seconds = of_each(ages)

    found = row_ages([format_time(NOW - age) for age in ages], NOW, BOUNDS)

    assert found.counts == counts
    assert seconds - 1e-6 <= found.seconds <= seconds + len(ages) / 1000


VALID = st.integers(0, 5 * SECOND).map(lambda age: format_time(NOW - age))
OTHER = st.text(max_size=30) | st.sampled_from(
    [
        "2027-01-15T07:59:59.12345٣Z",
        "2027-01-15T07:59:59,123456Z",
        "2027-01-15T07:59:5.1234567Z",
        "2027-02-30T00:00:00.000000Z",
    ]
)


@given(st.lists(VALID, max_size=20), st.lists(OTHER, max_size=3))
def test_text_of_another_form_is_not_counted(valid: list[str], others: list[str]) -> None:
    assert row_ages([*valid, *others], NOW, BOUNDS) == row_ages(valid, NOW, BOUNDS)
    assert row_ages(valid, NOW, BOUNDS).counts[-1] == len(valid)
