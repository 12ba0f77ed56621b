"""The record accumulator: batches of a partition, deliveries over several batches, and their timeouts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from gateway.admission import MemoryBudget
from gateway.errors import PublishError, PublishTimeoutError
from gateway.kafka.accumulator import DeliveryTimeouts, PartitionBatches, PendingDelivery
from gateway.kafka.linger import Linger

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


class Broker:
    """Delivers batches when the test says so."""

    def __init__(self) -> None:
        self.received: list[int] = []
        """The number of records in each batch received."""
        self._answers: asyncio.Queue[bool] = asyncio.Queue()

    def answer(self, *, acknowledged: bool) -> None:
        self._answers.put_nowait(acknowledged)

    async def deliver(self, batch: BatchBuilder, topic: str, partition: int) -> None:
        assert (topic, partition) == ("items", 3)
        self.received.append(batch.record_count())
        if not await self._answers.get():
            raise PublishError


@dataclass
class Accumulator:
    """The batches of one partition, with its collaborators."""

    batches: PartitionBatches
    broker: Broker
    budget: MemoryBudget

    def add(self, count: int) -> asyncio.Future[None]:
        delivery = pending()
        self.batches.add([(b"k-%d" % number, b"v" * 100) for number in range(count)], delivery, 0)
        return delivery.future


@pytest.fixture
async def accumulator() -> AsyncIterator[Accumulator]:
    broker, budget = Broker(), MemoryBudget(2**20)
    batches = PartitionBatches(
        "items",
        3,
        deliver=broker.deliver,
        create_batch=lambda: BatchBuilder(1000, 0),
        budget=budget,
        linger=Linger(seconds=0),
    )
    yield Accumulator(batches, broker, budget)
    await batches.close()


async def received(broker: Broker, count: int) -> None:
    async with asyncio.timeout(10):
        while len(broker.received) < count:  # noqa: ASYNC110  # it waits for another task of the loop
            await asyncio.sleep(0)


async def test_requests_share_the_batch_that_waits_for_the_one_in_flight(accumulator: Accumulator) -> None:
    first = accumulator.add(1)
    await received(accumulator.broker, 1)
    others = [accumulator.add(2), accumulator.add(3)]
    await asyncio.sleep(0)
    assert accumulator.broker.received == [1]

    accumulator.broker.answer(acknowledged=True)
    await first
    await received(accumulator.broker, 2)
    accumulator.broker.answer(acknowledged=True)
    await asyncio.gather(*others)

    assert accumulator.broker.received == [1, 5]
    assert accumulator.budget.reserved_bytes == 0


async def test_request_larger_than_a_batch_fails_if_one_of_its_batches_fails(accumulator: Accumulator) -> None:
    request = accumulator.add(20)
    reserved = accumulator.budget.reserved_bytes
    assert reserved > 2000

    for number, acknowledged in enumerate([True, False, True], 1):
        await received(accumulator.broker, number)
        accumulator.broker.answer(acknowledged=acknowledged)

    with pytest.raises(PublishError):
        await asyncio.wait_for(request, 10)
    assert sum(accumulator.broker.received) == 20
    assert accumulator.budget.reserved_bytes == 0


async def test_partition_is_stalled_while_its_batch_in_flight_is_not_acknowledged(accumulator: Accumulator) -> None:
    assert not accumulator.batches.is_stalled(0.05)
    request = accumulator.add(1)
    await asyncio.sleep(0.06)
    assert accumulator.batches.is_stalled(0.05)
    assert not accumulator.batches.is_stalled(60)

    accumulator.broker.answer(acknowledged=True)
    await request

    assert not accumulator.batches.is_stalled(0.05)


async def test_close_fails_the_requests_of_every_batch_that_is_left(accumulator: Accumulator) -> None:
    requests = [accumulator.add(1)]
    await received(accumulator.broker, 1)
    requests.append(accumulator.add(1))

    await accumulator.batches.close()

    assert [type(request.exception()) for request in requests] == [PublishError, PublishError]
    assert accumulator.budget.reserved_bytes == 0
    assert accumulator.batches.is_stalled(60), "a closed partition accepts nothing"
