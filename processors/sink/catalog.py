"""Keeps the catalogue: counts new rows of `events` and `identifies` beside the INSERTs, in a thread of its own.

One sink counts for all: the one with partition 0 of `events.v1`. It looks every few seconds, and counts once there is
enough to count or the oldest row has waited long enough: a pass has a fixed cost of some INSERTs. While a large merge
puts new rows beside counted ones it counts at once, since a pass reads all rows of a part that has a new one. Its
failures are logged, counted and repeated, and change nothing for the INSERTs of the sink.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Protocol

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.codes import summary
from processors.clickhouse.errors import ClickHouseError, LeaseEndedError, UnavailableError
from processors.engine.metrics import WorkerMetrics
from processors.sink.attempts import pause_seconds
from processors.sink.catalog_counter import Counter, Done, Lag
from processors.sink.catalog_statement import SOURCES
from processors.sink.catalog_store import PASS_SECONDS, CatalogStore, ClickHouseCatalog
from processors.sink.lease import Lease
from processors.typed_views.keeper import view_keeper
from schemas.log_throttle import Outage, Throttle
from schemas.settings import ClickHouseSettings

LOOK_SECONDS = 4.0
"""Pause between two looks for new rows."""
PAUSE_SECONDS = 25.0
"""Pause between two passes, however few the new rows are: a pass has a fixed cost."""
ENOUGH_OFFSETS = 400_000
"""So many source offsets are counted at once."""
_PASSES_AT_ONCE = 10
"""After so many passes the other table is looked at, and whether this worker is to stop."""

log = logging.getLogger(__name__)


class CountedTable:
    """One table that is counted: when, and what is logged and measured about it. For one thread."""

    def __init__(self, counter: Counter, metrics: WorkerMetrics) -> None:
        self._counter = counter
        self._metrics = metrics
        self._kind = counter.source.kind
        self._outage = Outage()
        self._skips = Throttle()
        self._failed = 0
        self._behind_since: float | None = None
        self._counted_at = -math.inf
        self._next = 0.0
        for counted in (
            *(metrics.catalog_read_rows, metrics.catalog_counted_offsets),
            *(metrics.catalog_failed_passes, metrics.catalog_skipped_offsets),
        ):
            # A counter that appears with its first event would show no increase.
            counted.labels(self._kind)

    def run(self, now: float) -> None:
        """Look for new rows and count them if it is time. Raises nothing."""
        if now < self._next:
            return
        try:
            for _ in range(_PASSES_AT_ONCE):
                if not self._count_once(now):
                    break
        except Exception as error:  # noqa: BLE001  # whatever it is, the INSERTs continue
            self._failed += 1
            self._next = now + max(LOOK_SECONDS, pause_seconds(self._failed))
            self._log_failed(error)
            return
        self._failed = 0
        if self._outage.succeeded(now) is not None:
            log.info("%s: the catalogue counts new rows again", self._counter.source.table.name)

    def forget(self) -> None:
        """Know nothing, because another worker counts."""
        self._counter.forget()
        self._behind_since = None
        for gauge in (self._metrics.catalog_lag_offsets, self._metrics.catalog_lag_seconds):
            with suppress(KeyError):  # It was never set.
                gauge.remove(self._kind)

    def _count_once(self, now: float) -> bool:
        """Count once if it is time; return whether there may be more to count at once."""
        lag = self._counter.look()
        self._note(lag, now)
        if not lag.ranges or not self._is_time(lag, now):
            return False
        began = monotonic()
        done = self._counter.count(lag)
        if done is None:
            return True
        self._measure(done, monotonic() - began)
        self._counted_at = now
        if done.offsets >= lag.offsets:
            self._behind_since = None
            self._note_lag(0, 0.0)
            return False
        return True

    def _is_time(self, lag: Lag, now: float) -> bool:
        waited = 0.0 if self._behind_since is None else now - self._behind_since
        # The first rows after a pause are counted with those that follow at once.
        is_due = waited >= LOOK_SECONDS and now - self._counted_at >= PAUSE_SECONDS
        return lag.offsets >= ENOUGH_OFFSETS or is_due or self._counter.is_mixing(lag)

    def _note(self, lag: Lag, now: float) -> None:
        if not lag.ranges:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        self._note_lag(lag.offsets, 0.0 if self._behind_since is None else now - self._behind_since)

    def _note_lag(self, offsets: int, seconds: float) -> None:
        self._metrics.catalog_lag_offsets.labels(self._kind).set(offsets)
        self._metrics.catalog_lag_seconds.labels(self._kind).set(seconds)

    def _measure(self, done: Done, seconds: float) -> None:
        metrics, kind = self._metrics, self._kind
        metrics.catalog_pass_seconds.labels(kind).observe(seconds)
        metrics.catalog_read_rows.labels(kind).inc(done.work.read_rows)
        metrics.catalog_counted_offsets.labels(kind).inc(done.offsets - done.skipped)
        if done.skipped:
            metrics.catalog_skipped_offsets.labels(kind).inc(done.skipped)
            if self._skips.take(monotonic()):
                log.error(
                    "%s: ClickHouse cannot count the properties of a row, and the catalogue leaves it out. The table "
                    "has the row",
                    self._counter.source.table.name,
                )

    def _log_failed(self, error: Exception) -> None:
        self._metrics.catalog_failed_passes.labels(self._kind).inc()
        if isinstance(error, LeaseEndedError | UnavailableError) and error.code is None:
            # The INSERTs log the outage.
            return
        if (attempts := self._outage.failed(monotonic(), type(error))) is None:
            return
        reason = summary(str(error)) if isinstance(error, ClickHouseError) else repr(error)
        log.warning(
            "%s: the catalogue cannot count new rows, retrying; the table has them: %d attempts failed in %.0f s. "
            "The last error: %s",
            *(self._counter.source.table.name, attempts.failed, attempts.seconds, reason),
        )


class CatalogTask(Protocol):
    """Something that the thread of the catalogue does. Methods raise nothing."""

    def run(self, now: float) -> None:
        """Do it if it is time."""

    def forget(self) -> None:
        """Know nothing, because another worker does it."""


class Catalog:
    """Counts the tables and makes typed views in a thread, while this worker is the one that does so."""

    def __init__(self, tasks: Sequence[CatalogTask]) -> None:
        self._tasks = tasks
        self._changed = threading.Condition()
        self._counts = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. The thread never keeps the process from ending: a pass that is running ends in the server."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)
            self._thread.start()

    def set_owner(self, *, counts: bool) -> None:
        """Say whether this worker is the one that counts."""
        with self._changed:
            self._counts = counts
            self._changed.notify_all()

    def stop(self) -> None:
        """Begin no other pass."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_until_owner():
            while self._is_owner():
                for task in self._tasks:
                    task.run(monotonic())
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping or not self._counts, LOOK_SECONDS)
            for task in self._tasks:
                task.forget()

    def _wait_until_owner(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._counts)
            return not self._stopping

    def _is_owner(self) -> bool:
        with self._changed:
            return self._counts and not self._stopping


def catalog(
    settings: ClickHouseSettings, lease: Lease, metrics: WorkerMetrics, others: Sequence[CatalogTask] = ()
) -> Catalog:
    """Return the catalogue of the database of *settings*, its typed views, and *others* that its thread does."""
    clickhouse = ClickHouse(settings, answer_seconds=PASS_SECONDS + 10)
    store: CatalogStore = ClickHouseCatalog(clickhouse)
    counted = [CountedTable(Counter(source, store, lease), metrics) for source in SOURCES]
    return Catalog([*counted, view_keeper(settings, metrics), *others])
