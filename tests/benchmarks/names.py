"""Names of properties: storage of JSON columns, from rows to parts, by the number of different names.

Every candidate is a table with the product's DDL except for the type and the storage of its JSON column, and gets the
rows of the product in INSERTs of the product. Merges run meanwhile. Each candidate has one round: CPU time is steady,
and some candidates take minutes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from time import monotonic, perf_counter

import aiohttp
import msgspec
import orjson

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from processors.clickhouse.migrate import read_migrations
from processors.sink.insert import ClickHouseSink
from processors.sink.null_keys import null_keys
from processors.sink.rows import Block, EventRow, IdentifyRow, Row
from schemas.clickhouse import EVENTS, IDENTIFIES, Table
from tests.benchmarks.cluster import BenchCluster, Namespace
from tests.benchmarks.errors import BenchError
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row as Result
from tests.benchmarks.results import Sample
from tests.benchmarks.usage import measured
from tests.contracts.sinks import valid_lease
from tests.support.table_ddl import added_columns

KINDS = 200
"""Different events, each with names of its own; with 60 names, several events have the same."""
NAMES_OF_AN_EVENT = 15
BLOCK_ROWS = 20_000
LIMIT_SECONDS = 90.0
"""Time after which a candidate gets no more rows."""
UNIT = "rows/s"
_JSON = "JSON(max_dynamic_paths=8)"


@dataclass(frozen=True, slots=True)
class Storage:
    """A way to store a JSON column: its type, and the settings of the table that differ from the product's."""

    name: str
    kind: str = _JSON
    settings: Mapping[str, str] = field(default_factory=dict)

    def ddl(self, table: Table) -> str:
        """Return the product's statement that creates *table*, with this storage."""
        statement = next(text for file in read_migrations() for text in file.statements if _creates(text, table))
        for name, value in self.settings.items():
            statement, found = re.subn(rf"\b{name} = ('[^']*'|\d+)", f"{name} = {value}", statement)
            if not found:
                statement = f"{statement}, {name} = {value}"
        if _JSON not in statement:
            raise BenchError(f"The table {table.name} has no column of the type {_JSON} any more.")
        return statement.replace(_JSON, self.kind)

    def table(self, table: Table) -> Table:
        """Return *table* with the type of this storage."""
        return replace(table, columns=tuple((name, kind.replace(_JSON, self.kind)) for name, kind in table.columns))

    def text(self, path: str) -> str:
        """Return the expression for *path* as text."""
        return f"JSONExtractString({_arguments(path)})" if self.kind == "String" else f"toString({path})"

    def number(self, path: str) -> str:
        """Return the expression for *path* as a number."""
        return (
            f"JSONExtractFloat({_arguments(path)})" if self.kind == "String" else f"toFloat64OrNull(toString({path}))"
        )


_DEFAULT = {"object_shared_data_serialization_version": "'advanced'", "min_bytes_for_wide_part": "10485760"}
STORAGES = (
    Storage("JSON, as ClickHouse's defaults are", "JSON", _DEFAULT),
    Storage("the product's: 8 paths, buckets, compact parts"),
    Storage("0 paths", "JSON(max_dynamic_paths=0)"),
    Storage("64 paths", "JSON(max_dynamic_paths=64)"),
    Storage("8 paths, advanced shared data", _JSON, {"object_shared_data_serialization_version": "'advanced'"}),
    Storage("8 paths, one map", _JSON, {"object_shared_data_serialization_version": "'map'"}),
    Storage("8 paths, wide parts from 10 MB", _JSON, {"min_bytes_for_wide_part": "10485760"}),
    Storage("text", "String"),
)
SHAPES = ("properties", "arrays", "traits")
"""Properties of events, arrays of objects in properties, and traits, which are sorted by user and not by event."""


