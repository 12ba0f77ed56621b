"""The guard asks until it is closed, whatever the answer is, and logs each change once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway import disk
from gateway.disk import Answer, FreeSpace, Volume
from gateway.disk_guard import DiskGuard
from tests.fakes.publisher import MemoryPublisher


class CountedPublisher(MemoryPublisher):
    """Counts questions."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.fails = False

    async def disks(self) -> Sequence[Answer]:
        self.asked += 1
        if self.fails:
            raise ValueError("a bug")
        return await super().disks()

    async def until_asked(self, times: int = 2) -> None:
        """Return after *times* more questions: the answer to the last but one is taken then."""
        wanted = self.asked + times
        async with asyncio.timeout(5):
            while self.asked < wanted:  # noqa: ASYNC110  # a counter
                await asyncio.sleep(0)


def tells(free_bytes: int) -> list[Answer]:
    return [Answer(1, [Volume(1, "/kafka", free_bytes, 100_000)])]


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> CountedPublisher:
    for name in ("ASK_SECONDS", "ASK_NEAR_SECONDS"):
        monkeypatch.setattr(disk, name, 0.001)
    made = CountedPublisher()
    made.answers = tells(5000)
    return made


@pytest.fixture
async def space(publisher: CountedPublisher) -> AsyncIterator[FreeSpace]:
    space = FreeSpace(1000)
    guard = DiskGuard(publisher, space)
    await guard.start()
    yield space
    await guard.close()


async def test_start_knows_the_free_space(publisher: CountedPublisher) -> None:
    publisher.answers = tells(999)
    space = FreeSpace(1000)
    guard = DiskGuard(publisher, space)

    await guard.start()

    assert space.is_low
    await guard.close()


async def test_requests_are_refused_and_accepted_with_a_line_each(
    publisher: CountedPublisher, space: FreeSpace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for free, low in ((5000, False), (900, True), (1100, True), (1300, False)):
        publisher.answers = tells(free)
        await publisher.until_asked()
        assert space.is_low is low

    assert [(record.levelname, record.getMessage()[:55]) for record in caplog.records] == [
        ("WARNING", "refusing requests with 503: Kafka has too little free d"),
        ("INFO", "accepting requests again: broker 1 has 1 KiB"),
    ]


async def test_broker_that_does_not_tell_is_logged_once(
    publisher: CountedPublisher, space: FreeSpace, caplog: pytest.LogCaptureFixture
) -> None:
    for answers in ([Answer(1, unknown="It is old.")], [Answer(1, is_silent=True)], [Answer(1, unknown="It is old.")]):
        publisher.answers = answers
        await publisher.until_asked(3)

    assert not space.is_low
    assert [record.getMessage() for record in caplog.records] == [
        "the free disk space of broker 1 is not known, requests are accepted until its disk is full: It is old."
    ]


async def test_guard_outlives_an_unexpected_error(
    publisher: CountedPublisher, space: FreeSpace, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.fails = True
    await publisher.until_asked()
    publisher.fails, publisher.answers = False, tells(0)
    await publisher.until_asked()

    assert space.is_low
    assert "cannot read the free disk space of Kafka" in caplog.messages


async def test_closed_guard_asks_no_more(publisher: CountedPublisher) -> None:
    guard = DiskGuard(publisher, FreeSpace(1000))
    await guard.start()
    await guard.close()
    asked = publisher.asked

    await asyncio.sleep(0.01)

    assert publisher.asked == asked
