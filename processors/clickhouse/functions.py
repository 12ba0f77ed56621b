"""The SQL functions of the migration files: `num`, `str`, `bool` and `at`. They belong to a server, not to a database.

A backup of the database does not have them, and anybody who may create functions can replace them. So every migration
compares those of the server with the files and creates what is missing. A function of somebody else is never replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, FunctionError, UnavailableError
from schemas.clickhouse.replicated import replicated

_NAME = re.compile(r"CREATE FUNCTION IF NOT EXISTS (\w+) AS ")


def name_of(statement: str) -> str | None:
    """Return the name of the function that *statement* creates, None if it creates none."""
    found = _NAME.match(statement)
    return found[1] if found else None


def ensure(clickhouse: ClickHouse, statements: Iterable[str]) -> None:
    """Create the functions of *statements*, in the order of their files: a later body replaces an earlier one.

    Raises `FunctionError` if the server has another function of one of the names, and leaves that one as it is. The
    others are created nevertheless.
    """
    bodies: dict[str, list[str]] = {}
    for statement in statements:
        if (name := name_of(statement)) is not None:
            bodies.setdefault(name, []).append(" ".join(statement.split()))
    existing = _existing(clickhouse, bodies)
    taken = []
    for name, ours in bodies.items():
        known = [_formatted(clickhouse, body) for body in ours]
        if name not in existing or (clickhouse.cluster and existing[name] == known[-1]):
            # A replica that was added has no function of this server.
            _create(clickhouse, ours[-1])
        elif existing[name] not in known:
            taken.append(name)
        elif existing[name] != known[-1]:
            _create(clickhouse, ours[-1].replace("CREATE FUNCTION IF NOT EXISTS", "CREATE OR REPLACE FUNCTION", 1))
    if taken:
        raise FunctionError(_taken(taken, existing, bodies))


def _existing(clickhouse: ClickHouse, names: Iterable[str]) -> dict[str, str]:
    """Return those of *names* that are functions of the server, as ClickHouse formats them; a built-in one is empty."""
    rows = clickhouse.query(
        "SELECT name, if(origin = 'SQLUserDefined', formatQuerySingleLine(create_query), '') AS text"
        " FROM system.functions WHERE name IN {names:Array(String)}",
        {"names": list(names)},
    )
    return {str(row["name"]): str(row["text"]) for row in rows}


def _formatted(clickhouse: ClickHouse, statement: str) -> str:
    """Return *statement* as `_existing` returns it: the server keeps a function without IF NOT EXISTS."""
    plain = statement.replace(" IF NOT EXISTS", "", 1)
    [row] = clickhouse.query("SELECT formatQuerySingleLine({query:String}) AS text", {"query": plain})
    return str(row["text"])


def _create(clickhouse: ClickHouse, statement: str) -> None:
    try:
        clickhouse.execute(replicated(statement, clickhouse.cluster))
    except UnavailableError:
        raise
    except ClickHouseError as error:
        raise FunctionError(f"The function {name_of(statement)} cannot be created: {error}", error.code) from error


def _taken(taken: Iterable[str], existing: dict[str, str], ours: Iterable[str]) -> str:
    """Return what is to be done about functions of somebody else."""
    lines = []
    for name in taken:
        if text := existing[name]:
            lines.append(
                f"ClickHouse has another function {name}: {text}. Create yours under another name, DROP FUNCTION "
                f"{name}, and run `sequence tables migrate` again."
            )
        else:
            lines.append(f"ClickHouse has a function {name} of its own. Update Sequence events.")
    names = ", ".join(ours)
    lines.append(f"The tables are migrated. Until all of {names} exist, queries with them fail or return other values.")
    return " ".join(lines)
