"""Carries out erasures beside the catalogue, in its thread: the sink that has partition 0 does it for all.

An erasure is *removing* until no query sees a row of it and no worker can write one, then *invisible*, and *proven*
once ClickHouse has removed the files that had the rows and Kafka the records of `persons.v1`. Each step can be
repeated; what is remembered between two looks only saves work. A failure is logged, counted and repeated.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import msgspec

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.codes import summary
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from processors.engine.metrics import WorkerMetrics
from processors.engine.project_follower import Projects
from processors.erasures.flow import Flow
from processors.erasures.kafka import NONE, Kafka, KafkaCluster, Left, Offsets
from processors.erasures.store import STATEMENT_SECONDS, ErasureStore, Owned, Row
from schemas.clickhouse import TABLES
from schemas.log_throttle import Outage
from schemas.settings import ClickHouseSettings, KafkaSettings
from schemas.topics import Topics

LOOK_SECONDS = 3.0
"""Pause between two looks after something has changed; then twice as long each time."""
LONGEST_SECONDS = 30.0
REMOVING, INVISIBLE, PROVEN = "removing", "invisible", "proven"
_LEAST_SEARCH_SECONDS = 5.0
_MOST_SEARCH_SECONDS = 3600.0
_SEARCH_SHARE = 0.01
"""Share of the time in which `persons.v1` is searched."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    """What this worker knows of an erasure."""

    flow: Flow
    is_removed: bool = False
    """Whether the rows that were there at first are being deleted."""
    written_until: int | None = None
    """When every part was written without the rows, in seconds since 1970 by the server's clock."""
    is_searched: bool = False
    """Whether `persons.v1` was searched since the rows are invisible."""
    left: Left = NONE
    clean_since: float | None = None
    """When the search began that found nothing."""


