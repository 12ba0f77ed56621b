"""Records the day of each token's last use on `projects.v1`, usually with one record per token and day.

About once a minute each gateway writes the uses that it has seen and that no gateway has recorded yet. The interval is
random, so that two gateways rarely write the same record. Requests do not wait for these writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import UTC, datetime

from gateway.errors import UnavailableError
from gateway.kafka.publisher import Publisher
from gateway.projects.registry import ProjectSource
from schemas.projects import Use, encode_entry

_INTERVAL_SECONDS = 60.0
_CLOSE_TIMEOUT_SECONDS = 1.0
"""For the last write before exit. A lost day of last use is not worth a longer shutdown."""


class TokenLastUsed:
    """Records last uses periodically. A use whose write fails is recorded after the token's next use."""

    def __init__(self, publisher: Publisher, projects: ProjectSource, topic: str) -> None:
        self._publisher = publisher
        self._projects = projects
        self._topic = topic
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start recording periodically."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="token last used")

    async def record(self) -> None:
        """Write every use that is not recorded yet."""
        day = datetime.now(UTC).date().isoformat()
        used = self._projects.pop_unrecorded_uses(day)
        with contextlib.suppress(UnavailableError):
            await self._publisher.publish({self._topic: [encode_entry(Use(day), name) for name in used]})

    async def close(self) -> None:
        """Stop, and write the remaining uses."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                    await self.record()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # jitter, not a secret
            await self.record()
