"""Asks mcp-clickhouse over stdio, as an assistant does. Input and output are those of `steps.py`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from steps import asked, step

run = asked()
SETTINGS = {
    "CLICKHOUSE_HOST": run["host"],
    "CLICKHOUSE_PORT": str(run["port"]),
    "CLICKHOUSE_USER": run["user"],
    "CLICKHOUSE_PASSWORD": run["password"],
    "CLICKHOUSE_SECURE": "false",
    "CLICKHOUSE_VERIFY": "false",
}
in_range = f"timestamp >= '{run['range']['since']}' AND timestamp < '{run['range']['until']}'"
counted = f"SELECT count() FROM {run['view']} WHERE {in_range}"  # noqa: S608  # names of our own
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "databases": ("list_databases", {}),
    "tables": ("list_tables", {"database": run["database"]}),
    "columns": ("list_tables", {"database": run["views"]}),
    "json": ("run_query", {"query": run["json"]}),
    "property": ("run_query", {"query": run["property"]}),
    "view": ("run_query", {"query": run["revenue"]}),
    "time": ("run_query", {"query": counted}),
    "error": ("run_query", {"query": "SELECT * FROM nothing"}),
    "write": ("run_query", {"query": run["write"]}),
}


async def answers() -> dict[str, tuple[bool, str]]:
    """Return for each step whether its call failed, and the text of its answer."""
    program = str(Path(sys.executable).with_name("mcp-clickhouse"))
    server = StdioServerParameters(command=program, env={**os.environ, **SETTINGS})
    async with stdio_client(server) as (reading, writing), ClientSession(reading, writing) as session:
        await session.initialize()
        found = {"connect": (False, str([tool.name for tool in (await session.list_tools()).tools]))}
        for name, (tool, arguments) in CALLS.items():
            answer = await session.call_tool(tool, arguments)
            found[name] = (answer.is_error, " ".join(part.text for part in answer.content))
    return found


def show(failed: bool, text: str) -> Callable[[], str]:  # noqa: FBT001  # a part of the answer
    """Return a call that returns *text*, or raises it if the call *failed*."""

    def call() -> str:
        if failed:
            raise RuntimeError(text)
        return text

    return call


for name, answer in asyncio.run(answers()).items():
    step(name, show(*answer))
