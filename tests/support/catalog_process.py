"""A process that counts events into the catalogue until it is killed: `python -m tests.support.catalog_process URL`.

It prints a line before each pass. With `split`, which the product cannot do, it stores the counts and the positions of
a pass in two statements, and waits for ever between them.
"""

from __future__ import annotations

import sys
import threading

from processors.clickhouse.client import ClickHouse
from processors.sink import catalog_statement as statement
from processors.sink.catalog_counter import Counter
from processors.sink.catalog_statement import SOURCES, Pass
from processors.sink.catalog_store import ClickHouseCatalog, Work
from tests.contracts.sinks import valid_lease
from tests.support import services


class NotedCatalog(ClickHouseCatalog):
    """A catalogue that prints what it does."""

    def count(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Print a line, and store a pass."""
        print("pass", counted.number, flush=True)  # noqa: T201  # the test reads it
        return super().count(counted, deadline, suffix)


class SplitCatalog(ClickHouseCatalog):
    """A catalogue that stores a pass in two statements."""

    def count(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store the counts of a pass, and not its positions."""
        rows = statement.rows_of(counted.ranges)
        work = self._insert(
            f"INSERT INTO catalog_counts ({statement._COLUMNS}) {statement._counts(counted, rows)}",
            counted.token + suffix + ":counts",
        )
        del deadline
        print("between", counted.number, flush=True)  # noqa: T201  # the test reads it
        threading.Event().wait()
        return work


def main() -> None:
    """Count until the process is killed."""
    clickhouse = ClickHouse(services.clickhouse_settings(sys.argv[1], sys.argv[2]))
    store = (SplitCatalog if "split" in sys.argv else NotedCatalog)(clickhouse)
    counter = Counter(SOURCES[0], store, valid_lease)
    while True:
        lag = counter.look()
        if lag.ranges:
            counter.count(lag)


if __name__ == "__main__":
    main()
