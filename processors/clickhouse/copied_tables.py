"""Tables whose rows a migration copies: their sizes beforehand, and how far the copy is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from processors.clickhouse import migration_plan
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, MigrationError
from processors.clickhouse.migration_plan import CopiedTable, Plan
from processors.clickhouse.partition_key import SUFFIX, new_key_of
from schemas.settings import ClickHouseSettings

PROGRESS_SECONDS = 5.0


def make_plan(clickhouse: ClickHouse, database: str, names: Sequence[str], statements: Iterable[str]) -> Plan:
    """Return the plan of the migrations *names*, whose *statements* are to be executed in *database*."""
    wanted = dict(new for statement in statements if (new := new_key_of(statement)) is not None)
    rows = clickhouse.query(
        "SELECT name, partition_key, ifNull(total_rows, 0) AS rows, ifNull(total_bytes, 0) AS size,"
        " ifNull(total_bytes_uncompressed, 0) AS raw FROM system.tables"
        " WHERE database = {database:String} AND has({tables:Array(String)}, name)",
        {"database": database, "tables": list(wanted)},
    )
    outdated = {row["name"]: row for row in rows if row["partition_key"] != wanted[row["name"]]}
    copied = [
        CopiedTable(name, int(row["rows"]), int(row["size"]), int(row["raw"]))
        for name in wanted
        if (row := outdated.get(name)) is not None
    ]
    if not copied:
        return Plan(names)
    [disks] = clickhouse.query("SELECT sum(unreserved_space) AS free FROM system.disks")
    return Plan(names, copied, int(disks["free"]))


def require_space(plan: Plan) -> None:
    """Raise `MigrationError` if the copies do not fit on ClickHouse's disks."""
    if plan.needed_bytes > plan.free_bytes:
        names = " and ".join(table.name for table in plan.copied)
        needed, free = plan.needed_bytes / 1e9, plan.free_bytes / 1e9
        raise MigrationError(
            f"{names} have {needed:.1f} GB to copy, and ClickHouse has {free:.1f} GB left. Nothing was changed. Add "
            "space, and run the migration again."
        )


@contextmanager
def progress_told(settings: ClickHouseSettings, plan: Plan, say: Callable[[str], None]) -> Iterator[None]:
    """Say every 5 seconds during the block how far the copies of *plan* are."""
    if not plan.copied:
        yield
        return
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(settings, plan, say, ended), daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def _tell(settings: ClickHouseSettings, plan: Plan, say: Callable[[str], None], ended: threading.Event) -> None:
    clickhouse = ClickHouse(settings)
    began: dict[str, float] = {}
    try:
        while not ended.wait(PROGRESS_SECONDS):
            with suppress(ClickHouseError):
                for table, rows in _copying(clickhouse, plan):
                    # The first look is at the beginning, or at most one interval after it.
                    since = began.setdefault(table.name, time.monotonic() - PROGRESS_SECONDS / 2)
                    say(migration_plan.progress(table, rows, time.monotonic() - since))
    finally:
        clickhouse.close()


def _copying(clickhouse: ClickHouse, plan: Plan) -> Iterator[tuple[CopiedTable, int]]:
    """Yield the table that is being copied, with the number of rows that its copy has."""
    tables = {table.name + SUFFIX: table for table in plan.copied}
    for row in clickhouse.query(
        "SELECT name, ifNull(total_rows, 0) AS rows FROM system.tables"
        " WHERE database = currentDatabase() AND has({tables:Array(String)}, name)",
        {"tables": list(tables)},
    ):
        yield tables[row["name"]], int(row["rows"])
