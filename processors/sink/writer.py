"""Writes blocks into ClickHouse, each exactly once.

The table itself is the output log: its rows carry `_partition` and `_origin`, and what exceeds the highest origin of
its partition is what is missing. One INSERT is one block for the engine, all or nothing: a run of one partition, or one
each of several. After an error that leaves open whether it happened, the sink waits until it surely runs no more, asks
again, and sends what is still missing, partition by partition. So does a worker that takes a partition over.

An INSERT carries its lease as a condition on the server's own clock, which counts when its rows are read. A worker that
was paused for so long that its partition has moved writes nothing, is told so, and ends. Nor does an INSERT write that
was held up on its way for longer than its sender waits for the answer: whoever has given one up knows that it will not
begin later.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from processors.clickhouse.client import ANSWER_SECONDS, ClickHouse, ServerClock
from processors.clickhouse.errors import LeaseLostError, TooLateError, UnavailableError
from processors.engine import failpoints
from processors.engine.stage import Lease
from processors.sink.rows import Block
from schemas.clickhouse import PERSONS, Table

CLOCK_SECONDS = 30.0
"""How long a reading of the server's clock is used; no two clocks part noticeably within it."""
LEASE_MARGIN_SECONDS = 1.0
SETTLE_SECONDS = 5.0
"""How long one call waits for an INSERT that runs on; whoever needs to wait longer calls again."""

_SETTINGS = {
    # Acknowledged means written.
    "async_insert": 0,
    "wait_end_of_query": 1,
    # One INSERT, one block, one part: all or nothing.
    "max_insert_block_size": 1_000_000,
    "min_insert_block_size_rows": 1_000_000,
    "min_insert_block_size_bytes": 1 << 30,
    "max_insert_threads": 1,
    "date_time_input_format": "best_effort",
    # Text stays text, also where it looks like a date.
    "input_format_try_infer_dates": 0,
    "input_format_try_infer_datetimes": 0,
    # `[true, 1]` holds a truth and a number.
    "input_format_json_read_bools_as_numbers": 0,
    # `{"a": {"b": 1}, "a.b": 2}` says two things of one path; the first one counts.
    "type_json_skip_duplicated_paths": 1,
}