class ErasureKeeper:
    """Advances the erasures when it is time. For one thread."""

    def __init__(
        self, store: ErasureStore, kafka: Kafka, projects: Projects, metrics: WorkerMetrics, topics: Topics
    ) -> None:
        self._store = store
        self._kafka = kafka
        self._projects = projects
        self._metrics = metrics
        self._topics = topics
        self._outage = Outage()
        self._next = -math.inf
        self._pause = LOOK_SECONDS
        self._seen: list[tuple[str, str, bool]] = []
        """What was requested at the last look."""
        self._next_search = -math.inf
        self._work: dict[tuple[str, str], _Work] = {}
        self._cluster_id: str | None = None
        self._offsets: Offsets | None = None
        """What Kafka has said in this look."""

    def run(self, now: float) -> None:
        """Advance each erasure that is not proven, if it is time. Raises nothing."""
        requested = [(each.project_id, each.id, bool(each.erasure.identifies)) for each in self._requested()]
        if now < self._next and requested == self._seen:
            return
        self._pause = LOOK_SECONDS if requested != self._seen else min(2 * self._pause, LONGEST_SECONDS)
        self._seen = requested
        try:
            self.look()
        except Exception as error:  # noqa: BLE001  # whatever it is, the INSERTs continue
            self._log_failed(error)
        else:
            if self._outage.succeeded(monotonic()) is not None:
                log.info("erasures proceed again")
        self._next = monotonic() + self._pause

    def forget(self) -> None:
        """Know nothing, because another worker does it."""
        self._work.clear()
        self._next = -math.inf

    def look(self) -> None:
        """Advance each erasure that is not proven; raises the first error of any, last."""
        requested = list(self._requested())
        if not requested:
            return
        rows = self._store.rows()
        known = [(owned, rows.get((owned.project_id, owned.id), Row())) for owned in requested]
        open_ = [(owned, row) for owned, row in known if row.status != PROVEN]
        self._work = {key: work for key, work in self._work.items() if key in {(o.project_id, o.id) for o, _ in open_}}
        if not open_:
            return
        logs, self._offsets = self._store.logs(), None
        errors: list[Exception] = []
        for owned, row in open_:
            try:
                if row.status != INVISIBLE:
                    self._remove(owned, row, logs)
            except Exception as error:  # noqa: BLE001  # another erasure does not wait for this one
                errors.append(error)
        invisible = [(owned, row) for owned, row in open_ if row.status == INVISIBLE]
        if invisible:
            self._prove(invisible)
        if errors:
            raise errors[0]

    def _requested(self) -> Iterator[Owned]:
        table = self._projects.table
        for project_id, erasures in list(table.erasures.items()):
            project = table.projects.get(project_id)
            if project is not None and project.hash_key:
                for name, erasure in list(erasures.items()):
                    yield Owned(name, project_id, project.hash_key, erasure)

    def _work_of(self, owned: Owned) -> _Work:
        return self._work.setdefault((owned.project_id, owned.id), _Work(Flow(self._topics)))

    def _remove(self, owned: Owned, row: Row, logs: Mapping[int, str]) -> None:
        """Delete the rows that are there, and once no worker can write one any more, those that were on their way."""
        work, erasure = self._work_of(owned), owned.erasure
        if logs.get(erasure.log) != erasure.cluster_id:
            self._write(
                owned, row, REMOVING, "another erasure: its offsets are those of another Kafka. Request it again"
            )
            return
        if not work.is_removed:
            self._delete(owned)
            work.is_removed = True
        if waits_for := self._flow(owned, work):
            self._write(owned, row, REMOVING, waits_for)
            return
        if table := self._store.running():
            self._write(owned, row, REMOVING, f"ClickHouse, which deletes rows of {table}")
            return
        if found := self._delete(owned):
            self._write(owned, row, REMOVING, f"ClickHouse, which deletes {found} rows that were on their way")
            return
        now, removed = self._store.now(), self._store.removed(owned.id)
        forget = self._kafka.forget_seconds()
        forget_at = None if forget is None else now + round(1000 * forget)
        invisible = msgspec.structs.replace(row, invisible_at=now, topics_forget_at=forget_at, rows=removed)
        self._write(owned, invisible, INVISIBLE, "ClickHouse, which writes the parts without the rows")
        log.info("erasure %s of project %s: no query sees its rows", owned.id, owned.project_id)

    def _delete(self, owned: Owned) -> int:
        return sum(self._store.remove(owned, table) for table in TABLES)

    def _flow(self, owned: Owned, work: _Work) -> str:
        if self._cluster_id is None:
            self._cluster_id = self._kafka.cluster_id()
        if owned.erasure.cluster_id != self._cluster_id:
            return ""  # Nobody writes rows of that log any more.
        if self._offsets is None:
            self._offsets = self._kafka.offsets()
        return work.flow.waits_for(owned.erasure, *self._offsets)

    def _prove(self, invisible: Sequence[tuple[Owned, Row]]) -> None:
        """Let ClickHouse write its parts without the rows, and find what files and records are left."""
        writing = self._store.running() or ", ".join(self._store.apply_masks())
        now = self._store.now()
        works = [self._work_of(owned) for owned, _ in invisible]
        for work in works:
            if work.written_until is None and not writing:
                work.written_until = now // 1000
        if all(work.written_until is not None for work in works):
            self._search([owned for owned, _ in invisible])
        old_parts = {until: self._store.old_parts(until) for until in {work.written_until for work in works} if until}
        for owned, row in invisible:
            work = self._work_of(owned)
            if work.written_until is None:
                waits_for = f"ClickHouse, which writes parts of {writing} without the rows"
            elif count := old_parts[work.written_until]:
                waits_for = f"ClickHouse, which removes the files of old parts: {count}"
            elif not work.is_searched:
                waits_for = "a search of persons.v1"
            elif work.clean_since is None:
                waits_for = (
                    f"Kafka, which compacts persons.v1: {work.left.states} states and {work.left.tombstones} tombstones"
                    " of the users"
                )
            elif monotonic() < work.clean_since + self._kafka.delete_seconds():
                waits_for = "Kafka, which deletes the files of persons.v1 that it has compacted"
            else:
                proven = msgspec.structs.replace(row, proven_at=now, rows=self._store.removed(owned.id))
                self._write(owned, proven, PROVEN, "")
                log.info("erasure %s of project %s: nothing is left", owned.id, owned.project_id)
                continue
            self._write(owned, row, INVISIBLE, waits_for)

    def _search(self, invisible: Sequence[Owned]) -> None:
        """Search `persons.v1` if it is time: the longer it takes, the less often."""
        works = {owned.id: self._work_of(owned) for owned in invisible}
        began = monotonic()
        if began < self._next_search or all(work.clean_since is not None for work in works.values()):
            return
        left = self._kafka.left(invisible)
        for name, work in works.items():
            work.is_searched, work.left = True, left.get(name, NONE)
            work.clean_since = (work.clean_since or began) if work.left == NONE else None
        took = monotonic() - began
        self._next_search = began + min(max(took / _SEARCH_SHARE, _LEAST_SEARCH_SECONDS), _MOST_SEARCH_SECONDS)

    def _write(self, owned: Owned, row: Row, status: str, waits_for: str) -> None:
        after = msgspec.structs.replace(row, status=status, waits_for=waits_for)
        if after != row or not row.status:
            self._store.write(owned, after)
            self._pause = LOOK_SECONDS

    def _log_failed(self, error: Exception) -> None:
        self._metrics.erasures_failed.inc()
        if isinstance(error, UnavailableError) and error.code is None:
            return  # The INSERTs log the outage.
        if self._outage.failed(monotonic(), type(error)) is None:
            return
        reason = summary(str(error)) if isinstance(error, ClickHouseError) else repr(error)
        log.warning("erasures cannot proceed, retrying. The last error: %s", reason)


def erasure_keeper(
    clickhouse: ClickHouseSettings, kafka: KafkaSettings, projects: Projects, metrics: WorkerMetrics
) -> ErasureKeeper:
    """Return the keeper of the erasures in the database of *clickhouse*."""
    store = ErasureStore(ClickHouse(clickhouse, answer_seconds=STATEMENT_SECONDS + 10))
    return ErasureKeeper(store, KafkaCluster(kafka), projects, metrics, Topics(kafka.topic_prefix))
