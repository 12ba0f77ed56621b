"""Bodies that take long to validate wait for others of their own project only."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.http import ingest_handler
from gateway.http.time_share import TimeShare
from gateway.settings import GatewaySettings
from tests.integration.served import OTHER_TOKEN, Served, serving, track

BATCH = {"batch": [track(messageId="m-1")]}
LARGE = {**BATCH, "padding": "x" * 2_000}
OTHER = {"Authorization": f"Bearer {OTHER_TOKEN}"}


@pytest.fixture(autouse=True)
def every_large_body_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give slow bodies so small a share that a body that waits for it never ends."""
    monkeypatch.setattr(ingest_handler, "_LARGE_BODY_BYTES", 1_000)
    monkeypatch.setattr(ingest_handler, "_USUAL_BODY_SECONDS", 0.0)
    monkeypatch.setattr(ingest_handler, "_SLOW_BODY_SHARE", 1e-9)


async def in_flight(gateway: Served, size: int) -> None:
    """Wait until request bodies of *size* bytes are in memory."""
    async with asyncio.timeout(5):
        while gateway.budget.reserved_bytes < size:  # noqa: ASYNC110  # the other side of a socket counts it
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "control: one for all"])
async def test_large_bodies_wait_for_slow_bodies_of_their_own_project_only(
    monkeypatch: pytest.MonkeyPatch, *, shared: bool
) -> None:
    if shared:
        for_all = TimeShare(1e-9, time.monotonic)
        monkeypatch.setattr(ingest_handler, "TimeShare", lambda *_, **__: for_all)
    async with serving(GatewaySettings()) as gateway:
        assert (await gateway.post("/b", LARGE)).status == 200
        waiting = asyncio.create_task(gateway.post("/b", LARGE))
        await in_flight(gateway, 2_000)
        small = await gateway.post("/b", BATCH)
        other = asyncio.create_task(gateway.post("/b", LARGE, headers=OTHER))
        await (in_flight(gateway, 4_000) if shared else other)

        assert small.status == 200
        assert (waiting.done(), other.done()) == (False, not shared)
        assert shared or other.result().status == 200
        for task in (waiting, other):
            task.cancel()