class Sink(Protocol):
    """Where blocks go. The fake and the real one pass the same contract suite."""

    def positions(self, table: Table, partitions: Iterable[int]) -> dict[int, int]:
        """Return the highest origin that *table* has of each partition; none where it has no rows."""

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Write all of *blocks*, which are of one table and month and each of another partition, or raise.

        `UnavailableError` leaves open whether all of them are there or none; after any other error none is.
        """

    def settle(self, table: Table, partitions: Iterable[int]) -> None:
        """Return when no INSERT into *table* from *partitions* runs; `UnavailableError` if one runs on."""


class ClickHouseSink:
    """The real sink. Its methods block."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._clock: ServerClock | None = None

    def positions(self, table: Table, partitions: Iterable[int]) -> dict[int, int]:
        """Return the highest origin that *table* has of each partition; none where it has no rows."""
        rows = self._clickhouse.query(
            f"SELECT _partition, max(_origin) AS origin FROM {table.name}"  # noqa: S608  # the name is our own
            " WHERE has({partitions:Array(UInt32)}, _partition) GROUP BY _partition",
            {"partitions": sorted(partitions)},
        )
        return {int(row["_partition"]): int(row["origin"]) for row in rows}

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Write all of *blocks* or raise."""
        table = blocks[0].table
        names = ", ".join(name for name, _ in table.columns)
        structure = ", ".join(f"{name} {kind}" for name, kind in table.columns).replace("'", "\\'")
        # A filter would leave out only the rows that are reached after the lease's end; an error leaves out all.
        in_time = f"throwIf(nowInBlock64(3) >= toDateTime64('{self._ends(lease):.3f}', 3), 'too late') = 0"
        token = ",".join(_token(block) for block in blocks)
        settings = {
            **_SETTINGS,
            "insert_deduplication_token": token,
            # An item's row is written once because it is sent once: the engine shall not tidy up behind the sink.
            # Of a person's states in a block the last one is enough.
            "optimize_on_insert": int(table is PERSONS),
        }
        try:
            written = self._clickhouse.execute(
                f"INSERT INTO {table.name} ({names}) SELECT {names} FROM input('{structure}')"  # noqa: S608
                f" WHERE {in_time} FORMAT JSONCompactEachRow",
                b"".join([block.encode() for block in blocks]),
                settings,
            )
        except TooLateError as error:
            if self._are_there(blocks):
                return
            nothing = f"nothing was written of {token}"
            if time.monotonic() < lease() - LEASE_MARGIN_SECONDS:
                raise UnavailableError(f"{nothing}: it took too long to get there") from error
            raise LeaseLostError(f"{nothing}: the lease had ended") from error
        failpoints.hit("inserted")
        rows = sum(len(block.rows) for block in blocks)
        if written != rows and not self._are_there(blocks):
            raise UnavailableError(f"{written} of {rows} rows were written of {token}")

    def settle(self, table: Table, partitions: Iterable[int]) -> None:
        """Return when no INSERT into *table* from *partitions* runs; `UnavailableError` if one runs on."""
        running = (
            "SELECT DISTINCT Settings['insert_deduplication_token'] AS token FROM system.processes"
            " WHERE arrayExists(prefix -> position(',' || token, prefix) > 0, {prefixes:Array(String)})"
        )
        prefixes = [f",{_token_prefix(table, partition)}" for partition in partitions]
        deadline = time.monotonic() + SETTLE_SECONDS
        while tokens := self._clickhouse.query(running, {"prefixes": prefixes}):
            if time.monotonic() > deadline:
                raise UnavailableError(f"an INSERT runs on and on: {tokens[0]['token']}")
            time.sleep(0.1)

    def _are_there(self, blocks: Sequence[Block]) -> bool:
        positions = self.positions(blocks[0].table, [block.partition for block in blocks])
        return all(positions.get(block.partition, -1) >= block.last for block in blocks)

    def _ends(self, lease: Lease) -> float:
        """Return when the INSERT may no longer write, in seconds since 1970 by the server's clock."""
        now = time.monotonic()
        if self._clock is None or now - self._clock.monotonic > CLOCK_SECONDS:
            self._clock = self._clickhouse.clock()
        return self._clock.at(min(lease() - LEASE_MARGIN_SECONDS, time.monotonic() + ANSWER_SECONDS))


class BlockWriter:
    """Writes blocks in order and knows how far each table is filled."""

    def __init__(self, sink: Sink, lease: Lease) -> None:
        self._sink = sink
        self._lease = lease
        self._positions: dict[tuple[str, int], int] = {}

    def learn(self, table: Table, partitions: Iterable[int]) -> dict[int, int]:
        """Ask how far *table* is filled and return the highest origin of each partition, -1 where it has none."""
        wanted = list(partitions)
        self._sink.settle(table, wanted)
        known = self._sink.positions(table, wanted)
        for partition in wanted:
            self._positions[table.name, partition] = known.get(partition, -1)
        return {partition: self._positions[table.name, partition] for partition in wanted}

    def position(self, table: Table, partition: int) -> int:
        """Return the highest origin of *partition* in *table* as far as is known here."""
        return self._positions[table.name, partition]

    def write(self, blocks: Sequence[Block]) -> None:
        """Write *blocks* as `Sink.insert` does; the positions move with them."""
        self._sink.insert(blocks, self._lease)
        for block in blocks:
            self._positions[block.table.name, block.partition] = block.last

    def skip(self, block: Block) -> None:
        """Move the position over *block*, which went elsewhere."""
        self._positions[block.table.name, block.partition] = block.last

    def recover(self, block: Block) -> None:
        """After an error that leaves open whether *block* was written: find out."""
        self.learn(block.table, [block.partition])


def _token(block: Block) -> str:
    return f"{_token_prefix(block.table, block.partition)}{block.first}-{block.last}"


def _token_prefix(table: Table, partition: int) -> str:
    return f"sequence:{table.name}:{partition}:"
