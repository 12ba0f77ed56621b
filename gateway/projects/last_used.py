"""Writes down on which day each token was last used: one record for a token and a day, and none while requests wait.

Each gateway notes what it has found, looks once a minute which of that no record tells of yet, its own or another
gateway's, and writes those. Gateways look at moments of their own, so that rarely two write the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import UTC, datetime

from gateway.errors import UnavailableError
from gateway.kafka.publisher import Publisher
from gateway.projects.registry import ProjectSource
from schemas.projects import use_entry

_EVERY_SECONDS = 60.0
_LAST_SECONDS = 1.0
"""For what is left when the process ends: a day is not worth more."""


class TokenLastUsed:
    """Records the last day of each token. What cannot be written is written after the token's next use."""

    def __init__(self, publisher: Publisher, projects: ProjectSource, topic: str) -> None:
        self._publisher = publisher
        self._projects = projects
        self._topic = topic
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="token use")

    async def record(self) -> None:
        """Write what is not recorded yet."""
        day = datetime.now(UTC).date().isoformat()
        used = self._projects.unrecorded_uses(day)
        with contextlib.suppress(UnavailableError):
            await self._publisher.publish({self._topic: [use_entry(name, day) for name in used]})

    async def close(self) -> None:
        """Write what is left and look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self.record()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # moments, no secrets
            await self.record()
