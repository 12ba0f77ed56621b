"""The measurements behind `sequence capacity`: events, the fit, its predictions, and the simulation."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.operate import capacity_coefficients
from deploy.operate.capacity import PARTS, Load, Topology, cores
from deploy.operate.capacity_coefficients import ROW_BYTES
from deploy.operate.capacity_plan import limits
from schemas.records import item_key, partition_for
from tests.benchmarks import capacity_report, capacity_samples, capacity_simulation
from tests.benchmarks.capacity_events import EventMaker
from tests.benchmarks.capacity_fit import least_squares
from tests.support.documents import page

SAMPLES = capacity_samples.read()
PAGE = page("docs/capacity.md")
CHECKS = capacity_report.checks(SAMPLES, beyond=False)


@pytest.mark.parametrize(("size", "names"), [(250, 4), (300, 1), (2_000, 40)])
def test_event_has_its_size_and_names(size: int, names: int) -> None:
    load = Load(100, size, names, per_request=10, identifies=0.5, duplicates=0)
    events = [event for body in EventMaker(load, "L1").bodies(5) for event in json.loads(body)["batch"]]

    assert {len(json.dumps(event, separators=(",", ":"))) for event in events} == {size}
    assert {len(event.get("properties") or event["traits"]) for event in events} == {names}
    assert {event["type"] for event in events} == {"track", "identify"}
    assert len({event["messageId"] for event in events}) == 50


def test_duplicates_set_the_share_of_repeated_events() -> None:
    load = Load(100, 250, 4, per_request=100, duplicates=0.3)
    ids = [event["messageId"] for body in EventMaker(load, "L1").bodies(20) for event in json.loads(body)["batch"]]

    assert 1_300 < len(set(ids)) < 1_500


def test_names_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match="40 names do not fit into 250 bytes"):
        EventMaker(Load(100, 250, 40), "L1")


def test_fit_finds_the_coefficients_that_made_the_values() -> None:
    rows = [{"process": 1.0, "batch": float(n), "event": float(n * n)} for n in range(6)]
    values = [2.0 + 3.0 * row["batch"] + 0.5 * row["event"] for row in rows]

    assert least_squares(rows, values, values) == pytest.approx({"process": 2.0, "batch": 3.0, "event": 0.5})


def test_fit_has_no_negative_coefficient_and_no_column_without_effect() -> None:
    rows = [{"event": float(n), "name": float(n % 3), "unused": 0.0} for n in range(1, 9)]
    values = [5.0 * row["event"] - 0.1 * row["name"] for row in rows]

    found = least_squares(rows, values, values)
    assert found["event"] == pytest.approx(5.0, rel=0.05)
    assert (found["name"], found["unused"]) == (0.0, 0.0)


def test_coefficients_are_fitted_to_the_measurements() -> None:
    source = Path(capacity_coefficients.__file__).read_text(encoding="utf-8")

    # The formatter may break lines.
    assert _squeezed(source) == _squeezed(capacity_report.module(SAMPLES))


def _squeezed(source: str) -> str:
    return "".join(source.replace(",\n", "\n").split())


@pytest.mark.parametrize("sample", CHECKS, ids=lambda sample: sample.name)
def test_totals_of_a_load_that_was_left_out_are_predicted(sample: capacity_samples.Sample) -> None:
    for what, predicted, measured in capacity_report.totals(sample):
        assert predicted == pytest.approx(measured, rel=capacity_report.WITHIN), what


def test_rows_of_loads_that_were_left_out_are_predicted() -> None:
    assert len(SAMPLES.checked_rows) >= 12
    for row in SAMPLES.checked_rows:
        predicted = ROW_BYTES[row.table].of(row.event_bytes, row.names)
        assert predicted == pytest.approx(row.bytes_per_row, rel=capacity_report.WITHIN), row


def test_prediction_of_a_wrong_coefficient_is_too_far() -> None:
    """The control: without what an event costs ClickHouse, no load is predicted."""
    costs = capacity_coefficients.CPU_MICROSECONDS
    halved = {part: {unit: 0.5 * cost for unit, cost in units.items()} for part, units in costs.items()}

    for sample in CHECKS:
        predicted = sum(cores(sample.load, sample.topology, halved).values())
        assert predicted != pytest.approx(sum(sample.cores.values()), rel=capacity_report.WITHIN), sample.name


def test_checks_are_loads_that_the_fit_does_not_have() -> None:
    known = {sample.load for run in SAMPLES.samples.values() for sample in run if not sample.is_check}

    assert len({sample.name for sample in CHECKS}) >= 3
    assert not known & {sample.load for sample in CHECKS}
    assert all(set(sample.cores) == set(PARTS) for sample in CHECKS)


def test_page_has_the_coefficients_and_the_predictions() -> None:
    checks = (capacity_report.checks(SAMPLES, beyond=beyond) for beyond in (False, True))
    tables = [
        capacity_report.coefficients(),
        capacity_report.sizes(),
        capacity_report.checked_rows(SAMPLES),
        *(table for found in checks for table in capacity_report.comparison(found).split("\n\n")),
    ]

    assert [table for table in tables if table not in PAGE.text] == []


def test_page_shows_what_the_command_prints() -> None:
    [shown] = [block for block in PAGE.blocks("console") if block.startswith("$ sequence capacity")]
    command, _, output = shown.partition("\n")
    words = command.removeprefix("$ sequence ").split()

    assert CliRunner().invoke(main, words).output == output


def test_page_has_what_the_simulation_prints() -> None:
    printed = CliRunner().invoke(capacity_simulation.main).output

    assert [line for line in printed.splitlines() if line.startswith("|") and line not in PAGE.text] == []


LOAD = Load(1_000_000, 500, 10)


def test_random_message_ids_are_spread_evenly() -> None:
    spread = capacity_simulation.spread(capacity_simulation.message_keys(100_000, 0, Random(1)), 100)

    assert sum(spread) == 100_000
    assert 850 < min(spread) <= max(spread) < 1_150


def test_one_message_id_is_in_one_partition() -> None:
    spread = capacity_simulation.spread(capacity_simulation.message_keys(20_000, 0.5, Random(1)), 100)

    assert spread.index(max(spread)) == partition_for(item_key(capacity_simulation.PROJECT, "hot"), 100)
    assert max(spread) > 9_500


def test_one_user_is_in_one_partition() -> None:
    spread = capacity_simulation.spread(capacity_simulation.hot_user_keys(1_000, 1.0, Random(1)), 100)

    assert sorted(spread)[-2:] == [0, 1_000]


def test_worker_lags_by_what_it_cannot_process() -> None:
    topology = capacity_simulation.sized(LOAD, 100, 0.6)
    even = [10_000] * 100
    calm = capacity_simulation.process("dedupe", even, LOAD, topology)
    hot = capacity_simulation.process("dedupe", [900_000, *even[1:]], LOAD, topology)

    assert (calm.lag, calm.most_busy < 1) == (0, True)
    assert hot.most_busy > 1
    assert hot.lag > 0
    assert hot.lag < 900_000 * capacity_simulation.SECONDS


@pytest.mark.parametrize("part", ["dedupe", "persons"])
def test_tolerated_share_of_one_key_is_that_of_the_limits(part: str) -> None:
    """A worker that has the partition alone: the limits of the plan and the simulation agree."""
    topology = Topology(100, dedupe=100, persons=100)
    share = capacity_simulation.tolerated_share(LOAD, topology, part)
    number = LOAD.events_per_second if part == "dedupe" else LOAD.unique_identifies
    limit = limits(LOAD).partition_items if part == "dedupe" else limits(LOAD).user_identifies

    assert share * number + (1 - share) * number / 100 == pytest.approx(min(limit, number), rel=0.2)