class NamedRows:
    """Makes rows of *shape* whose JSON has *names* different names; a candidate gets the same rows as the others."""

    def __init__(self, shape: str, names: int) -> None:
        self.shape = shape
        self._chance = Random(7)  # reproducible load, not a secret
        own = max(NAMES_OF_AN_EVENT, names // KINDS)
        self._names = [[f"name_{(kind * own + at) % names}" for at in range(own)] for kind in range(KINDS)]

    def blocks(self, table: Table, rows: int) -> Iterator[Block]:
        """Yield blocks of *table* with *rows* rows in all, by growing source offset."""
        for first in range(0, rows, BLOCK_ROWS):
            yield Block(table, 0, [self._row(offset) for offset in range(first, min(rows, first + BLOCK_ROWS))])

    def _row(self, offset: int) -> Row:
        kind = self._chance.randrange(KINDS)
        value = msgspec.Raw(orjson.dumps(self._object(kind)))
        common = (
            "bench", f"m-{offset:012d}", f"user-{self._chance.randrange(50_000)}", "2026-01-31T12:00:00.000000Z",
            "2026-01-31T12:00:01.000000Z", None, None, None, "{}", "{}", (), "", 1, 0, offset,
        )  # fmt: skip
        if self.shape == "traits":
            return IdentifyRow(*common, value, null_keys(value))
        return EventRow(*common, f"Event {kind}", value, null_keys(value))

    def _object(self, kind: int) -> dict[str, object]:
        said: dict[str, object]
        if self.shape == "arrays":
            said = {"items": [self._members(kind, 5) for _ in range(3)]}
        else:
            said = {**self._members(kind, NAMES_OF_AN_EVENT)}
        return said | {
            "price": round(self._chance.random() * 100, 2),
            "plan": self._chance.choice(("free", "pro", "team")),
        }

    def _members(self, kind: int, count: int) -> dict[str, object]:
        return {name: self._value(name) for name in self._chance.sample(self._names[kind], count)}

    def _value(self, name: str) -> object:
        chance = self._chance
        values = (
            chance.randrange(1_000_000), chance.random() * 1_000, f"value {chance.randrange(99)}", chance.random() < 0.5
        )  # fmt: skip
        return values[int(name[5:]) % 4]


@dataclass(frozen=True, slots=True)
class Trial:
    """One storage in one database with rows of one shape."""

    namespace: Namespace
    storage: Storage
    made: NamedRows

    async def measure(self, rows: int) -> Sample:
        """Insert *rows* rows, merge all parts, and ask; the value is the rate of INSERTs without making the rows."""
        base = IDENTIFIES if self.made.shape == "traits" else EVENTS
        settings = self.namespace.services.clickhouse_settings
        await execute(self.namespace, f"CREATE DATABASE IF NOT EXISTS {settings.database}", database="default")
        await execute(self.namespace, f"DROP TABLE IF EXISTS {base.name} SYNC")
        for statement in (self.storage.ddl(base), *added_columns(base.name)):
            await execute(self.namespace, statement)
        client = ClickHouse(settings)
        try:
            return await self._measured(base, client, rows)
        finally:
            await asyncio.to_thread(client.close)
            await execute(self.namespace, f"DROP TABLE IF EXISTS {base.name} SYNC")

    async def _measured(self, base: Table, client: ClickHouse, rows: int) -> Sample:
        pids = {"clickhouse": self.namespace.cluster.pids()["clickhouse"]}
        async with measured(pids) as inserts:
            written, seconds, refused = await self._fill(self.storage.table(base), ClickHouseSink(client), rows)
        more = {"refused": float(refused)}
        peak = dict(inserts.peak_mib)
        if written:
            async with measured(pids) as merges:
                began = perf_counter()
                with suppress(BenchError):
                    await execute(self.namespace, f"OPTIMIZE TABLE {base.name} FINAL")
                more["merge s"] = perf_counter() - began
            more["merge CPU"] = merges.per_million(written)["clickhouse"]
            peak["merge"] = merges.peak_mib["clickhouse"]
            more |= await self._storage(base) | await self._queries(base)
        rate = written / seconds if seconds else 0.0
        return Sample(rate, inserts.per_million(written), peak, more)

    async def _fill(self, table: Table, sink: ClickHouseSink, rows: int) -> tuple[int, float, int]:
        """Return rows written, seconds of their INSERTs, and 1 if an INSERT failed, after which none is sent."""
        began, written, seconds = monotonic(), 0, 0.0
        for block in self.made.blocks(table, rows):
            if monotonic() - began > LIMIT_SECONDS:
                break
            start = perf_counter()
            try:
                await asyncio.to_thread(sink.insert, [block], valid_lease)
            except (ClickHouseError, UnavailableError):
                return written, seconds, 1
            seconds += perf_counter() - start
            written += len(block.rows)
        return written, seconds, 0

    async def _storage(self, table: Table) -> dict[str, float]:
        reply = await execute(
            self.namespace,
            "SELECT sum(bytes_on_disk) / 1e6, sum(files) FROM system.parts"  # noqa: S608  # the name is our own
            f" WHERE active AND database = currentDatabase() AND table = '{table.name}'",
        )
        disk, files = reply.split()
        return {"MB": float(disk), "files": float(files)}

    async def _queries(self, table: Table) -> dict[str, float]:
        """Return the best time of three of each query in milliseconds."""
        column = "traits" if self.made.shape == "traits" else "properties"
        number, text = self.storage.number, self.storage.text
        where = "" if column == "traits" else " WHERE event = 'Event 0'"
        queries = {
            "sum ms": f"sum({number(f'{column}.price')}) FROM {table.name}",
            "group ms": f"{text(f'{column}.plan')} AS plan, count() FROM {table.name} GROUP BY plan",
            "rare ms": f"sum({number(f'{column}.name_4')}) FROM {table.name}{where}",
        }
        return {name: min([await self._milliseconds(sql) for _ in range(3)]) for name, sql in queries.items()}

    async def _milliseconds(self, sql: str) -> float:
        began = perf_counter()
        await execute(self.namespace, f"SELECT {sql}")
        return (perf_counter() - began) * 1e3


async def execute(namespace: Namespace, sql: str, *, database: str = "") -> str:
    """Run *sql* in the database of *namespace* without a timeout and return the reply."""
    kept = namespace.services.clickhouse_settings
    headers = {"Authorization": aiohttp.encode_basic_auth(kept.username, kept.password)}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.post(kept.url, params={"database": database or kept.database}, data=sql.encode()) as response,
    ):
        text = await response.text()
        if response.status != 200:
            raise BenchError(f"{sql[:80].strip()} …: {text}")
        return text


async def compare(cluster: BenchCluster, plan: Plan) -> list[Result]:
    """Compare the storages with each number of names and each shape."""
    results = []
    async with cluster.namespace("names") as namespace:
        for names in plan.names:
            for shape in SHAPES:
                for storage in STORAGES:
                    sample = await Trial(namespace, storage, NamedRows(shape, names)).measure(plan.named_rows)
                    group = f"names: {shape}, {names:,}"
                    cluster.say(f"{group}: {storage.name}: {sample.value:,.0f} {UNIT} {dict(sample.more)}")
                    results.append(Result(group, storage.name, UNIT, [sample]))
    return results


def _arguments(path: str) -> str:
    """Return the arguments of a function that reads JSON text, for the *path* of a JSON column."""
    column, _, name = path.partition(".")
    return f"{column}, '{name}'"


def _creates(statement: str, table: Table) -> bool:
    return re.search(rf"^CREATE TABLE IF NOT EXISTS {table.name}$", statement, re.MULTILINE) is not None
