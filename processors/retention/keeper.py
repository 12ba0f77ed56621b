"""Removes expired rows beside the catalogue, in its thread: the sink that has partition 0 does it for all tables.

For each week of a table: the removal is recorded, the positions of its rows are noted, and the rows leave. Each step
can be repeated, after an interruption or by two workers at once. A failure is logged, counted and repeated, and changes
nothing for the INSERTs of the sink.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.codes import summary
from processors.clickhouse.errors import ClickHouseError, LeaseEndedError, UnavailableError
from processors.engine import failpoints
from processors.engine.metrics import WorkerMetrics
from processors.engine.project_follower import Projects
from processors.retention.rules import TABLES, Rule, expired, planned, portions, rules_of
from processors.retention.store import STATEMENT_SECONDS, RetentionStore
from schemas.clickhouse import Table
from schemas.log_throttle import Outage
from schemas.settings import ClickHouseSettings

LOOK_SECONDS = 3600.0
"""Pause between two looks for expired rows."""
BUSY_SECONDS = 10.0
"""Pause while rows are being removed."""

log = logging.getLogger(__name__)


class Lease(Protocol):
    """Until when this worker is the one that removes rows."""

    def deadline(self) -> float:
        """Return it, in seconds since 1970; raises `UnavailableError` if another worker may be the one."""


class RetentionKeeper:
    """Removes expired rows when it is time. For one thread."""

    def __init__(self, store: RetentionStore, projects: Projects, lease: Lease, metrics: WorkerMetrics) -> None:
        self._store = store
        self._projects = projects
        self._lease = lease
        self._metrics = metrics
        self._outage = Outage()
        self._next = -math.inf
        for table in TABLES:
            metrics.retention_removed_rows.labels(table.name)

    def run(self, now: float) -> None:
        """Look for expired rows and remove them if it is time. Raises nothing."""
        if now < self._next:
            return
        pause = BUSY_SECONDS
        try:
            if not self.look():
                pause = LOOK_SECONDS
        except Exception as error:  # noqa: BLE001  # whatever it is, the INSERTs continue
            self._log_failed(error)
        else:
            if self._outage.succeeded(monotonic()) is not None:
                log.info("expired rows are removed again")
        self._next = monotonic() + pause

    def forget(self) -> None:
        """Look at once next time."""
        self._next = -math.inf

    def look(self) -> bool:
        """Remove what has expired; return whether it is not known yet that everything has left."""
        rules = rules_of(list(self._projects.table.projects.values()))
        now = self._store.now()
        unfinished = [table for table in TABLES if self._look_at(table, rules, now)]
        return bool(unfinished)

    def _look_at(self, table: Table, rules: Sequence[Rule], now: float) -> bool:
        if self._store.is_busy(table):
            return True
        open_weeks = self._store.open_weeks(table)
        for portion in portions(rules):
            projects = {rule.project_id for rule in portion}
            condition = expired(portion, table, now)
            for week in self._store.weeks(table, condition) if condition else ():
                if self._remove(table, week, condition, projects):
                    # Of each table one week at a time.
                    return True
        for week, open_projects in open_weeks.items():
            # Nothing is left of them, or they are kept for longer now.
            portion = [rule for rule in rules if rule.project_id in open_projects]
            if self._remove(table, week, expired(portion, table, now), set(open_projects)):
                return True
        return False

    def _remove(self, table: Table, week: str, condition: str, projects: set[str]) -> bool:
        """Remove the rows of *condition* from *week*; return whether some have not left yet."""
        if not self._plan(table, week, condition, projects):
            return False
        # The worker must be the one that does it, and know the projects as they are now.
        self._lease.deadline()
        self._store.keep_positions(table, week, condition)
        failpoints.hit("kept")
        self._store.remove(table, week, condition)
        failpoints.hit("removed")
        if self._store.is_busy(table):
            return True
        return self._plan(table, week, condition, projects)

    def _plan(self, table: Table, week: str, condition: str, projects: set[str]) -> bool:
        """Record what is to be removed from *week*, and what has left; return whether something is to be removed."""
        counted = self._store.count(table, week, condition, projects)
        removals = planned(counted, self._store.removals(table, week, projects))
        self._store.record(table, week, removals)
        failpoints.hit("recorded")
        done = sum(each.rows for each in removals if each.is_done)
        if done:
            self._metrics.retention_removed_rows.labels(table.name).inc(done)
            log.info("%s: removed %d expired rows of the week %s", table.name, done, week)
        return not all(each.is_done for each in removals)

    def _log_failed(self, error: Exception) -> None:
        self._metrics.retention_failed.inc()
        if isinstance(error, LeaseEndedError | UnavailableError) and error.code is None:
            return  # The INSERTs log the outage.
        if self._outage.failed(monotonic(), type(error)) is None:
            return
        reason = summary(str(error)) if isinstance(error, ClickHouseError) else repr(error)
        log.warning("expired rows cannot be removed, retrying. The last error: %s", reason)


def retention_keeper(
    settings: ClickHouseSettings, projects: Projects, lease: Lease, metrics: WorkerMetrics
) -> RetentionKeeper:
    """Return the keeper of the retention of *projects* in the database of *settings*."""
    store = RetentionStore(ClickHouse(settings, answer_seconds=STATEMENT_SECONDS + 10))
    return RetentionKeeper(store, projects, lease, metrics)
