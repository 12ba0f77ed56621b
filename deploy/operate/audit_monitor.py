"""Repeats the audit of the newest items, and publishes what it finds: for the console and `sequence audit --watch`.

A task of the event loop; the audit itself runs in a thread, and takes a bounded part of its time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Protocol

from deploy.errors import OperateError
from deploy.operate.audit_balance import Balance
from deploy.operate.audit_metrics import AuditMetrics
from deploy.operate.audit_window import WindowAudit
from deploy.operate.servers import Servers
from processors.clickhouse.errors import ClickHouseError

INTERVAL_SECONDS = 30.0
"""Time from the start of an audit to that of the next. The alerts expect at most a minute."""

log = logging.getLogger(__name__)


class Audits(Protocol):
    """What is repeated; `WindowAudit` has this shape."""

    def check(self, now: float) -> Balance:
        """Return the balance at *now*, in seconds since 1970. Blocks."""

    def stop(self) -> None:
        """Let a check that another thread runs end soon."""


async def run(servers: Servers, metrics: AuditMetrics, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Audit every *interval_seconds* until the task is cancelled; what fails is logged and tried again."""
    await repeat(WindowAudit(servers), metrics, interval_seconds)


async def repeat(audit: Audits, metrics: AuditMetrics, interval_seconds: float) -> None:
    """Do with *audit* what `run` does."""
    said = _Said()
    try:
        while True:
            began = time.monotonic()
            try:
                balance = await asyncio.to_thread(audit.check, time.time())
            except (OperateError, ClickHouseError) as error:
                metrics.failures.inc()
                said.failed(str(error))
            except Exception:
                # An error of the audit must not end the process that runs it.
                metrics.failures.inc()
                log.exception("the audit failed")
            else:
                metrics.complete(balance, at=time.time(), seconds=time.monotonic() - began)
                said.completed(balance)
            await asyncio.sleep(max(0.0, began + interval_seconds - time.monotonic()))
    finally:
        audit.stop()


class _Said:
    """Logs what has changed, and nothing twice."""

    def __init__(self) -> None:
        self._failure = ""
        self._lines: list[str] | None = None

    def failed(self, reason: str) -> None:
        if reason != self._failure:
            log.warning("the audit cannot complete and is repeated: %s", reason)
        self._failure = reason

    def completed(self, balance: Balance) -> None:
        if balance.adds_up:
            if self._failure or self._lines is None or self._lines:
                since = f"{datetime.fromtimestamp(balance.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
                log.info("audit: %s items since %s add up", f"{balance.items:,}", since)
        elif balance.lines != self._lines:
            log.warning("audit: the numbers do not add up: %s", "; ".join(balance.lines))
        self._failure, self._lines = "", [] if balance.adds_up else balance.lines
