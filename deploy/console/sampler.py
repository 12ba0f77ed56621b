"""Asks for the status of the pipeline every 5 seconds and remembers the lag of each stage for an hour."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.console.errors import BusyError
from deploy.console.metrics import ConsoleMetrics
from deploy.operate import status_local, status_processes
from deploy.operate.lag import STAGES
from deploy.operate.servers import Servers
from deploy.operate.status import Asked, Watch
from deploy.operate.status_result import Status

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
SAMPLES = 720


@dataclass(frozen=True, slots=True)
class Sample:
    """The lag of each stage at a time, in seconds since 1970; None if it is not known."""

    at: float
    lag: Mapping[str, float | None]


@dataclass(slots=True)
class Sampler:
    """The newest status, and the samples of the last hour."""

    servers: Servers
    metrics: ConsoleMetrics
    environ: Mapping[str, str] = field(default_factory=dict)
    state: Path | None = None
    """State directory of the local stack, if the servers are its own."""
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _newest: Status | None = None

    async def run(self) -> None:
        """Ask until the task is cancelled. An unexpected error costs one sample."""
        workers = {} if self.state is None else status_processes.workers(self.environ)
        async with Watch(Asked(self.servers, state=self.state, workers=workers)) as watch:
            while True:
                began = time.monotonic()
                try:
                    # Gateways may have been added to the local stack since.
                    gateways = status_local.gateways_to_ask((), self.state, self.environ)
                    watch.asked = replace(watch.asked, gateways=gateways)
                    self._note(await watch.status())
                except Exception:
                    log.exception("the status could not be read")
                await asyncio.sleep(max(0.5, began + INTERVAL_SECONDS - time.monotonic()))

    def _note(self, status: Status) -> None:
        now = time.time()
        self._newest = status
        self.metrics.status_at.set(now)
        lag = {stage.name: stage.lag_seconds for stage in status.stages}
        self.samples.append(Sample(now, {name: lag.get(name) for name in STAGES}))

    def status(self) -> Status:
        """Return the newest status; raises `BusyError` before the first one."""
        if self._newest is None:
            raise BusyError("starting", "The console has no status yet. Try again in a few seconds.")
        return self._newest


def lag_at(samples: Sequence[Sample], times: Sequence[int], step: int) -> dict[str, list[float | None]]:
    """Return the highest lag of each stage in each step of *times*, the starts of steps in seconds since 1970."""
    found: dict[str, list[float | None]] = {name: [None] * len(times) for name in STAGES}
    if not times:
        return found
    for sample in samples:
        place = int((sample.at - times[0]) // step)
        if 0 <= place < len(times):
            for name, lags in found.items():
                lag, known = sample.lag.get(name), lags[place]
                if lag is not None and (known is None or lag > known):
                    lags[place] = lag
    return found
