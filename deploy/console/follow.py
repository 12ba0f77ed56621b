"""The projects and tokens, as the gateways follow them. The console starts without Kafka and reads them once it can."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from deploy.console.metrics import ConsoleMetrics
from gateway.errors import GatewayError
from gateway.projects.registry import ProjectRegistry
from schemas.log_throttle import Outage
from schemas.project_table import ProjectTable
from schemas.settings import KafkaSettings, SettingsError

log = logging.getLogger(__name__)

_LOAD_SECONDS = 15.0
_RETRY_SECONDS = 2.0


class ProjectSource(Protocol):
    """Projects and tokens."""

    @property
    def table(self) -> ProjectTable | None:
        """The table as it is now; None until it was read."""

    async def run(self) -> None:
        """Follow changes until the task is cancelled."""

    def check(self) -> None:
        """Raise `UnavailableError` while changes may be missed."""


class FollowedProjects:
    """`gateway.projects.registry` behind the start of this process."""

    def __init__(self, kafka: KafkaSettings, metrics: ConsoleMetrics) -> None:
        self._registry = ProjectRegistry(kafka, metrics, start_timeout_seconds=_LOAD_SECONDS)
        self._is_loaded = False

    @property
    def table(self) -> ProjectTable | None:
        """The table as it is now; None until it was read. While Kafka is away, the last one stays."""
        return self._registry.table if self._is_loaded else None

    async def run(self) -> None:
        """Read the topic, again and again until that succeeds, and follow it until the task is cancelled."""
        outage = Outage()
        try:
            while not self._is_loaded:
                try:
                    await self._registry.start()
                    self._is_loaded = True
                except (GatewayError, SettingsError) as error:
                    if outage.failed(time.monotonic(), type(error)) is not None:
                        log.warning("no token can be checked yet: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.Event().wait()
        finally:
            await self._registry.close()

    def check(self) -> None:
        """Raise `UnavailableError` while changes may be missed."""
        self._registry.check()
