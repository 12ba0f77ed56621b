"""Which heartbeats count: those that the group accepts while it is not rebalancing, and then commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition, errors
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.commit import OffsetCommitRequest

from processors.engine.aiokafka_patches import is_committed_by, observe_heartbeats, send_heartbeat
from processors.engine.commit_proofs import CommitProofs
from processors.engine.membership import GroupMembership

OWN = TopicPartition("events", 3)


class Coordinator(GroupCoordinator):  # type: ignore[misc]  # aiokafka publishes no types
    """aiokafka's coordinator, with a broker that answers heartbeats with `answer` and commits with `commit`."""

    def __init__(self, answer: type[errors.KafkaError]) -> None:  # no call of the base: it would connect
        self.answer = answer
        self.commit: type[errors.KafkaError] = errors.NoError
        self.sent = 0
        self.committed: list[Any] = []
        self.group_id, self.generation, self.member_id, self.coordinator_id = "group", 1, "member", 0
        self._rejoin_needed_fut = asyncio.get_running_loop().create_future()
        self._coordinator_dead_fut = asyncio.get_running_loop().create_future()
        self._heartbeat_task: Any = None

    async def _send_req(self, request: object) -> object:
        if isinstance(request, OffsetCommitRequest):
            [(topic, [(partition, offset, metadata)])] = request._topics
            self.committed.append((topic, partition, offset, metadata))
            return SimpleNamespace(topics=[(topic, [(partition, self.commit.errno)])])
        self.sent += 1
        return SimpleNamespace(error_code=self.answer.errno)


def observed(coordinator: Coordinator) -> list[int]:
    """Return a list that gets the number of each heartbeat that counts, as noted before it was sent."""
    counted: list[int] = []
    membership = GroupMembership(10.0, lambda: None)
    membership.observe(lambda: coordinator.sent, counted.append)
    observe_heartbeats(SimpleNamespace(_coordinator=coordinator), lambda: _then(membership.sent()))
    return counted


def _then(acknowledged: Callable[[], None]) -> Callable[[object], None]:
    return lambda _: acknowledged()


def proven(coordinator: Coordinator, proofs: CommitProofs, assigned: set[TopicPartition]) -> list[int]:
    """Return a list that gets the number of each heartbeat that the coordinator has accepted and then committed."""
    counted: list[int] = []
    consumer = SimpleNamespace(_coordinator=coordinator, assignment=lambda: assigned)

    def sent() -> Callable[[object], None]:
        number = coordinator.sent
        return lambda node: proofs.begin(consumer, node, lambda: counted.append(number))

    observe_heartbeats(consumer, sent)
    return counted


async def beat(coordinator: Coordinator) -> None:
    """Send a heartbeat, and wait for what follows it."""
    assert await coordinator._do_heartbeat()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


async def test_heartbeat_counts_once_its_coordinator_has_committed_the_same_offset_again() -> None:
    coordinator, proofs = Coordinator(errors.NoError), CommitProofs(lambda tp: f"of {tp.partition}")
    counted = proven(coordinator, proofs, {OWN})
    proofs.note({OWN: 7})

    await beat(coordinator)

    assert counted == [0]
    assert coordinator.committed == [("events", 3, 7, "of 3")]


@pytest.mark.parametrize("answer", [errors.RequestTimedOutError, errors.GroupCoordinatorNotAvailableError])
async def test_heartbeat_accepted_by_a_coordinator_that_is_cut_off_does_not_count(
    answer: type[errors.KafkaError],
) -> None:
    coordinator, proofs = Coordinator(errors.NoError), CommitProofs(lambda _: "")
    counted = proven(coordinator, proofs, {OWN})
    proofs.note({OWN: 7})
    coordinator.commit = answer

    await beat(coordinator)

    assert counted == []
    # The next request looks for the real one.
    assert coordinator.coordinator_id is None


async def test_heartbeat_alone_would_count_at_a_coordinator_that_is_cut_off() -> None:
    coordinator = Coordinator(errors.NoError)
    counted = observed(coordinator)
    coordinator.commit = errors.RequestTimedOutError

    await beat(coordinator)

    assert counted == [0]


async def test_commit_to_another_coordinator_than_the_heartbeat_does_not_count() -> None:
    coordinator = Coordinator(errors.NoError)
    consumer = SimpleNamespace(_coordinator=coordinator)

    assert not await is_committed_by(consumer, "another node", {OWN: (7, "")})
    assert await is_committed_by(consumer, coordinator.coordinator_id, {OWN: (7, "")})


@pytest.mark.parametrize("assigned", [set(), {TopicPartition("events", 4)}])
async def test_offset_of_a_partition_that_is_not_assigned_is_not_committed(assigned: set[TopicPartition]) -> None:
    coordinator, proofs = Coordinator(errors.NoError), CommitProofs(lambda _: "")
    counted = proven(coordinator, proofs, assigned)
    proofs.note({OWN: 7})

    await beat(coordinator)

    assert (counted, coordinator.committed) == ([], [])


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
