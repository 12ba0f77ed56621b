"""The cookbook: each query of docs/cookbook.md on typed views, and the same query on tables with typed columns.

The tables are made by hand, with the rows of the views. Both give the same answers, which is checked first; then they
are asked in turn: first with the storage of properties that is the default, then with properties by name. The rows are
made inside ClickHouse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

from deploy.demo.declarations import declare
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from schemas.clickhouse.analyst import READING
from tests.benchmarks.cluster import BenchCluster, Namespace
from tests.benchmarks.errors import BenchError
from tests.benchmarks.names import execute
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.support.cookbook_page import PAGE, queries
from tests.support.counted import make_views

UNIT = "ms"
EVENTS_OF_A_USER = 70
TABLE, VIEW = "typed table", "typed view"
LOAD_SECONDS = 3600.0
"""Longest time of one statement while the tables are filled."""
_BY_NAME = "ALTER TABLE events MODIFY SETTING object_shared_data_serialization_version = 'advanced'"
"""See docs/views.md, Faster properties."""
_READS_JSON = "properties."
"""A query that reads the JSON itself, which typed tables do not have."""
_COUNTERPARTS: Mapping[str, str] = {
    "Which products sell best?": """\
SELECT product.sku AS sku, count() AS orders, sum(product.quantity) AS sold,
    round(sum(product.price * product.quantity), 2) AS revenue
FROM sequence_demo.order_completed
ARRAY JOIN products AS product
GROUP BY sku
ORDER BY revenue DESC, sku
LIMIT 5
"""
}
"""The same question on typed tables, for queries that read the JSON."""


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Ask every question of views and of tables in turn, `plan.rounds` times, with each storage of properties."""
    async with cluster.namespace("cookbook") as namespace:
        base = namespace.services.clickhouse_settings.database
        await _fill(namespace, base, plan.cookbook_events)
        rows = await _asked(namespace, base, "cookbook", plan.rounds)
        await execute(namespace, _BY_NAME)
        await execute(namespace, "OPTIMIZE TABLE events FINAL")
        return rows + await _asked(namespace, base, "cookbook, properties by name", plan.rounds)


async def _asked(namespace: Namespace, base: str, group: str, rounds: int) -> list[Row]:
    rows = []
    for question, sql in queries(PAGE.read_text(encoding="utf-8")).items():
        on_tables = sql if _READS_JSON not in sql else _COUNTERPARTS.get(question)
        if on_tables is not None:
            rows += await _of_question(namespace, f"{group}: {question}", _on(base, on_tables, sql), rounds)
    ratios = [view.value / table.value for table, view in zip(rows[::2], rows[1::2], strict=True)]
    namespace.cluster.say(f"{group}: view / table: median {median(ratios):.2f}, highest {max(ratios):.2f}")
    return rows


def _on(base: str, on_tables: str, on_views: str) -> Mapping[str, str]:
    """Return the statements in the databases of the comparison."""
    return {
        TABLE: on_tables.replace("sequence_demo.", f"{base}_typed."),
        VIEW: on_views.replace("sequence_demo.", f"{base}_demo.").replace("sequence.", f"{base}."),
    }


async def _fill(namespace: Namespace, base: str, events: int) -> None:
    await asyncio.to_thread(migrate, namespace.services.clickhouse_settings)
    users = max(1, events // EVENTS_OF_A_USER)
    for statement in _statements("cookbook_rows.sql", {":events": str(events), ":users": str(users)}):
        await execute(namespace, statement)
    for table in ("events", "identifies", "person_states"):
        await execute(namespace, f"OPTIMIZE TABLE {table} FINAL")
    await asyncio.to_thread(_make_views, namespace)
    names = {"typed.": f"{base}_typed.", "DATABASE typed": f"DATABASE {base}_typed", "views.": f"{base}_demo."}
    for statement in _statements("cookbook_tables.sql", names):
        await execute(namespace, statement)


def _statements(file: str, values: Mapping[str, str]) -> Iterator[str]:
    """Yield the statements of *file* with *values* in place of their names."""
    for statement in Path(__file__).with_name(file).read_text(encoding="utf-8").split(";\n"):
        for name, value in values.items():
            statement = statement.replace(name, value)  # noqa: PLW2901  # one name after the other
        yield statement


def _make_views(namespace: Namespace) -> None:
    client = ClickHouse(namespace.services.clickhouse_settings, answer_seconds=LOAD_SECONDS)
    try:
        make_views(client)
        declare(client, "demo")
    finally:
        client.close()


async def _of_question(namespace: Namespace, title: str, on: Mapping[str, str], rounds: int) -> list[Row]:
    answers = {name: await _ask(namespace, sql) for name, sql in on.items()}
    if answers[TABLE] != answers[VIEW]:
        raise BenchError(f"{title} The table and the view answer differently:\n{answers[TABLE]}\n{answers[VIEW]}")
    samples: dict[str, list[Sample]] = {name: [] for name in on}
    for _ in range(rounds):
        for name, sql in on.items():
            began = perf_counter()
            await _ask(namespace, sql)
            samples[name].append(Sample((perf_counter() - began) * 1000))
    rows = [Row(title, name, UNIT, of) for name, of in samples.items()]
    namespace.cluster.say(f"{rows[1].value / rows[0].value:.2f} x {rows[0].value:,.0f} ms: {title}")
    return rows


async def _ask(namespace: Namespace, sql: str) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in READING.items())
    return await execute(namespace, f"{sql} SETTINGS {settings}")
