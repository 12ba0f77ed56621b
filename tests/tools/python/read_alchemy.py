"""Reads with a dialect of SQLAlchemy, whose name is the argument. Input and output are those of `steps.py`."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import sqlalchemy
from steps import asked, plain, step

run = asked()
address = f"{run['host']}:{run['port']}/{run['database']}"
engine = sqlalchemy.create_engine(f"{sys.argv[1]}://{run['user']}:{run['password']}@{address}")
inspector = sqlalchemy.inspect(engine)


def ask(sql: str, **values: str) -> list[list[Any]]:
    """Return the rows of *sql*."""
    with engine.connect() as connection:
        rows: list[list[Any]] = plain(connection.execute(sqlalchemy.text(sql), values))
        return rows


def tables() -> list[str]:
    """Return the names of tables and of views."""
    return [*inspector.get_table_names(), *inspector.get_view_names()]


step("connect", lambda: ask("SELECT version()"))
step("databases", inspector.get_schema_names)
step("tables", tables)
columns = inspector.get_columns("order_completed", schema=run["views"])
step("columns", lambda: [column["name"] for column in columns])
step("json", lambda: ask(run["json"]))
step("property", lambda: ask(run["property"]))
step("view", lambda: ask(run["revenue"]))
counted = f"SELECT count() FROM {run['view']} WHERE timestamp >= :since AND timestamp < :until"  # noqa: S608  # our own
step("time", lambda: ask(counted, **run["range"]))
step("error", lambda: ask("SELECT * FROM nothing"))
step("write", lambda: ask(run["write"]))
step("pandas", lambda: float(pd.read_sql(run["rows"], engine)["price"].sum()))
