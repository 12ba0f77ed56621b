"""The whole pipeline from HTTP to SQL, while each of its processes is killed in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.client import Client
from tests.faults.invariants import check, wait_until_idle
from tests.faults.ledger import Ledger
from tests.faults.stack import Stack

KILLED = ("dedupe-1", "persons-1", "sink-1", "gateway-1", "clickhouse", "kafka")


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("promise"), each=1) as stack:
        yield stack


@pytest.mark.timeout(420)
def test_killing_every_service_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    ledger = Ledger(seed=7)
    client = Client(stack.gateways, stack.token, ledger)
    client.start(rate=700)
    for service in KILLED:
        stack.kill(service)
        time.sleep(6)  # the load continues during the restart
    client.stop()
    wait_until_idle(stack)

    figures = check(stack, ledger)
    assert figures.violations == dict.fromkeys(figures.violations, 0), figures
    assert figures.items > 10_000
    assert ledger.count("track", "acknowledged") == figures.events
    assert ledger.count("identify", "acknowledged") == figures.identifies
