"""Liveness and readiness probes."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from gateway.admission import MemoryBudget
from gateway.disk import FreeSpace
from gateway.errors import DrainingError, KafkaDiskLowError, OverloadedError, UnavailableError
from gateway.http.responses import json_response
from gateway.kafka.publisher import Publisher
from gateway.projects.registry import ProjectSource

_CHECK_TIMEOUT_SECONDS = 2.0
_CHECK_CACHED_SECONDS = 1.0
_REFUSAL_SECONDS = 2.0
"""Time after a request was refused for memory in which the gateway is not ready."""


class Health:
    """Answers the probes. Kafka is checked at most once per second, however many probes arrive."""

    def __init__(self, publisher: Publisher, projects: ProjectSource, budget: MemoryBudget, space: FreeSpace) -> None:
        self._publisher = publisher
        self._projects = projects
        self._budget = budget
        self._space = space
        self._refused_at = float("-inf")
        budget.on_refusal = self._note_refusal
        self._draining = False
        self._checked_at = float("-inf")
        self._checking: asyncio.Task[None] | None = None

    def drain(self) -> None:
        """Report the process as not ready from now on."""
        self._draining = True

    async def live(self, _: web.Request) -> web.Response:
        """Answer 200 while the event loop runs."""
        return json_response(b'{"status":"alive"}')

    async def ready(self, _: web.Request) -> web.Response:
        """Answer 200 if items can be stored; otherwise 503 with the reason."""
        if self._draining:
            raise DrainingError
        if self._budget.is_exhausted or time.monotonic() - self._refused_at < _REFUSAL_SECONDS:
            raise OverloadedError
        if self._space.is_low:
            raise KafkaDiskLowError(self._space.reason)
        self._projects.check()
        if self._checking is None or time.monotonic() - self._checked_at > _CHECK_CACHED_SECONDS:
            self._checked_at = time.monotonic()
            self._checking = asyncio.ensure_future(self._check())
        await asyncio.shield(self._checking)
        return json_response(b'{"status":"ready"}')

    def _note_refusal(self) -> None:
        self._refused_at = time.monotonic()

    async def _check(self) -> None:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
                await self._publisher.check()
        except TimeoutError:
            raise UnavailableError(f"Kafka did not answer within {_CHECK_TIMEOUT_SECONDS:g} s.") from None
