"""What a library sends again, for whatever reason, is one row."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.faults.stack import Stack
from tests.sdk.conftest import Sent
from tests.sdk.orders import FAULTS, RESENT

pytestmark = pytest.mark.timeout(420)
STORED_BEFORE_IT_FAILED = {"dropped after", "slow"}


@pytest.mark.parametrize("sdk", ["python", "node"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_sent_again_is_one_row(
    pipeline: Stack, sent: dict[tuple[str, str], Sent], copies: Counter[str], sdk: str, fault: str
) -> None:
    done = sent[sdk, fault.replace(" ", "-")]

    assert done.front.seen[0] == fault
    assert done.front.seen[1:] == ["200"] * len(done.front.seen[1:])
    assert done.told.failed == []
    first, *again = [message_ids(body) for body in done.front.bodies]
    assert again
    assert first <= set().union(*again)
    assert {copies[name] for name in first} == {2 if fault in STORED_BEFORE_IT_FAILED else 1}
    rows = pipeline.query(f"SELECT event, message_id FROM events WHERE user_id = '{done.user}' ORDER BY event")  # noqa: S608
    assert [row["event"] for row in rows] == [f"Resent {number}" for number in range(RESENT)]
    assert {row["message_id"] for row in rows} == first.union(*again)


def message_ids(body: bytes) -> set[str]:
    """Return the messageIds of the items in *body*."""
    return {item["messageId"] for item in json.loads(body)["batch"]}
