"""A good sender beside attackers is answered, every time."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from schemas.settings import KafkaSettings
from tests.hostile.neighbours import Neighbours, customers, send_for, strangers
from tests.hostile.target import Target, running_gateway

pytestmark = pytest.mark.hostile

SECONDS = 10.0


@pytest.fixture(scope="module")
def target(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"neighbours-{secrets.token_hex(4)}")
    with running_gateway(settings, tmp_path_factory.mktemp("neighbours")) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "neighbours", "status"), [("strangers", strangers, 401), ("customers", customers, 400)]
)
async def test_good_sender_beside_attackers_is_always_answered_with_200(
    target: Target, name: str, neighbours: Neighbours, status: int
) -> None:
    await send_for(target, 2.0)
    before = await send_for(target, SECONDS)
    async with AsyncExitStack() as stack:
        replies = await neighbours(target, stack)
        during = await send_for(target, SECONDS)

    sys.stdout.write(
        f"\n{name}: p99 before {before.p99_ms:.1f} ms, during {during.p99_ms:.1f} ms; "
        f"good {dict(during.statuses)}, attackers {dict(replies)}\n"
    )
    assert set(before.statuses) == set(during.statuses) == {200}
    assert replies[status] > 0
