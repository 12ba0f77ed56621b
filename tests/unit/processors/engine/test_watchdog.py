"""The watchdog: ends what stands still with work to do, and nothing else."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from processors.engine.offsets import LogOffsets, OffsetReader
from processors.engine.runner import BatchLinger, PartitionTask, Runner
from processors.engine.watchdog import Limits, Watchdog
from schemas.settings import KafkaSettings
from tests.unit.processors.engine.test_runner import ITEMS, CountingStage


def end(error: BaseException) -> NoReturn:
    raise error


@pytest.fixture
def stage() -> CountingStage:
    return CountingStage()


@pytest.fixture
async def lane(stage: CountingStage) -> PartitionTask:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return PartitionTask(stage, ITEMS, BatchLinger(0.0), ready, processed_offset=4)


@pytest.fixture
async def watchdog(lane: PartitionTask) -> Watchdog:
    runner = Runner([lane.stage], OffsetReader(KafkaSettings()), end)
    runner.lanes[ITEMS] = lane
    return Watchdog(runner, [], lambda: None, Limits(60, 60), end)


async def test_lag_without_progress_is_a_stall(watchdog: Watchdog) -> None:
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=59)
    assert watchdog.stalled({ITEMS: LogOffsets(0, 12)}, now=60) == "items[0] at 4 of 12"


async def test_progress_is_no_stall(watchdog: Watchdog, lane: PartitionTask) -> None:
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    lane.processed_offset = 5
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=60)


async def test_no_lag_is_no_stall(watchdog: Watchdog) -> None:
    watchdog.stalled({ITEMS: LogOffsets(0, 5)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 5)}, now=600)


async def test_waiting_for_a_system_that_is_down_is_no_stall(
    watchdog: Watchdog, lane: PartitionTask, stage: CountingStage
) -> None:
    lane.working_since = 0.0
    stage.waiting = True
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=600)


async def test_settling_may_take_long_but_must_come_forward(watchdog: Watchdog) -> None:
    assert not watchdog.settles_too_long((1, 10), now=0)
    assert not watchdog.settles_too_long((1, 20), now=100)
    assert not watchdog.settles_too_long((1, 20), now=159)
    assert watchdog.settles_too_long((1, 20), now=160)
    assert not watchdog.settles_too_long(None, now=1_000)


async def test_a_log_that_ends_below_what_is_decided_twice_in_a_row_was_made_anew(watchdog: Watchdog) -> None:
    assert not watchdog.truncated({ITEMS: 4}, {ITEMS: LogOffsets(0, 3)})
    assert not watchdog.truncated({ITEMS: 4}, {ITEMS: LogOffsets(0, 5)})
    assert not watchdog.truncated({ITEMS: 4}, {ITEMS: LogOffsets(0, 4)})
    assert watchdog.truncated({ITEMS: 4}, {ITEMS: LogOffsets(0, 4)}) == "items[0] ends at 3 below 4"


async def test_an_output_log_that_goes_on_after_a_position_that_stays_has_another_writer(watchdog: Watchdog) -> None:
    assert not watchdog.interleaved({ITEMS: 4}, {ITEMS: LogOffsets(0, 5)})
    assert not watchdog.interleaved({ITEMS: 4}, {ITEMS: LogOffsets(0, 7)})
    assert not watchdog.interleaved({ITEMS: 6}, {ITEMS: LogOffsets(0, 8)})
    assert watchdog.interleaved({ITEMS: 6}, {ITEMS: LogOffsets(0, 8)}) == "items[0] ends at 7 after 6"


async def test_waiting_outside_before_the_first_slice_is_no_stall(
    watchdog: Watchdog, lane: PartitionTask, stage: CountingStage
) -> None:
    stage.waiting = True
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=600)
    lane.ready.set_result(None)
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=601)
    assert watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=700)
