"""Slots: batches that wait for their own sake do not hold them."""

from __future__ import annotations

import asyncio

import pytest

from processors.sink.slots import Slots


async def test_slot_is_free_at_the_end_of_its_block() -> None:
    slots = Slots(1)
    for _ in range(3):
        async with asyncio.timeout(1), slots.take():
            pass


async def test_block_waits_while_every_slot_is_taken() -> None:
    slots = Slots(1)
    async with slots.take():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), slots.take():
                pass


async def test_released_slot_is_free_once_although_its_block_continues() -> None:
    slots = Slots(1)
    async with slots.take() as first:
        first.release()
        first.release()
        async with asyncio.timeout(1), slots.take():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), slots.take():
                    pass
    async with asyncio.timeout(1), slots.take():
        pass
