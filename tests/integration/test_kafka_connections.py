"""Connections to Kafka are closed, whenever the work that opens them is cancelled."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from deploy.operate import kafka_reader, offsets
from schemas.settings import KafkaSettings

STEPS = 40
"""Iterations of the event loop that opening takes, at most."""


@pytest.mark.parametrize("opened", [offsets.admin_client, offsets.consumer, kafka_reader.connected])
async def test_cancelled_opening_leaves_no_connection(kafka_settings: KafkaSettings, opened: Any) -> None:
    unclosed: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unclosed.append(context["message"]))

    async def use() -> None:
        async with opened(kafka_settings):
            await asyncio.Event().wait()

    for steps in range(STEPS):
        using = asyncio.create_task(use())
        for _ in range(steps):
            await asyncio.sleep(0.001)
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
        del using
    gc.collect()

    assert unclosed == []
