"""Time and size of a backup, by rows: `python -m tests.benchmarks.backup`. Kafka takes no part in it.

The events have eight properties with random text and numbers, so that they compress as real ones do, and no better. The
incremental backup follows after a tenth more rows, with merges stopped: a merge makes a new part, which is copied.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import click

from processors.clickhouse.migrate import migrate
from tests.support.backup_tables import LOG, Tables
from tests.support.services import clickhouse_settings, embedded_clickhouse, running

BLOCK_ROWS = 100_000
_INSERT = """
INSERT INTO sequence.events
    (project_id, event, user_id, message_id, timestamp, received_at, properties, context, _log, _partition, _origin)
SELECT 'shop', concat('Event ', toString(number % 20)), toString(rand(1) % 50000), toString(generateUUIDv4()), now64(6),
    now64(6), CAST(concat('{"price":', toString(rand(2) % 100000 / 100), ',"quantity":', toString(rand(3) % 10),
    ',"plan":"', ['free', 'pro', 'team'][rand(4) % 3 + 1], '","coupon":"', hex(rand(5)), '","product":"',
    hex(rand64(6)), '","category":"c', toString(rand(7) % 40), '","first":', ['true', 'false'][rand(8) % 2 + 1],
    ',"session":"', hex(rand64(9)), '"}') AS JSON(max_dynamic_paths=8)), '{"library":{"name":"analytics-python"}}', 1,
    number % 4, number
FROM numbers({first}, {count})
"""


def main() -> None:
    """Print one line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory, running(embedded_clickhouse(Path(directory) / "server")) as server:
        settings = clickhouse_settings(server.address)
        migrate(settings)
        tables = Tables(settings, Path(directory) / "backups")
        tables.execute(LOG)
        _insert(tables, 0, rows)
        _measured(tables, "full", "backup", "DIR", "--tables-only")
        tables.execute("SYSTEM STOP MERGES sequence.events")
        _insert(tables, rows, rows // 10)
        _measured(tables, "incremental", "backup", "DIR", "--tables-only")
        _measured(tables, "unchanged", "backup", "DIR", "--tables-only")
        _measured(tables, "verify", "backup", "verify", "DIR")
        _measured(tables, "restore", "restore", "DIR", "--tables-only", "--replace", "--yes")


def _insert(tables: Tables, first: int, count: int) -> None:
    for start in range(first, first + count, BLOCK_ROWS):
        tables.execute(
            _INSERT.replace("{first}", str(start)).replace("{count}", str(min(BLOCK_ROWS, first + count - start)))
        )


def _measured(tables: Tables, name: str, *arguments: str) -> None:
    began = perf_counter()
    ran = tables.run(*arguments)
    seconds = perf_counter() - began
    if ran.exit_code:
        raise SystemExit(ran.output)
    click.echo(f"{name:<12} {seconds:6.2f} s  {ran.output.splitlines()[0]}")


if __name__ == "__main__":
    main()
