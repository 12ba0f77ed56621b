"""What a Faust app shows of itself: membership, recovery and assignment. All of it is asked in the main event loop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from processors.engine.partition_task import Backlog
from processors.engine.stage import Stage


class AppState:
    """The state of one `BatchApp`."""

    def __init__(self, app: Any) -> None:
        self._app = app

    @property
    def connected(self) -> bool:
        """Whether Kafka has answered and its topics are as expected."""
        return bool(self._app.connected)

    @property
    def stopping(self) -> bool:
        """Whether the worker is shutting down."""
        return bool(self._app.should_stop)

    @property
    def member(self) -> bool:
        """Whether the worker is a member of its consumer group, and no rebalance is in progress."""
        return bool(self._app.consumer_generation_id) and not self._app.rebalancing

    @property
    def recovering(self) -> bool:
        """Whether the worker recovers its local state."""
        return bool(self._app.in_recovery)

    @property
    def directory(self) -> Path:
        """The directory of the local state."""
        return Path(self._app.conf.datadir)

    @property
    def stages(self) -> Mapping[str, Stage]:
        """The stages, by input topic."""
        stages: Mapping[str, Stage] = self._app.runner.stages
        return stages

    def recovery(self) -> dict[TP, int]:
        """Return the records that each changelog partition has still to recover, all 0 after recovery."""
        remaining: Mapping[TP, int] = self._app.tables.recovery.active_remaining()
        # Afterwards the worker itself extends the changelog, which Faust does not follow.
        return {tp: max(0, records) if self.recovering else 0 for tp, records in remaining.items()}

    def assigned_inputs(self) -> set[TP]:
        """Return the input partitions that the group has assigned to this worker."""
        if not self._app.consumer_generation_id:
            return set()
        try:
            assignment: set[TP] = self._app.consumer.assignment()
        except ConsumerNotStarted:
            return set()
        return {tp for tp in assignment if tp.topic in self.stages}

    def backlogs(self) -> dict[TP, Backlog]:
        """Return what waits in each input partition that is being processed."""
        backlogs: dict[TP, Backlog] = self._app.runner.backlogs()
        return backlogs
