"""Functions on properties: num, str, bool and at against the subcolumn with a type, and against shorter bodies.

All read the same rows of the product's table, merged into one part, in turn. A property has values of several types, as
producers send them: prices are doubles, one in ten is an integer and one in a hundred text.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from processors.clickhouse.migrate import migrate
from tests.benchmarks.cluster import BenchCluster, Namespace
from tests.benchmarks.names import execute
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.usage import measured

UNIT = "rows/s"
QUERIES = {
    "sum of a number": {
        "properties.price.:Float64, which misses integers and text": "sum(properties.price.:Float64)",
        "num": "sum(num(properties.price))",
        "through text": "sum(toFloat64OrNull(toString(properties.price)))",
        "accurateCastOrNull, NULL beyond 2^53": "sum(accurateCastOrNull(properties.price, 'Float64'))",
        "JSONExtract": "sum(JSONExtract(toJSONString(properties.price), 'Nullable(Float64)'))",
    },
    "different texts": {
        "properties.plan.:String": "uniq(properties.plan.:String)",
        "str": "uniq(str(properties.plan))",
        "toString, empty for NULL": "uniq(toString(properties.plan))",
    },
    "sum of booleans": {
        "properties.first.:Bool": "sum(properties.first.:Bool)",
        "bool": "sum(bool(properties.first))",
    },
    "latest date": {
        "toDate(properties.day.:String)": "max(toDate(properties.day.:String))",
        "at": "max(at(properties.day))",
    },
    "count of a comparison": {
        "properties.price.:Float64": "countIf(properties.price.:Float64 > 100)",
        "a bare property": "countIf(properties.price > 100)",
    },
}
"""Expressions by group and candidate; the first one of a group is what the others are compared with."""
_ROWS = """\
INSERT INTO events (project_id, event, user_id, message_id, timestamp, received_at, properties, _origin)
SELECT 'bench', 'Order Completed', toString(number % 100000), toString(number), toDateTime(1767225600 + number),
    '2026-01-31 12:00:00',
    concat(
        '{{"price":', multiIf(
            number % 10 = 0, toString(number % 500), number % 100 = 1, concat('"', toString(number % 300), '.5"'),
            toString(round(number % 50000 / 100 + 0.01, 2))),
        ',"plan":"', ['free', 'pro', 'team'][number % 3 + 1], '","first":', if(number % 5 = 0, 'true', 'false'),
        ',"day":"2026-01-', leftPad(toString(number % 28 + 1), 2, '0'), '","n', toString(number % 20), '":1}}'),
    number
FROM numbers({rows})
SETTINGS max_insert_block_size = 200000, min_insert_block_size_rows = 200000"""


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Ask every query of a group in turn, `plan.rounds` times."""
    async with cluster.namespace("functions") as namespace:
        await asyncio.to_thread(migrate, namespace.services.clickhouse_settings)
        await execute(namespace, _ROWS.format(rows=plan.queried_rows))
        await execute(namespace, "OPTIMIZE TABLE events FINAL")
        rows = []
        for group, candidates in QUERIES.items():
            samples: dict[str, list[Sample]] = {name: [] for name in candidates}
            for _ in range(plan.rounds):
                for name, expression in candidates.items():
                    samples[name].append(await _ask(namespace, expression, plan.queried_rows))
            for name, found in samples.items():
                row = Row(f"functions: {group}", name, UNIT, found)
                cluster.say(f"{row.group}: {name}: {row.value:,.0f} {UNIT}")
                rows.append(row)
        return rows


async def _ask(namespace: Namespace, expression: str, rows: int) -> Sample:
    """Return the rate of one query in one thread, as its caller sees it."""
    async with measured({"clickhouse": namespace.cluster.pids()["clickhouse"]}) as usage:
        began = perf_counter()
        await execute(namespace, f"SELECT {expression} FROM events SETTINGS max_threads = 1")  # noqa: S608  # our own
        seconds = perf_counter() - began
    return Sample(rows / seconds, usage.per_million(rows))
