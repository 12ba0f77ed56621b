"""The whole pipeline from HTTP to SQL, while each of its processes is killed in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.client import Client
from tests.faults.invariants import check, wait_until_idle
from tests.faults.ledger import Ledger
from tests.faults.stack import Stack
from tests.support.services import eventually

KILLED = ("dedupe-1", "persons-1", "sink-1", "gateway-1", "clickhouse", "kafka")
ITEMS_PER_KILL = 4_000


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
        kills, sent = stack.kills(), ledger.sent
        stack.kill(service)
        eventually(
            lambda: stack.kills() > kills and ledger.sent > sent + ITEMS_PER_KILL,  # noqa: B023  # called before the next iteration
            f"{service} is restarted and the gateway accepts items",
            within_seconds=90,
        )
    client.stop()
    wait_until_idle(stack)

    figures = check(stack, ledger)
    assert figures.violations == dict.fromkeys(figures.violations, 0), figures
    assert figures.items > 10_000
    assert ledger.count("track", "acknowledged") == figures.events
    assert ledger.count("identify", "acknowledged") == figures.identifies
