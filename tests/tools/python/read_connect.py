"""Reads with clickhouse-connect: rows, pandas, Arrow, polars and DuckDB. Input and output are those of `steps.py`."""

from __future__ import annotations

import asyncio
from typing import Any

import clickhouse_connect
import duckdb
import polars as pl
from clickhouse_connect.driver.client import Client
from steps import asked, plain, step

run = asked()
login = {"host": run["host"], "port": run["port"], "username": run["user"], "password": run["password"]}


def client(**options: Any) -> Client:
    """Return a client with *options* beside the login."""
    return clickhouse_connect.get_client(**login, database=run["database"], **options)


def with_settings(**settings: Any) -> Any:
    """Return the row of a query with *settings*."""
    return client(settings=settings).query("SELECT 1").first_row


def in_duckdb() -> Any:
    """Return the sum that DuckDB computes over an Arrow table."""
    orders = reader.query_arrow(run["rows"])
    return duckdb.sql("SELECT sum(price) FROM orders").fetchall() if len(orders) else None


async def in_asyncio() -> Any:
    """Return the row of a query of the asynchronous client."""
    other = await clickhouse_connect.get_async_client(**login, database=run["database"])
    async with other:
        return (await other.query(run["revenue"])).first_row


reader = client()
step("connect", lambda: reader.server_version)
step("databases", lambda: plain(reader.query("SHOW DATABASES").result_rows))
step("tables", lambda: plain(reader.query("SHOW TABLES").result_rows))
step("columns", lambda: plain(reader.query(f"DESCRIBE TABLE {run['view']}").result_rows))
step("json", lambda: plain(reader.query(run["json"]).result_rows))
step("property", lambda: plain(reader.query(run["property"]).result_rows))
step("view", lambda: reader.query(run["revenue"]).first_row)
in_range = "timestamp >= {since:DateTime} AND timestamp < {until:DateTime}"
counted = f"SELECT count() FROM {run['view']} WHERE {in_range}"  # noqa: S608  # a name of our own
step("time", lambda: reader.query(counted, parameters=run["range"]).first_row)
step("error", lambda: reader.query("SELECT * FROM nothing"))
step("write", lambda: reader.command(run["write"]))
step("settings", lambda: with_settings(max_threads=2, max_result_rows=1000))
step("limit", lambda: with_settings(max_execution_time=0))
step("session", lambda: client(session_id=f"tools-{run['user']}").query("SELECT 1").first_row)
step("pandas", lambda: float(reader.query_df(run["rows"])["price"].sum()))
step("arrow", lambda: sum(reader.query_arrow(run["rows"]).column("price").to_pylist()))
step("polars", lambda: float(pl.from_arrow(reader.query_arrow(run["rows"]))["price"].sum()))
step("duckdb", in_duckdb)
step("async", lambda: asyncio.run(in_asyncio()))
