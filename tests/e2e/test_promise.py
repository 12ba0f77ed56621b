"""The whole pipeline from HTTP to SQL, on real parts, while each of them is killed in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.client import Client
from tests.faults.controls import CONTROLS
from tests.faults.execution import run_scenario
from tests.faults.invariants import check, wait_until_idle
from tests.faults.ledger import Ledger
from tests.faults.stack import Stack

KILLED = ("dedupe-1", "persons-1", "sink-1", "gateway-1", "clickhouse", "kafka")


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("promise"), each=1) as stack:
        yield stack


@pytest.mark.timeout(420)
def test_every_part_killed_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    ledger = Ledger(seed=7)
    client = Client(stack.gateways, stack.token, ledger)
    client.start(rate=700)
    for part in KILLED:
        stack.kill(part)
        time.sleep(6)  # the load goes on while the part comes back
    client.stop()
    wait_until_idle(stack)

    figures = check(stack, ledger)
    assert figures.faults == dict.fromkeys(figures.faults, 0), figures
    assert figures.items > 10_000
    assert ledger.count("track", "acknowledged") == figures.events
    assert ledger.count("identify", "acknowledged") == figures.identifies


@pytest.mark.timeout(300)
def test_the_same_checks_turn_red_when_the_sink_does_not_ask_for_its_position(tmp_path: Path) -> None:
    control = next(control for control in CONTROLS if control.name == "without-sink-position")

    result = run_scenario(replace(control, repetitions=4), tmp_path)

    assert result.faults["doubled"] > 0
    assert result.faults["lost"] == 0
