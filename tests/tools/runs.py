"""Runs the tools with each login, and compares what they showed with what they must show."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.typed_views.naming import database_name
from tests.support.clickhouse_http import ClickHouseHttp
from tests.tools import install
from tests.tools.install import HERE, Program
from tests.tools.server import DATABASE, PROJECT, Login, Server

_SECONDS = 240
_SINCE, _UNTIL = "2026-03-01 00:00:00", "2026-04-01 00:00:00"
_DBT = ("debug", "build", "build", "docs generate")
"""Its commands; the second `build` adds to the incremental model."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A row of the matrix."""

    name: str
    version: str
    program: Callable[[], Program]
    """Installs it."""
    lines: bool = False
    """Whether its program reads `name=value` lines in place of JSON."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the steps of a tool showed with a login."""

    tool: Tool
    login: str
    steps: Mapping[str, str]
    """Name of each step and what is wrong with it; empty if nothing is."""

    @property
    def wrong(self) -> dict[str, str]:
        """The steps that showed something else than they must."""
        return {name: fault for name, fault in self.steps.items() if fault} or ({} if self.steps else {"connect": ""})


def tools() -> list[Tool]:
    """Return the tools whose programs read; dbt writes, see `run_dbt`."""
    python = _versions(install.PYTHON_LOCK)
    (node,) = re.findall(r'"@clickhouse/client": "(.*)"', install.NODE_LOCK.with_name("package.json").read_text())
    (go,) = re.findall(r"clickhouse-go/v2 v(\S+)", install.GO_LOCK.with_name("go.mod").read_text())
    java = install.JAVA_LOCK.read_text().splitlines()[0].rpartition(":")[2]
    connect = python["clickhouse-connect"]
    return [
        Tool("clickhouse-connect", connect, install.python("read_connect.py")),
        Tool("clickhouse-connect, SQLAlchemy", connect, install.python("read_alchemy.py", "clickhousedb")),
        Tool(
            "clickhouse-sqlalchemy",
            python["clickhouse-sqlalchemy"],
            install.python("read_alchemy.py", "clickhouse+http"),
        ),
        Tool("mcp-clickhouse", python["mcp-clickhouse"], install.python("read_mcp.py")),
        Tool("Superset", _versions(install.SUPERSET_LOCK)["apache-superset"], install.superset),
        Tool("JDBC", java, install.java, lines=True),
        Tool("@clickhouse/client, Node", node, install.node),
        Tool("clickhouse-go, Grafana's queries", go, install.go),
    ]


def dbt() -> Tool:
    """Return dbt."""
    return Tool("dbt-clickhouse", _versions(install.PYTHON_LOCK)["dbt-clickhouse"], install.python("dbt"))


def run(tool: Tool, server: Server, login: Login) -> Outcome:
    """Run the program of *tool* with *login*."""
    program = tool.program()
    asked = questions(server, login)
    text = "".join(f"{name}={value}\n" for name, value in _flat(asked)) if tool.lines else json.dumps(asked)
    done = subprocess.run(
        program.command,
        env={**os.environ, **program.environ},
        input=text,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    faults = {step["step"]: fault_of(step, login) for step in steps}
    if done.returncode != 0:
        faults["end"] = done.stderr[-1000:]
    return Outcome(tool, login.name, faults)


def run_dbt(server: Server, directory: Path) -> Outcome:
    """Run dbt's commands as the login that writes, with its logs and files in *directory*."""
    program = str(install.python_environment(install.PYTHON_LOCK) / "dbt")
    login = server.writer
    environ = {
        "CLICKHOUSE_HOST": server.host,
        "CLICKHOUSE_PORT": str(server.port),
        "CLICKHOUSE_USER": login.name,
        "CLICKHOUSE_PASSWORD": login.password,
        "DBT_TARGET_PATH": str(directory / "target"),
        "DBT_LOG_PATH": str(directory / "logs"),
    }
    faults = {}
    for number, command in enumerate(_DBT, 1):
        arguments = [program, "--no-use-colors", *command.split(), "--project-dir", ".", "--profiles-dir", "."]
        done = subprocess.run(
            arguments,
            cwd=HERE / "dbt",
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        faults[f"{number}. {command}"] = done.stdout[-1000:] if done.returncode else ""
    answer = ClickHouseHttp(server.url, server.analyst.name, server.analyst.password).send(
        "SELECT sum(revenue) FROM sequence_reporting.revenue_by_day"
    )
    faults["read by analyst"] = "" if answer.text == "112.5\n" else answer.text
    return Outcome(dbt(), login.name, faults)


def questions(server: Server, login: Login) -> dict[str, Any]:
    """Return what a program gets: the login, and queries on what it may read."""
    views = database_name(DATABASE, PROJECT)
    view = f"{views}.order_completed"
    orders = "events WHERE event = 'Order Completed'" if login.database == DATABASE else "order_completed"
    return {
        "host": server.host,
        "port": server.port,
        "user": login.name,
        "password": login.password,
        "database": login.database,
        "views": views,
        "view": view,
        "json": f"SELECT properties FROM {orders} ORDER BY timestamp LIMIT 1",  # noqa: S608  # names of our own
        "property": f"SELECT properties.plan AS plan, count() AS orders FROM {orders} GROUP BY plan ORDER BY str(plan)",  # noqa: S608
        "revenue": f"SELECT sum(num(price)) AS revenue FROM {view}",  # noqa: S608
        "rows": f"SELECT user_id, num(price) AS price, timestamp FROM {view} ORDER BY timestamp",  # noqa: S608
        "range": {"since": _SINCE, "until": _UNTIL},
        "write": f"INSERT INTO {views}.tracks (id) VALUES ('x')",  # noqa: S608
    }


def fault_of(step: Mapping[str, Any], login: Login) -> str:
    """Return what is wrong with the outcome of *step*, as one line; empty if it shows what it must."""
    shown, error = json.dumps(step.get("shown")), step.get("error", "")
    limit = r"\b452\b|max_execution_time"
    refused = {"error": r"\b60\b|nothing", "write": r"\b164\b|readonly", "limit": limit, "long deadline": limit}
    if step["step"] in refused:
        return "" if re.search(refused[step["step"]], error) else f"not refused: {error or shown}"
    if error:
        return str(error)
    own = "order_completed" if login.database != DATABASE else "person_history"
    revenue = ("pandas", "arrow", "polars", "duckdb", "async")
    must = {
        "databases": [database_name(DATABASE, PROJECT)],
        "tables": [own],
        "columns": ["price", "properties"],
        "json": ["delivery_date"],
        "property": ["free", "pro"],
        "view": [r"112\.5"],
        "time": [r"\b3\b"],
        **{name: [r"112\.5"] for name in revenue},
        "abort": ["true"],
    }
    missing = [text for text in must.get(step["step"], []) if not re.search(text, shown)]
    hidden = [DATABASE + '"'] if step["step"] == "databases" and login.database != DATABASE else []
    seen = [text for text in hidden if text in shown]
    return f"{', '.join(missing + seen)}: {shown}" if missing or seen else ""


def markdown(outcomes: list[Outcome]) -> str:
    """Return *outcomes* as a table."""
    lines = ["| Tool | Version | Login | Steps | Wrong |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {each.tool.name} | {each.tool.version} | `{each.login}` | {len(each.steps)} | {', '.join(each.wrong)} |"
        for each in outcomes
    ]
    return "\n".join(lines) + "\n"


def _versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, value
