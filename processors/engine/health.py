"""Whether a worker is ready: connected to Kafka, with its partitions assigned and recovered, and not stalled.

Stalled is a batch that takes longer than *stall_seconds*, whether ClickHouse is away or the worker is slow. The reason
is a sentence for a person.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from time import monotonic

from faust.types import TP

from processors.engine.app_state import AppState


@dataclass(frozen=True, slots=True)
class Unready:
    """Why a worker is not ready."""

    status: str
    """`connecting`, `joining`, `recovering`, `assigning`, `stalled` or `stopping`."""
    message: str


class Health:
    """Tells whether a worker is ready."""

    def __init__(self, worker: AppState, stall_seconds: float) -> None:
        self._worker = worker
        self._stall_seconds = stall_seconds

    def unready(self) -> Unready | None:
        """Return why the worker is not ready, None if it is."""
        worker = self._worker
        if worker.stopping:
            return Unready("stopping", "The worker is shutting down.")
        if not worker.connected:
            return Unready("connecting", "Kafka has not answered yet.")
        if worker.recovering:
            records = sum(worker.recovery().values())
            return Unready("recovering", f"The worker is recovering its local state: {records} records remain.")
        if not worker.member:
            return Unready("joining", "The worker is joining its consumer group.")
        return self._unassigned() or self._stalled()

    def _unassigned(self) -> Unready | None:
        backlogs = self._worker.backlogs()
        missing = [tp for tp in self._worker.assigned_inputs() if tp not in backlogs]
        unknown = [tp for tp, backlog in backlogs.items() if not backlog.ready]
        if not missing and not unknown:
            return None
        listed = _listed([*missing, *unknown])
        return Unready("assigning", f"It is not known yet where these partitions start: {listed}.")

    def _stalled(self) -> Unready | None:
        now = monotonic()
        since = {
            tp: now - backlog.batch_started
            for tp, backlog in self._worker.backlogs().items()
            if backlog.batch_started is not None and now - backlog.batch_started >= self._stall_seconds
        }
        if not since:
            return None
        seconds = max(since.values())
        return Unready("stalled", f"Batches have been in process for up to {seconds:.0f} s: {_listed(since)}.")


def _listed(tps: Collection[TP]) -> str:
    return ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(tps))
