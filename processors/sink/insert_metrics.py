"""Measures the INSERTs into one table: time, rows, and how long ago the gateway received the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

from processors.clickhouse.codes import FaultKind
from processors.engine.metrics import WorkerMetrics
from processors.sink.insert import Sink
from processors.sink.lease import Lease
from processors.sink.row_ages import row_ages
from processors.sink.rows import Block
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, Table

_RECEIVED = (EVENTS, IDENTIFIES, DUPLICATES)
"""Tables whose rows have the time at which the gateway received the item."""


class InsertMetrics:
    """The metrics of the INSERTs into one table."""

    def __init__(self, table: Table, metrics: WorkerMetrics) -> None:
        self._has_ages = table in _RECEIVED
        self._table = table.name
        self._seconds = metrics.insert_seconds.labels(table.name)
        self._rows = metrics.insert_rows.labels(table.name)
        self._retries = {kind: metrics.insert_retries.labels(table.name, kind) for kind in FaultKind}
        self._halved = metrics.halved_blocks.labels(table.name)
        self._visible = metrics.visible_seconds

    def insert(self, sink: Sink, blocks: Sequence[Block], lease: Lease) -> None:
        """Insert *blocks* as `Sink.insert` does, and measure that. Blocks; any thread may call this."""
        began = time.monotonic()
        sink.insert(blocks, lease)
        self._seconds.observe(time.monotonic() - began)
        self._rows.observe(sum(len(block.rows) for block in blocks))
        if self._has_ages:
            received = [row.received_at for block in blocks for row in block.rows]  # type: ignore[union-attr]  # see `_RECEIVED`
            ages = row_ages(received, time.time_ns() // 1000, self._visible.metric.buckets)
            self._visible.add(self._table, ages.counts, ages.seconds)

    def count_retry(self, kind: FaultKind) -> None:
        """Count a failed INSERT that is repeated."""
        self._retries[kind].inc()

    def count_halved(self) -> None:
        """Count a block that is halved."""
        self._halved.inc()
