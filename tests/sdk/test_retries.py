"""A request that a library retries results in one row per item."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.faults.stack import Stack
from tests.sdk.conftest import Run
from tests.sdk.scenarios import FAULTS, RETRIED_ITEMS

pytestmark = pytest.mark.timeout(900)
STORED_BEFORE_THE_FAULT = {"dropped after", "slow"}


@pytest.mark.parametrize("sdk", ["python", "node"])
@pytest.mark.parametrize("fault", FAULTS)
def test_retried_request_is_one_row_per_item(
    pipeline: Stack, sent: dict[tuple[str, str], Run], copies: Counter[str], sdk: str, fault: str
) -> None:
    run = sent[sdk, fault.replace(" ", "-")]

    assert run.proxy.outcomes[0] == fault
    assert run.proxy.outcomes[1:] == ["200"] * len(run.proxy.outcomes[1:])
    assert run.report.failed == []
    first, *retries = [message_ids(body) for body in run.proxy.bodies]
    assert retries
    assert first <= set().union(*retries)
    # A library may repeat a request again if the machine is slow: each that reached the gateway is stored.
    reached = [first, *retries] if fault in STORED_BEFORE_THE_FAULT else retries
    expected = Counter(name for request in reached for name in request)
    assert {name: copies[name] for name in first} == {name: expected[name] for name in first}
    rows = pipeline.query(f"SELECT event, message_id FROM events WHERE user_id = '{run.user}' ORDER BY event")  # noqa: S608
    assert [row["event"] for row in rows] == [f"Retried {number}" for number in range(RETRIED_ITEMS)]
    assert {row["message_id"] for row in rows} == first.union(*retries)


def message_ids(body: bytes) -> set[str]:
    """Return the messageIds of the items in *body*."""
    return {item["messageId"] for item in json.loads(body)["batch"]}
