"""Sends that set out together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from processors.engine.errors import InterleavedWriterError
from processors.engine.producer import _JointSends
from schemas.records import Record


class Writer:
    """Takes what is written, and writes it when it is told to."""

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []
        self.acknowledged = asyncio.Event()
        self.error: Exception | None = None

    async def write(self, records: Sequence[Record]) -> None:
        self.writes.append([record.key for record in records])
        await self.acknowledged.wait()
        if self.error is not None:
            raise self.error


def records(*keys: bytes) -> list[Record]:
    return [Record(key, b"{}") for key in keys]


async def test_what_is_sent_at_once_is_written_together_and_what_comes_meanwhile_after_it() -> None:
    writer = Writer()
    joint = _JointSends(writer.write)
    first = [asyncio.create_task(joint.send(records(key))) for key in (b"a", b"b")]
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(joint.send(records(key))) for key in (b"c", b"d")]
    await asyncio.sleep(0.01)
    assert writer.writes == [[b"a", b"b"]]
    assert not any(task.done() for task in (*first, *later))

    writer.acknowledged.set()
    await asyncio.gather(*first, *later)
    assert writer.writes == [[b"a", b"b"], [b"c", b"d"]]


async def test_everybody_hears_of_an_error_and_the_next_send_goes_out() -> None:
    writer = Writer()
    writer.error = InterleavedWriterError("somebody else writes")
    writer.acknowledged.set()
    joint = _JointSends(writer.write)
    outcomes = await asyncio.gather(*(joint.send(records(key)) for key in (b"a", b"b")), return_exceptions=True)
    assert outcomes == [writer.error, writer.error]

    writer.error = None
    await joint.send(records(b"a", b"b"))
    assert writer.writes == [[b"a", b"b"], [b"a", b"b"]]


async def test_one_that_is_cancelled_takes_nobody_with_it() -> None:
    writer = Writer()
    joint = _JointSends(writer.write)
    cancelled, other = (asyncio.create_task(joint.send(records(key))) for key in (b"a", b"b"))
    await asyncio.sleep(0.01)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled

    writer.acknowledged.set()
    await other
    assert writer.writes == [[b"a", b"b"]]
