"""Each library, unmodified: every item is a row or rejected with its code, whatever form its requests have."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.invariants import wait_until_idle
from tests.faults.stack import Stack
from tests.sdk.libraries import Library, Machine, libraries
from tests.sdk.matrix import Outcome, outcomes
from tests.sdk.runs import run_all
from tests.sdk.scenarios import PROPERTIES

pytestmark = pytest.mark.timeout(900)
LIBRARIES = libraries()
EACH = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.key)
RETRYING = pytest.mark.parametrize(
    "library", [library for library in LIBRARIES if library.faults], ids=lambda library: library.key
)


@pytest.fixture
def outcome(library: Library, machine: Machine, arrived: dict[str, Outcome]) -> Outcome:
    """What became of the items of *library*. On a machine without its tools the test is skipped, except in CI."""
    if library.needs in machine.missing:
        assert "CI" not in os.environ, machine.missing[library.needs]
        pytest.skip(machine.missing[library.needs])
    return arrived[library.key]


@EACH
def test_every_item_is_one_row_or_rejected_with_its_code(outcome: Outcome, library: Library) -> None:
    expected = library.expected

    assert len(outcome.run.ids) == expected.sent
    assert len(outcome.rows) == len({row["message_id"] for row in outcome.rows}) == expected.rows
    assert outcome.codes == expected.rejected
    assert outcome.lost == 0


@EACH
def test_identified_users_are_persons_with_their_traits(outcome: Outcome, library: Library) -> None:
    assert len(outcome.persons) == library.expected.persons
    assert outcome.persons[outcome.run.user] == library.expected.traits


@EACH
def test_library_reports_no_failure_to_its_caller(outcome: Outcome) -> None:
    assert outcome.run.report.failed == outcome.run.report.not_sent == []


@RETRYING
def test_library_repeats_a_failed_request_and_flushes_at_its_end(outcome: Outcome, library: Library) -> None:
    proxy, faults = outcome.run.proxy, [fault for fault in library.faults if fault is not None]

    assert [outcome for outcome in proxy.outcomes if outcome in faults] == faults
    assert proxy.retries > 0
    assert {"Left"} <= events(outcome)


@EACH
def test_properties_are_stored_as_the_library_sends_them(outcome: Outcome, library: Library) -> None:
    ordered: list[Any] = [row["properties"] for row in outcome.rows if row["event"] == "Ordered"]

    assert len(ordered) == 1
    if library.needs:
        assert ordered == [PROPERTIES]


def test_control_swallowed_batch_counts_as_lost(pipeline: Stack, machine: Machine) -> None:
    (requests,) = [library for library in LIBRARIES if library.name == "requests"]
    library = replace(requests, name="control", faults=("swallowed",))

    runs = run_all([library], machine, gateway=pipeline.gateways[0], token=pipeline.token)
    wait_until_idle(pipeline)
    (outcome,) = outcomes(pipeline, runs)

    assert runs[0].report.failed == []
    assert (outcome.lost, outcome.rows, outcome.persons) == (library.expected.sent, (), {})


def events(outcome: Outcome) -> set[str]:
    """Return the names of the stored events."""
    return {str(row["event"]) for row in outcome.rows}
