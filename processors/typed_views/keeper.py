"""Keeps typed views up to date beside the catalogue, in its thread: the sink that counts for all makes them for all.

A failure is logged, counted and repeated, and changes nothing for the INSERTs of the sink or for the raw tables.
"""

from __future__ import annotations

import logging
import math
from time import monotonic

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.codes import summary
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from processors.engine.metrics import WorkerMetrics
from processors.typed_views.refresh import ACCESS_DENIED, Refreshed, RefusedViewError, ViewRefresher
from processors.typed_views.store import ViewStore
from schemas.log_throttle import Outage
from schemas.settings import ClickHouseSettings

REFRESH_SECONDS = 15.0
"""Pause between two looks at the catalogue."""
_ANSWER_SECONDS = 60.0
"""A view of a thousand columns takes ClickHouse seconds to check."""

log = logging.getLogger(__name__)


class ViewKeeper:
    """Refreshes the views when it is time. For one thread."""

    def __init__(self, refresher: ViewRefresher, metrics: WorkerMetrics, username: str) -> None:
        self._refresher = refresher
        self._metrics = metrics
        self._username = username
        self._outage = Outage()
        self._next = -math.inf
        self._foreign: set[tuple[str, str]] = set()

    def run(self, now: float) -> None:
        """Refresh if it is time. Raises nothing."""
        if now < self._next:
            return
        try:
            self._refresher.refresh(self._note)
        except Exception as error:  # noqa: BLE001  # whatever it is, the INSERTs continue
            self._log_failed(error)
        else:
            if self._outage.succeeded(monotonic()) is not None:
                log.info("typed views are made again")
        self._next = monotonic() + REFRESH_SECONDS

    def forget(self) -> None:
        """Compare every view next time, because another worker may have made some."""
        self._refresher.forget()
        self._next = -math.inf

    def _note(self, done: Refreshed) -> None:
        self._metrics.typed_views_made.inc(len(done.made))
        for name in done.foreign:
            if (key := (done.database, name)) not in self._foreign:
                self._foreign.add(key)
                log.warning(
                    "%s.%s is not a view of Sequence events, and stays. Rename it to get the typed view of this name",
                    *key,
                )

    def _log_failed(self, error: Exception) -> None:
        self._metrics.typed_views_failed.inc()
        if isinstance(error, UnavailableError) and error.code is None:
            return  # The INSERTs log the outage.
        if self._outage.failed(monotonic(), type(error)) is None:
            return
        if isinstance(error, ClickHouseError) and error.code == ACCESS_DENIED:
            log.warning(
                "typed views are not made: the ClickHouse user %s lacks a permission. The tables are not affected. "
                "docs/views.md has the GRANT. The last error: %s",
                *(self._username, summary(str(error))),
            )
            return
        reason = summary(str(error)) if isinstance(error, ClickHouseError) else repr(error)
        if isinstance(error, RefusedViewError):
            reason = f"{error.view}: {reason}"
        log.warning("typed views cannot be made, retrying. The tables are not affected. The last error: %s", reason)


def view_keeper(settings: ClickHouseSettings, metrics: WorkerMetrics) -> ViewKeeper:
    """Return the keeper of the views beside the database of *settings*."""
    store = ViewStore(ClickHouse(settings, answer_seconds=_ANSWER_SECONDS))
    return ViewKeeper(ViewRefresher(store), metrics, settings.username)
