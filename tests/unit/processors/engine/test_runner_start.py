"""Where the runner starts partitions: nothing is fetched before that is decided."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from processors.engine import runner as runner_module
from processors.engine.errors import RecreatedTopicError, TruncatedLogError
from processors.engine.offsets import LogOffsets
from processors.engine.runner import Runner
from processors.engine.stage import AssignedOffsets, InputOffsets
from tests.support.services import eventually
from tests.unit.processors.engine.stages import ITEMS, CountingStage
from tests.unit.processors.engine.test_runner import IdleConsumer, raise_error


class Logs:
    """A log from 0 to 100."""

    async def read(self, partitions: Iterable[TP]) -> dict[TP, LogOffsets]:
        return dict.fromkeys(partitions, LogOffsets(0, 100))


class DecidingStage(CountingStage):
    """A stage that decides where to start once the test lets it."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start_offset = start
        self.inputs: Mapping[int, InputOffsets] = {}
        self.may_decide = asyncio.Event()

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        self.inputs = inputs
        await self.may_decide.wait()
        return AssignedOffsets(start_offsets=dict.fromkeys(inputs, self.start_offset))

    def commit_metadata(self, partition: int) -> str:
        return f"noted {partition}"


class CommittedConsumer(IdleConsumer):
    """A consumer whose group has committed offset 50."""

    is_rebalancing = False

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, tuple[int, str]]:
        return dict.fromkeys(partitions, (50, "noted 0"))

    async def start_at(self, offsets: dict[TP, int]) -> None:
        if self.is_rebalancing:
            raise IllegalStateError("a rebalance has begun")
        await super().start_at(offsets)


async def assigned(stage: DecidingStage, consumer: CommittedConsumer) -> Runner:
    runner = Runner([stage], Logs(), raise_error, "sink")  # type: ignore[arg-type]
    await runner.start(consumer)
    runner.assign([ITEMS])
    await asyncio.to_thread(eventually, lambda: bool(stage.inputs), "the stage is asked", within_seconds=10)
    return runner


async def test_partition_is_held_until_the_stage_has_decided() -> None:
    stage, consumer = DecidingStage(20), CommittedConsumer()
    runner = await assigned(stage, consumer)
    assert stage.inputs == {0: InputOffsets(0, 100, 50, "noted 0")}
    assert consumer.held == {ITEMS}

    stage.may_decide.set()
    await asyncio.to_thread(eventually, lambda: not consumer.held, "the partition is released", within_seconds=10)
    assert consumer.sought == {ITEMS: 20}
    assert runner.progress()[ITEMS].processed_offset == 19
    await runner.stop()


async def test_start_at_the_committed_offset_needs_no_seek() -> None:
    stage, consumer = DecidingStage(50), CommittedConsumer()
    stage.may_decide.set()
    runner = await assigned(stage, consumer)
    await asyncio.to_thread(eventually, lambda: not consumer.held, "the partition is released", within_seconds=10)
    assert consumer.sought == {}
    await runner.stop()


async def test_partition_whose_seek_a_rebalance_overtakes_stays_held() -> None:
    stage, consumer = DecidingStage(20), CommittedConsumer()
    consumer.is_rebalancing = True
    stage.may_decide.set()
    runner = await assigned(stage, consumer)
    await asyncio.gather(*runner._assigning)
    assert consumer.held == {ITEMS}
    assert not runner.progress()[ITEMS].assigned
    await runner.revoke()


async def test_commit_metadata_is_that_of_the_topic_of_the_stage() -> None:
    runner = Runner([DecidingStage(0)], Logs(), raise_error)  # type: ignore[arg-type]
    assert [runner.commit_metadata(TP(topic, 2)) for topic in ("items", "changelog")] == ["noted 2", ""]


class StaleLogs(Logs):
    """A log of which a broker that is cut off answers, until the clients hear of the new leader."""

    def __init__(self, stale_times: float) -> None:
        self.stale_times = stale_times
        self.renewed = 0

    async def read(self, partitions: Iterable[TP]) -> dict[TP, LogOffsets]:
        end = 40 if self.renewed < self.stale_times else 100
        return dict.fromkeys(partitions, LogOffsets(0, end))

    async def renew(self) -> None:
        self.renewed += 1


async def test_end_below_the_committed_offset_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "STALE_SECONDS", 0.2)
    stage, consumer, logs = DecidingStage(50), CommittedConsumer(), StaleLogs(3)
    stage.may_decide.set()
    runner = Runner([stage], logs, raise_error, "sink")  # type: ignore[arg-type]
    await runner.start(consumer)
    runner.assign([ITEMS])

    await asyncio.gather(*runner._assigning)

    assert (logs.renewed, stage.inputs[0].log_end, consumer.held) == (3, 100, set())
    await runner.stop()


async def test_end_that_stays_below_the_committed_offset_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "STALE_SECONDS", 0.05)
    runner = Runner([DecidingStage(50)], StaleLogs(math.inf), raise_error, "sink")  # type: ignore[arg-type]
    await runner.start(CommittedConsumer())
    runner.assign([ITEMS])

    with pytest.raises(TruncatedLogError, match="ends at 39, but the consumer group committed offset 50"):
        await asyncio.gather(*runner._assigning)
    await runner.revoke()


class RecreatedStage(DecidingStage):
    """A stage whose topic has another id than the one that it knows."""

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        raise RecreatedTopicError(f"another id of {len(inputs)} partitions")


async def test_topic_with_another_id_is_refused_at_once() -> None:
    logs = StaleLogs(0)
    runner = Runner([RecreatedStage(50)], logs, raise_error, "sink")  # type: ignore[arg-type]
    await runner.start(CommittedConsumer())
    runner.assign([ITEMS])

    with pytest.raises(RecreatedTopicError):
        await asyncio.gather(*runner._assigning)
    assert logs.renewed == 0
    await runner.revoke()
