"""Asks as Superset's pages do, through its engine specification. Input and output are those of `../python/steps.py`."""

from __future__ import annotations

import logging
import sys
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from steps import asked, step  # noqa: E402  # it is in the other folder
from superset.app import create_app  # noqa: E402  # it logs when it is imported

run = asked()


def steps() -> None:
    """Run every step within the application."""
    from superset.db_engine_specs.clickhouse import ClickHouseConnectEngineSpec as Spec  # noqa: PLC0415
    from superset.models.core import Database  # noqa: PLC0415  # its models need the application
    from superset.sql.parse import Table  # noqa: PLC0415

    uri = f"clickhousedb://{run['user']}:{run['password']}@{run['host']}:{run['port']}/{run['database']}"
    database = Database(database_name="sequence", sqlalchemy_uri=uri)
    database.set_sqlalchemy_uri(uri)

    def ask(sql: str) -> Any:
        return database.get_df(sql).to_dict("records")

    def tables() -> list[str]:
        names = database.get_all_table_names_in_schema(catalog=None, schema=run["database"])
        return sorted(str(name.table) if hasattr(name, "table") else str(name[0]) for name in names)

    since, until = (
        Spec.convert_dttm("DateTime64(6, 'UTC')", datetime.fromisoformat(run["range"][end])) for end in run["range"]
    )
    day = Spec.get_time_grain_expressions()["P1D"].replace("{col}", "timestamp")
    form = {"host": run["host"], "port": run["port"], "username": run["user"], "password": run["password"]}
    form |= {"database": run["database"], "encryption": False, "query": {}}
    step("connect", lambda: [str(error) for error in Spec.validate_parameters({"parameters": form})])
    step("databases", lambda: sorted(database.get_all_schema_names(catalog=None)))
    step("tables", tables)
    columns = database.get_columns(Table("order_completed", run["views"]))
    step("columns", lambda: [column["column_name"] for column in columns])
    step("json", lambda: ask(run["json"]))
    step("property", lambda: ask(run["property"]))
    step("view", lambda: ask(run["revenue"]))
    by_day = f"SELECT {day} AS day, count() AS n FROM {run['view']} WHERE timestamp >= {since} AND timestamp < {until}"  # noqa: S608
    step("time", lambda: sum(row["n"] for row in ask(f"{by_day} GROUP BY day")))
    step("error", lambda: ask("SELECT * FROM nothing"))
    step("write", lambda: ask(run["write"]))
    step("functions", lambda: len(Spec.get_function_names(database)))


with create_app().app_context():
    steps()
