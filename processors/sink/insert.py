"""The INSERT: writes blocks into ClickHouse as a whole or not at all, and only while the lease is valid.

Every INSERT carries a deadline as a condition on the server's own clock, evaluated when its rows are read: see
`processors.sink.lease`. A worker that was paused until its partition had moved writes nothing and gets an error. An
INSERT that arrives after its sender's timeout writes nothing either: a sender that has given up knows that the INSERT
will not begin later.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from threading import Lock
from typing import Protocol

import msgspec

from processors.clickhouse import replicas
from processors.clickhouse.client import ANSWER_SECONDS, DEADLINE_PASSED, ClickHouse
from processors.clickhouse.errors import LeaseEndedError, TooLateError, UnavailableError
from processors.engine import failpoints
from processors.sink.erased import LeftOut
from processors.sink.lease import Lease
from processors.sink.positions import OF_THE_LAST_ROW, PositionReason, position_of
from processors.sink.rows import Block
from schemas.clickhouse import PERSONS, Table
from schemas.retention import WEEK_KEY

RUNNING_INSERT_SECONDS = 5.0
"""How long one call waits for a running INSERT; callers that must wait longer call again."""

_SETTINGS = {
    # Acknowledged means written.
    "async_insert": 0,
    "wait_end_of_query": 1,
    # One INSERT, one block, one part: all or nothing.
    "max_insert_block_size": 1_000_000,
    "min_insert_block_size_rows": 1_000_000,
    "min_insert_block_size_bytes": 1 << 30,
    "max_insert_threads": 1,
    # A view that fails loses these rows; the table and the other views have them. `ViewCheck` finds the view.
    "materialized_views_ignore_errors": 1,
    # Twice what the most expensive block of `BLOCK_BYTES` took of eleven shapes (names that are UUIDs: 0.5 GB). Without
    # a limit, one block could take the memory of the server.
    "max_memory_usage": 1 << 30,
    # The server gives up before the sink does.
    "max_execution_time": ANSWER_SECONDS - 1,
    "date_time_input_format": "best_effort",
    # Strings that look like dates stay strings.
    "input_format_try_infer_dates": 0,
    "input_format_try_infer_datetimes": 0,
    # `[true, 1]` and `[true, "x"]` keep the boolean.
    "input_format_json_read_bools_as_numbers": 0,
    "input_format_json_read_bools_as_strings": 0,
    # `{"a.b": 1}` keeps its name: the path is `a%2Eb`, and `a.b` is the path of `{"a": {"b": 1}}`.
    "json_type_escape_dots_in_keys": 1,
    # Of `{"a": 1, "a": 2}` the first value is stored. Otherwise the row would be rejected.
    "type_json_skip_duplicated_paths": 1,
}

_encode_lines = msgspec.json.Encoder().encode_lines
_REFILL = "sequence refill "
"""Beginning of the comment by which INSERTs of `insert_missing` are found."""


class Sink(Protocol):
    """Destination of blocks. The fake and the real sink pass the same contract suite. Methods block."""

    def positions(self, table: Table, log: int, partitions: Iterable[int]) -> dict[int, int]:
        """Return the position in *table* of each partition of *log* that has one.

        It is the highest source offset among the rows, or what was noted if that is higher.
        """

    def progress(self, table: Table, log: int) -> int:
        """Return a number that grows with the source offsets of *log* in *table*, whichever worker writes them."""

    def note_position(self, table: Table, log: int, partition: int, position: int, reason: PositionReason) -> None:
        """Note that every row of *partition* up to *position* is written, rejected or removed on purpose.

        Repeating it changes nothing, and a lower *position* never lowers one. A note about a row that was rejected or
        left out counts while the table has the rows before it: if these are lost, they are missing.
        """

    def note_removed(self, table: Table, rows: Sequence[LeftOut]) -> None:
        """List *rows* of *table* as removed on purpose. Repeating it changes nothing."""

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Write all of *blocks*, which are of one table and week and of different partitions, or raise.

        After an error, whatever it says, each block is written or not: only `positions` tells.
        """

    def try_table(self, table: Table) -> None:
        """Insert no rows into *table*, or raise: columns, grants and quotas are checked."""

    def try_rows(self, block: Block) -> None:
        """Parse the rows of *block* and write nothing; `RejectedRowsError` if a value cannot be parsed."""

    def renew_tokens(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        """Use new deduplication tokens for *partitions* of *log* from now on.

        Rows that were written once may have been deleted since: with the old token ClickHouse would drop them.
        """

    def wait_for_running_inserts(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        """Return when no INSERT into *table* from *partitions* of *log* is running.

        Raises `UnavailableError` if one does not end.
        """


class ClickHouseSink:
    """The sink on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._token_suffixes: dict[tuple[str, int, int], str] = {}
        self._turns: defaultdict[str, Lock] = defaultdict(Lock)  # replicas refuse INSERTs that wait side by side

    def positions(self, table: Table, log: int, partitions: Iterable[int]) -> dict[int, int]:
        """Return the position in *table* of each partition of *log*, from a server that has all rows."""
        server = replicas.check_complete(self._clickhouse, table.name, "_positions")
        of_partitions = "_log = {log:UInt16} AND has({partitions:Array(UInt32)}, _partition)"
        found = self._clickhouse.query(
            "SELECT _partition, max(_origin) AS position, toInt64(-1) AS after, 0 AS is_note"  # noqa: S608  # the name is our own
            f" FROM {table.name} WHERE {of_partitions} GROUP BY _partition"
            " UNION ALL SELECT _partition, position, after, 1 AS is_note FROM _positions WHERE table_name ="
            f" {{table:String}} AND {of_partitions}{replicas.same_server(server, '0, 0, toInt64(0), 0')}",
            {"table": table.name, "log": log, "partitions": sorted(partitions)},
        )
        rows: dict[int, int] = {}
        notes: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for row in found:
            number, position = int(row["_partition"]), int(row["position"])
            if row["is_note"]:
                notes[number].append((int(row["after"]), position))
            else:
                rows[number] = position
        positions = {number: position_of(rows.get(number, -1), notes[number]) for number in rows.keys() | notes.keys()}
        return {number: position for number, position in positions.items() if position >= 0}

    def progress(self, table: Table, log: int) -> int:
        """Return the sum of the highest source offset of each partition, and of the number of partitions."""
        [row] = self._clickhouse.query(
            "SELECT sum(position + 1) AS progress FROM"  # noqa: S608  # the name is our own
            f" (SELECT max(_origin) AS position FROM {table.name} WHERE _log = {{log:UInt16}} GROUP BY _partition)",
            {"log": log},
        )
        return int(row["progress"])

    def note_position(self, table: Table, log: int, partition: int, position: int, reason: PositionReason) -> None:
        """Note that every row of *partition* up to *position* is written, rejected or removed on purpose."""
        noted = {"table_name": table.name, "_log": log, "_partition": partition, "position": position, "reason": reason}
        columns = ", ".join(noted)
        # The row is missing in the table anyway. Rows that are lost later must not hide behind it.
        shown = f"SELECT maxOrNull(_origin) FROM {table.name} WHERE _log = {log} AND _partition = {partition}"  # noqa: S608
        after = f"ifNull(({shown}), -1)" if reason in OF_THE_LAST_ROW else "-1"
        self._clickhouse.execute(
            f"INSERT INTO _positions ({columns}, after, written_at) SELECT {columns}, {after}, now64(3) FROM input("  # noqa: S608
            "'table_name String, _log UInt16, _partition UInt32, position UInt64, reason String') FORMAT JSONEachRow",
            msgspec.json.encode(noted),
            {"async_insert": 0, "wait_end_of_query": 1},
        )

    def note_removed(self, table: Table, rows: Sequence[LeftOut]) -> None:
        """List *rows* of *table* as removed on purpose."""
        columns = "_log, _partition, _origin, project_id, erasure"
        self._clickhouse.execute(
            f"INSERT INTO _removed (table_name, {columns}, removed_at) SELECT '{table.name}', {columns}, now64(3)"  # noqa: S608
            " FROM input('_log UInt16, _partition UInt32, _origin UInt64, project_id String, erasure String')"
            " FORMAT JSONCompactEachRow",
            _encode_lines([(row.log, row.partition, row.source_offset, row.project_id, name) for row, name in rows]),
            {"async_insert": 0, "wait_end_of_query": 1},
        )

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Write all of *blocks* or raise."""
        table = blocks[0].table
        with self._turns[table.name] if self._clickhouse.cluster else nullcontext():
            self._insert(table, blocks, lease)

    def _insert(self, table: Table, blocks: Sequence[Block], lease: Lease) -> None:
        names, structure = _names(table), _structure(table)
        # An error, not a filter: a filter would drop only the rows that are read after the end of the lease.
        in_time = f"throwIf(nowInBlock64(3) >= toDateTime64('{lease.deadline():.3f}', 3), '{DEADLINE_PASSED}') = 0"
        token = ",".join(self._token(block) for block in blocks)
        settings = {
            **_SETTINGS,
            "insert_deduplication_token": token,
            # Items are unique because each is sent once; the engine must not hide a failure of that.
            # Of several states of a person in one block, the last is enough.
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
            # An earlier attempt may have written these rows after the positions were read.
            if self._are_written(blocks):
                return
            if lease.has_ended(self._clickhouse.clock()):
                message = f"The lease ended before the INSERT; nothing was written (token {token})."
                raise LeaseEndedError(message) from error
            message = f"INSERT arrived after its deadline; nothing was written and it will be retried (token {token})"
            raise TooLateError(message) from error
        failpoints.hit("inserted")
        rows = sum(len(block.rows) for block in blocks)
        if written != rows and not self._are_written(blocks):
            raise UnavailableError(f"INSERT wrote {written} of {rows} rows (token {token})")

    def try_table(self, table: Table) -> None:
        """Insert no rows into *table*, or raise."""
        names = _names(table)
        self._clickhouse.execute(
            f"INSERT INTO {table.name} ({names}) SELECT {names} FROM null('{_structure(table)}')",  # noqa: S608
            None,
            _SETTINGS,
        )

    def try_rows(self, block: Block) -> None:
        """Parse the rows of *block* and write nothing; `RejectedRowsError` if a value cannot be parsed."""
        names, structure = _names(block.table), _structure(block.table)
        self._clickhouse.execute(
            f"INSERT INTO FUNCTION null('{structure}') ({names}) SELECT {names} FROM input('{structure}')"  # noqa: S608
            " FORMAT JSONCompactEachRow",
            block.encode(),
            _SETTINGS,
        )

    def renew_tokens(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        """Use new deduplication tokens for *partitions* of *log* from now on."""
        suffix = f":{secrets.token_hex(4)}"
        self._token_suffixes.update({(table.name, log, partition): suffix for partition in partitions})

    def wait_for_running_inserts(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        """Return when no INSERT into *table* from *partitions* of *log* is running."""
        running = (
            "SELECT DISTINCT Settings['insert_deduplication_token'] AS value FROM system.processes"
            " WHERE arrayExists(prefix -> position(',' || value, prefix) > 0, {prefixes:Array(String)})"
        )
        prefixes = [f",{_token_prefix(table, log, partition)}" for partition in partitions]
        deadline = time.monotonic() + RUNNING_INSERT_SECONDS
        while tokens := replicas.on_all_replicas(self._clickhouse, running, {"prefixes": prefixes}, table.name):
            if time.monotonic() > deadline:
                raise UnavailableError(f"INSERT still running after {RUNNING_INSERT_SECONDS:.0f} s (token {tokens[0]})")
            time.sleep(0.1)
        replicas.check_settled(self._clickhouse, table.name, "_positions")

    def _token(self, block: Block) -> str:
        prefix = _token_prefix(block.table, block.log, block.partition)
        suffix = self._token_suffixes.get((block.table.name, block.log, block.partition), "")
        return f"{prefix}{block.first_offset}-{block.last_offset}{suffix}"

    def insert_missing(self, block: Block) -> int:
        """Write the rows of *block* that the table lacks and return their number; a repetition writes nothing.

        For rows below the position of the table, which no worker writes. It has no token: the engine would drop rows
        that it has seen before, although they were deleted since.
        """
        table, names = block.table, _names(block.table)
        replicas.check_complete(self._clickhouse, table.name)
        same_week = f" AND {WEEK_KEY} = '{block.week}'" if block.week else ""
        return self._clickhouse.execute(
            f"INSERT INTO {table.name} ({names}) SELECT {names} FROM input('{_structure(table)}')"  # noqa: S608
            f" WHERE _origin NOT IN (SELECT _origin FROM {table.name} WHERE _log = {block.log}"
            f" AND _partition = {block.partition} AND _origin BETWEEN {block.first_offset} AND {block.last_offset}"
            f"{same_week}) FORMAT JSONCompactEachRow",
            block.encode(),
            {**_SETTINGS, "insert_deduplicate": 0, "log_comment": f"{_REFILL}{table.name}", "optimize_on_insert": 0},
        )

    def is_refill_running(self) -> bool:
        """Return whether an INSERT of `insert_missing` is running, for example one whose sender has given up."""
        running = "SELECT 1 AS value FROM system.processes WHERE startsWith(Settings['log_comment'], {prefix:String})"
        return bool(replicas.on_all_replicas(self._clickhouse, running, {"prefix": _REFILL}, "_positions"))

    def _are_written(self, blocks: Sequence[Block]) -> bool:
        positions = self.positions(blocks[0].table, blocks[0].log, [block.partition for block in blocks])
        return all(positions.get(block.partition, -1) >= block.last_offset for block in blocks)


def _names(table: Table) -> str:
    return ", ".join(name for name, _ in table.columns)


def _structure(table: Table) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in table.columns).replace("'", "\\'")


def _token_prefix(table: Table, log: int, partition: int) -> str:
    return f"sequence:{table.name}:{log}:{partition}:"
