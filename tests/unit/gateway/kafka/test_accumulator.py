"""The record accumulator: deliveries over several batches, and one timer that expires them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import PublishError, PublishTimeoutError
from gateway.kafka.accumulator import DeliveryTimeouts, PendingDelivery

SECONDS = 0.05


def pending() -> PendingDelivery:
    return PendingDelivery(asyncio.get_running_loop().create_future())


async def test_each_delivery_expires_at_its_own_time_after_an_older_one_completed() -> None:
    loop, timeouts = asyncio.get_running_loop(), DeliveryTimeouts(SECONDS)
    completed, left = pending(), list[tuple[float, PendingDelivery]]()
    timeouts.add(completed)
    completed.future.set_result(None)
    for _ in range(3):
        await asyncio.sleep(SECONDS / 4)
        left.append((loop.time(), pending()))
        timeouts.add(left[-1][1])

    for added, delivery in left:
        with pytest.raises(PublishTimeoutError):
            await asyncio.wait_for(delivery.future, 10)
        assert loop.time() - added > SECONDS - 0.002
    assert completed.future.result() is None


async def test_deliveries_expire_after_an_idle_period() -> None:
    timeouts = DeliveryTimeouts(SECONDS)
    for _ in range(2):
        late = pending()
        timeouts.add(late)
        with pytest.raises(PublishTimeoutError):
            await asyncio.wait_for(late.future, 10)


@pytest.mark.parametrize("failed", [False, True])
async def test_delivery_completes_with_its_last_batch_and_fails_if_any_failed(*, failed: bool) -> None:
    delivery = pending()
    delivery.batch_added()
    delivery.batch_added()

    delivery.batch_done(failed=failed)
    assert not delivery.future.done()
    delivery.batch_done(failed=False)

    assert isinstance(delivery.future.exception(), PublishError) is failed
