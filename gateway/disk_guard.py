"""Asks the brokers for their free disk space, and logs when the gateway begins and ends to refuse requests for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic

from gateway.disk import Answer, FreeSpace
from gateway.kafka.publisher import Publisher
from schemas.sizes import size

log = logging.getLogger(__name__)

_FIRST_SECONDS = 2.0
"""Longest time that the start waits for the first answers."""
_CLOSE_SECONDS = 1.0


class DiskGuard:
    """Keeps *space* up to date. One question serves every request until the next one."""

    def __init__(self, publisher: Publisher, space: FreeSpace) -> None:
        self._publisher = publisher
        self._space = space
        self._unknown: dict[int, str] = {}
        self._asked = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return after the first answers, or after two seconds without them."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="disk guard")
        first = asyncio.ensure_future(self._asked.wait())
        await asyncio.wait([first, self._task], timeout=_FIRST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()

    async def close(self) -> None:
        """End. A question in progress ends first: aiokafka leaves a connection open if its start is cancelled."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self._ask()
            self._asked.set()
            try:
                async with asyncio.timeout(self._space.ask_again_seconds):
                    await self._closing.wait()
            except TimeoutError:
                continue

    async def _ask(self) -> None:
        answers: Sequence[Answer] = ()
        try:
            answers = await self._publisher.disks()
        except Exception:  # the guard lasts as long as the process
            log.exception("cannot read the free disk space of Kafka")
        was_low = self._space.is_low
        self._space.update(answers, monotonic())
        self._log_unknown(answers)
        if self._space.is_low and not was_low:
            log.warning("refusing requests with 503: %s", self._space.reason)
        elif was_low and not self._space.is_low:
            least = ", ".join(f"broker {each.broker} has {size(each.free_bytes)}" for each in self._space.least)
            log.info("accepting requests again: %s", least or "the brokers with too little disk space are gone")

    def _log_unknown(self, answers: Sequence[Answer]) -> None:
        """Log each reason why a broker does not tell once."""
        for answer in answers:
            if answer.is_silent:
                continue
            if answer.unknown and self._unknown.get(answer.broker) != answer.unknown:
                log.warning(
                    "the free disk space of broker %d is not known, requests are accepted until its disk is full: %s",
                    *(answer.broker, answer.unknown),
                )
            self._unknown[answer.broker] = answer.unknown
