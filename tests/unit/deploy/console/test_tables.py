"""How many queries run at a time, without a server: the work of these tests asks nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise

import pytest

from deploy.console import tables
from deploy.console.errors import BusyError
from deploy.console.metrics import ConsoleMetrics
from deploy.console.tables import THREADS, LimitedClickHouse, Tables
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from schemas.settings import ClickHouseSettings


@pytest.fixture
def made() -> Tables:
    return Tables(ClickHouseSettings("http://127.0.0.1:1", "analyst", "secret"), ConsoleMetrics())


async def all_taken(made: Tables) -> None:
    """Return once every thread has work."""
    while not made._slots.locked():  # noqa: ASYNC110  # a semaphore can only be polled
        await asyncio.sleep(0)


async def test_query_beyond_the_threads_waits_and_is_then_refused(
    made: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "WAIT_SECONDS", 0.1)
    gate = threading.Event()
    running = [asyncio.create_task(made.run(lambda _: gate.wait(20))) for _ in range(THREADS)]
    await all_taken(made)
    with pytest.raises(BusyError, match="4 queries of the console are running") as refused:
        await made.run(lambda _: True)
    assert (refused.value.status, refused.value.code) == (503, "busy")

    gate.set()
    assert await asyncio.gather(*running) == [True] * THREADS
    assert await made.run(lambda _: "free")
    made.close()


async def test_one_search_runs_at_a_time_and_pauses_after_it(made: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PAUSE", 2.0)
    times: list[tuple[float, float]] = []

    def work(_: LimitedClickHouse) -> None:
        began = time.monotonic()
        threading.Event().wait(0.05)
        times.append((began, time.monotonic()))

    await asyncio.gather(*(made.run(work, is_search=True) for _ in range(3)))
    assert all(later - ended >= 0.09 for (_, ended), (later, _) in pairwise(times))
    times.clear()
    await asyncio.gather(*(made.run(work) for _ in range(3)))
    assert max(began for began, _ in times) < min(ended for _, ended in times), "the control runs them together"
    made.close()


async def test_request_that_leaves_keeps_its_thread_until_the_query_ends(
    made: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "WAIT_SECONDS", 0.1)
    gate = threading.Event()
    left = [asyncio.create_task(made.run(lambda _: gate.wait(20))) for _ in range(THREADS)]
    await all_taken(made)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    with pytest.raises(BusyError):
        await made.run(lambda _: True)
    gate.set()
    monkeypatch.setattr(tables, "WAIT_SECONDS", 20.0)
    assert await made.run(lambda _: True)
    made.close()


@pytest.mark.parametrize("error", [UnavailableError("no route to 10.0.0.7"), ClickHouseError("10.0.0.7 denies", 497)])
async def test_fault_is_answered_without_the_address(
    made: Tables, error: ClickHouseError, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: LimitedClickHouse) -> None:
        raise error

    with pytest.raises(BusyError) as refused:
        await made.run(fail)
    assert refused.value.code == "clickhouse_unavailable"
    assert "10.0.0.7" not in str(refused.value)
    assert "10.0.0.7" in caplog.text
    made.close()
