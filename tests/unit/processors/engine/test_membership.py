"""Which heartbeats count: those that the group accepts while it is not rebalancing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator

from processors.engine.aiokafka_patches import observe_heartbeats, send_heartbeat
from processors.engine.membership import GroupMembership


class Coordinator(GroupCoordinator):  # type: ignore[misc]  # aiokafka publishes no types
    """aiokafka's coordinator, with a broker that answers each heartbeat with `answer`."""

    def __init__(self, answer: type[errors.KafkaError]) -> None:  # no call of the base: it would connect
        self.answer = answer
        self.sent = 0
        self.group_id, self.generation, self.member_id, self.coordinator_id = "group", 1, "member", 0
        self._rejoin_needed_fut = asyncio.get_running_loop().create_future()
        self._coordinator_dead_fut = asyncio.get_running_loop().create_future()
        self._heartbeat_task: Any = None

    async def _send_req(self, request: object) -> object:
        del request
        self.sent += 1
        return SimpleNamespace(error_code=self.answer.errno)


def observed(coordinator: Coordinator) -> list[int]:
    """Return a list that gets the number of each heartbeat that counts, as noted before it was sent."""
    counted: list[int] = []
    membership = GroupMembership(10.0, lambda: None)
    membership.observe(lambda: coordinator.sent, counted.append)
    observe_heartbeats(SimpleNamespace(_coordinator=coordinator), membership.sent)
    return counted


async def test_accepted_heartbeat_counts_from_before_it_was_sent() -> None:
    coordinator = Coordinator(errors.NoError)
    counted = observed(coordinator)

    assert await coordinator._do_heartbeat()
    assert await coordinator._do_heartbeat()
    assert counted == [0, 1]


async def test_heartbeat_during_a_rebalance_does_not_count() -> None:
    # aiokafka calls it a success.
    coordinator = Coordinator(errors.RebalanceInProgressError)
    counted = observed(coordinator)

    assert await coordinator._do_heartbeat()
    assert counted == []


@pytest.mark.parametrize(
    "answer", [errors.NotCoordinatorForGroupError, errors.IllegalGenerationError, errors.UnknownMemberIdError]
)
async def test_heartbeat_that_is_not_accepted_does_not_count(answer: type[errors.KafkaError]) -> None:
    coordinator = Coordinator(answer)
    coordinator._subscription = SimpleNamespace(subscription=None)
    counted = observed(coordinator)

    assert not await coordinator._do_heartbeat()
    assert counted == []


async def test_requested_heartbeat_is_sent_by_a_member_alone() -> None:
    coordinator = Coordinator(errors.NoError)
    consumer = SimpleNamespace(_coordinator=coordinator)
    counted = observed(coordinator)

    await send_heartbeat(consumer)
    assert counted == []
    coordinator._heartbeat_task = asyncio.get_running_loop().create_future()
    await send_heartbeat(consumer)
    assert counted == [0]
    coordinator.request_rejoin()
    await send_heartbeat(consumer)
    assert coordinator.sent == 1


async def test_requested_heartbeat_raises_no_error_of_kafka() -> None:
    coordinator = Coordinator(errors.GroupAuthorizationFailedError)
    coordinator._heartbeat_task = asyncio.get_running_loop().create_future()

    await send_heartbeat(SimpleNamespace(_coordinator=coordinator))
    assert coordinator.sent == 1
