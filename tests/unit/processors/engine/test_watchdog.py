"""The watchdog: exits on lag without progress, on recreated logs and on other writers, and on nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import pytest
from faust.types import TP

from processors.engine.kafka_log import KafkaLog
from processors.engine.offsets import LogOffsets, OffsetReader
from processors.engine.partition_task import Progress
from processors.engine.runner import Runner
from processors.engine.watchdog import Limits, Watchdog, waiting_tasks
from schemas.settings import KafkaSettings
from tests.unit.processors.engine.stages import ITEMS, CountingStage

IDLE = Progress(processed_offset=4, assigned=True, processing=False, waiting=False)


class ScriptedRunner(Runner):
    """A runner whose progress the test sets."""

    def __init__(self) -> None:
        super().__init__([CountingStage()], OffsetReader(KafkaSettings()), raise_error)
        self.now = IDLE

    def progress(self) -> dict[TP, Progress]:
        return {ITEMS: self.now}


class SettledWorker:
    """A worker that has joined its group and recovered its tables."""

    def __init__(self) -> None:
        self.kafka_log = KafkaLog()

    def recovery_progress(self) -> object:
        return None

    async def check_topics(self) -> None: ...

    def loops(self) -> Sequence[asyncio.AbstractEventLoop]:
        return [asyncio.get_running_loop()]


def raise_error(error: BaseException) -> NoReturn:
    raise error


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def watchdog(runner: ScriptedRunner) -> Watchdog:
    return Watchdog(runner, [], SettledWorker(), Limits(60, 60), raise_error)


def test_lag_without_progress_is_a_stall(watchdog: Watchdog) -> None:
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=59)
    assert watchdog.stalled({ITEMS: LogOffsets(0, 12)}, now=60) == "items[0] at 4 of 12"


def test_progress_is_no_stall(watchdog: Watchdog, runner: ScriptedRunner) -> None:
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    runner.now = replace(IDLE, processed_offset=5)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=60)


def test_no_lag_is_no_stall(watchdog: Watchdog) -> None:
    watchdog.stalled({ITEMS: LogOffsets(0, 5)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 5)}, now=600)


def test_unknown_log_end_is_no_stall(watchdog: Watchdog) -> None:
    watchdog.stalled({}, now=0)
    assert not watchdog.stalled({}, now=600)


def test_waiting_for_a_system_that_is_down_is_no_stall(watchdog: Watchdog, runner: ScriptedRunner) -> None:
    runner.now = replace(IDLE, processing=True, waiting=True)
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=600)


def test_waiting_before_the_first_batch_is_no_stall(watchdog: Watchdog, runner: ScriptedRunner) -> None:
    runner.now = replace(IDLE, assigned=False, waiting=True)
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=0)
    assert not watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=600)
    runner.now = replace(IDLE, waiting=True)
    watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=601)
    assert watchdog.stalled({ITEMS: LogOffsets(0, 9)}, now=700)


def test_recovery_may_take_long_but_must_progress(watchdog: Watchdog) -> None:
    assert not watchdog.recovery_stalled((1, 10), now=0)
    assert not watchdog.recovery_stalled((1, 20), now=100)
    assert not watchdog.recovery_stalled((1, 20), now=159)
    assert watchdog.recovery_stalled((1, 20), now=160)
    assert not watchdog.recovery_stalled(None, now=1_000)


def test_log_that_ends_below_the_processed_offset_four_times_was_recreated(watchdog: Watchdog) -> None:
    for end in (3, 3, 3, 5, 4, 4, 4):
        assert not watchdog.truncated({ITEMS: 4}, {ITEMS: LogOffsets(0, end)})
    assert watchdog.truncated({ITEMS: 4}, {ITEMS: LogOffsets(0, 4)}) == (
        "items[0] ends at 3, but offset 4 was already processed"
    )


def test_output_log_that_continues_after_a_constant_offset_has_another_writer(watchdog: Watchdog) -> None:
    assert not watchdog.interleaved({ITEMS: 4}, {ITEMS: LogOffsets(0, 5)})
    assert not watchdog.interleaved({ITEMS: 4}, {ITEMS: LogOffsets(0, 7)})
    assert not watchdog.interleaved({ITEMS: 6}, {ITEMS: LogOffsets(0, 8)})
    assert watchdog.interleaved({ITEMS: 6}, {ITEMS: LogOffsets(0, 8)}) == (
        "items[0] ends at 7, but only 6 is applied here"
    )


async def test_waiting_tasks_of_every_loop_are_listed() -> None:
    async def wait_for_something() -> None:
        await asyncio.Event().wait()

    other = asyncio.new_event_loop()
    here = asyncio.create_task(wait_for_something())
    there = other.create_task(wait_for_something())
    await asyncio.sleep(0)
    try:
        listed = waiting_tasks([asyncio.get_running_loop(), other])
        assert listed.count("wait_for_something") == 2
    finally:
        here.cancel()
        there.cancel()
        await asyncio.to_thread(other.run_until_complete, asyncio.gather(there, return_exceptions=True))
        other.close()
