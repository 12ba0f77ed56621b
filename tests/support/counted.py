"""Counts the rows of a database into its catalogue and makes its typed views, as the sink does."""

from __future__ import annotations

from processors.clickhouse.client import ClickHouse
from processors.sink.catalog_counter import Counter
from processors.sink.catalog_statement import SOURCES
from processors.sink.catalog_store import ClickHouseCatalog
from processors.typed_views.refresh import Refreshed, ViewRefresher
from processors.typed_views.store import ViewStore
from tests.contracts.sinks import valid_lease


def count(client: ClickHouse) -> None:
    """Count every row that is not counted yet."""
    for source in SOURCES:
        counter = Counter(source, ClickHouseCatalog(client), valid_lease)
        while (lag := counter.look()).ranges:
            counter.count(lag)


def counted_events(client: ClickHouse) -> int:
    """Count every row, and return how many events the catalogue has."""
    count(client)
    [row] = client.query("SELECT sum(count) AS events FROM catalog WHERE kind = 'event' AND path = ''")
    return int(row["events"])


def make_views(client: ClickHouse) -> list[Refreshed]:
    """Count every row, and make the views of every project."""
    count(client)
    return ViewRefresher(ViewStore(client)).refresh()
