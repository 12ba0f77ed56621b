"""What a gateway refuses, as log lines: once a minute at most, and none while it refuses nothing.

The numbers are those of the metrics. An operator without a metrics system sees here that producers send what is
rejected, or that requests fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from prometheus_client import Counter

from gateway.metrics import GatewayMetrics
from schemas.log_throttle import Summary

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
ALARMING_SHARE = 0.5
ALARMING_NUMBER = 10
"""From this share and this number on, rejected items and refused requests are logged at WARNING."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Numbers of items and requests."""

    accepted_items: int = 0
    rejected_items: Mapping[str, int] = field(default_factory=dict)
    """By code."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """By status."""

    def since(self, before: Traffic) -> Traffic:
        """Return what came after *before*."""
        return Traffic(
            self.accepted_items - before.accepted_items,
            _grown(before.rejected_items, self.rejected_items),
            _grown(before.requests, self.requests),
        )

    def rejected(self, seconds: float) -> Summary:
        """Return the rejected items by code."""
        return Summary(self.rejected_items, seconds)

    def refused(self, seconds: float) -> Summary:
        """Return the requests by status that were not answered with 2xx or 3xx."""
        return Summary({status: count for status, count in self.requests.items() if status >= "400"}, seconds)


def is_alarming(refused: Summary, total: int) -> bool:
    """Return whether so many of *total* are refused that an operator should look, or any by a fault of the server."""
    failed = any(status.startswith("5") for status in refused.counts)
    return failed or (refused.total >= ALARMING_NUMBER and refused.total >= ALARMING_SHARE * total)


class RefusalLog:
    """Logs what was refused in each interval."""

    def __init__(self, metrics: GatewayMetrics, rejected_topic: str) -> None:
        self._metrics = metrics
        self._rejected_topic = rejected_topic
        self._before = self._read()
        self._began = monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start logging."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="refusal log")

    async def close(self) -> None:
        """Log the rest. During a shutdown requests are refused as documented, so nothing is alarming."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self.write(closing=True)

    def write(self, *, closing: bool = False) -> None:
        """Log what was refused since the last call."""
        now, after = monotonic(), self._read()
        traffic, seconds = after.since(self._before), now - self._began
        self._before, self._began = after, now
        self._write_items(traffic, seconds, closing=closing)
        self._write_requests(traffic, seconds, closing=closing)

    def _write_items(self, traffic: Traffic, seconds: float, *, closing: bool) -> None:
        rejected = traffic.rejected(seconds)
        total = rejected.total + traffic.accepted_items
        values = (rejected.total, total, seconds, rejected.detail, self._rejected_topic)
        if not rejected.total:
            return
        if is_alarming(rejected, total) and not closing:
            log.warning("rejected %d of %d items in %.0f s: %s. They are on %s", *values)
        else:
            log.info("rejected %d of %d items in %.0f s: %s. They are on %s", *values)

    def _write_requests(self, traffic: Traffic, seconds: float, *, closing: bool) -> None:
        refused = traffic.refused(seconds)
        values = (refused.total, sum(traffic.requests.values()), seconds, refused.detail)
        if not refused.total:
            return
        if is_alarming(refused, values[1]) and not closing:
            log.warning("refused %d of %d requests in %.0f s, by status: %s", *values)
        else:
            log.info("refused %d of %d requests in %.0f s, by status: %s", *values)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            self.write()

    def _read(self) -> Traffic:
        metrics = self._metrics
        accepted = _by_label(metrics.accepted_items, "")
        return Traffic(
            accepted.get("", 0), _by_label(metrics.rejected_items, "code"), _by_label(metrics.requests, "status")
        )


def _by_label(counter: Counter, label: str) -> dict[str, int]:
    samples = [sample for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return {sample.labels.get(label, ""): int(sample.value) for sample in samples}


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: grown for name, number in after.items() if (grown := number - before.get(name, 0))}
