"""One timer expires every ticket, each at its own time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import PublishTimeoutError
from gateway.kafka.accumulator import DeliveryTimeouts, PendingDelivery

SECONDS = 0.05


def ticket() -> PendingDelivery:
    return PendingDelivery(asyncio.get_running_loop().create_future())


async def test_each_ticket_expires_at_its_own_time_whatever_became_of_older_ones() -> None:
    loop, deadlines = asyncio.get_running_loop(), DeliveryTimeouts(SECONDS)
    settled, left = ticket(), list[tuple[float, PendingDelivery]]()
    deadlines.add(settled)
    settled.future.set_result(None)
    for _ in range(3):
        await asyncio.sleep(SECONDS / 4)
        left.append((loop.time(), ticket()))
        deadlines.add(left[-1][1])

    for added, one in left:
        with pytest.raises(PublishTimeoutError):
            await asyncio.wait_for(one.future, 10)
        assert loop.time() - added > SECONDS - 0.002
    assert settled.future.result() is None


async def test_tickets_are_still_expired_after_a_time_without_any() -> None:
    deadlines = DeliveryTimeouts(SECONDS)
    for _ in range(2):
        late = ticket()
        deadlines.add(late)
        with pytest.raises(PublishTimeoutError):
            await asyncio.wait_for(late.future, 10)
