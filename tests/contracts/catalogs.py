"""Catalogues under test, and rows for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from processors.clickhouse.client import ClickHouse
from processors.sink.catalog_counter import Counter, Done
from processors.sink.catalog_statement import SOURCES
from processors.sink.catalog_store import CatalogStore
from processors.sink.insert import ClickHouseSink
from processors.sink.lease import Lease
from processors.sink.rows import Block, item_rows
from processors.sink.rows import Row as TableRow
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import valid_lease
from tests.fakes.catalog import FaultyCatalog
from tests.support.catalog_model import Entry, Row
from tests.support.records import event_read, track

OF_EVENTS = SOURCES[0]


@dataclass
class CatalogCase:
    """A catalogue, its table `events`, and what people read of it."""

    store: CatalogStore
    write: Callable[[Sequence[Row]], None]
    """Writes rows, whose source offsets grow by partition."""
    read: Callable[[], Mapping[Entry, int]]
    merge: Callable[[], None]
    reset: Callable[[], None]
    """Removes all rows and counts."""
    begin_generation: Callable[[], object]
    lose_last_pass: Callable[[], None]
    """Loses the rows of the first and only pass, as a restored table has, while the engine remembers its token."""


class Owner:
    """A worker that counts."""

    def __init__(self, case: CatalogCase, lease: Lease = valid_lease) -> None:
        self.store = FaultyCatalog(case.store)
        self.counter = Counter(OF_EVENTS, self.store, lease)  # type: ignore[arg-type]  # it passes calls on

    def count(self) -> Done | None:
        """Count once."""
        lag = self.counter.look()
        return self.counter.count(lag) if lag.ranges else None

    def finish(self) -> None:
        """Count until nothing is left, at most a hundred times."""
        for _ in range(100):
            lag = self.counter.look()
            if not lag.ranges:
                return
            self.counter.count(lag)
        raise AssertionError("rows are left after a hundred passes")


def write_events(clickhouse: ClickHouse, rows: Sequence[Row]) -> None:
    """Insert *rows* into `events`, a partition at a time."""
    sink = ClickHouseSink(clickhouse)
    by_partition: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        by_partition.setdefault((row.log, row.partition), []).append(row)
    for (log, partition), of_partition in by_partition.items():
        sink.insert([Block(EVENTS, partition, list(_event_rows(of_partition, log, partition)))], valid_lease)


def _event_rows(rows: Iterable[Row], log: int, partition: int) -> Iterator[TableRow]:
    for row in rows:
        item = track(
            f"m{log}-{partition}-{row.offset}", event=row.event, properties=msgspec.json.encode(row.properties)
        )
        item = msgspec.structs.replace(item, project_id=row.project)
        record = event_read(row.offset, item, source_offset=row.offset)
        yield from item_rows([record], log, partition).events


def read_catalog(clickhouse: ClickHouse, kind: str = "event") -> dict[Entry, int]:
    """Return the view `catalog`."""
    rows = clickhouse.query(
        "SELECT project_id, event, path, type, count FROM catalog WHERE kind = {kind:String}", {"kind": kind}
    )
    return {(row["project_id"], row["event"], row["path"], row["type"]): int(row["count"]) for row in rows}


def rows_of(*properties: dict[str, Any], first: int = 0, log: int = 1, event: str = "Viewed") -> list[Row]:
    return [Row(0, first + at, event, each, log=log) for at, each in enumerate(properties)]
