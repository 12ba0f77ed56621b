"""The queries of docs/cookbook.md and their results: `python -m tests.support.cookbook_page` writes the results.

The queries are the page's own text. Each runs on the sample of `sequence demo` with the settings of an analyst, and its
result is the table that follows it.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.clickhouse.analyst import READING
from tests.support import demo_tables, services
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.documents import ROOT

PAGE = ROOT / "docs" / "cookbook.md"
COMMAND = ".venv/bin/python -m tests.support.cookbook_page"
_QUESTION = re.compile(
    r"^### (?P<title>[^\n]+)\n\n(?P<prose>(?:[^#|`\n][^\n]*\n|`(?!``)[^\n]*\n|\n)+)```sql\n(?P<sql>.+?)^```\n",
    re.MULTILINE | re.DOTALL,
)
_RESULT = re.compile(r"\n(?:\|.*\n)+")

Rows = list[dict[str, Any]]


def queries(text: str) -> dict[str, str]:
    """Return the queries of the page by question."""
    return {found["title"]: found["sql"] for found in _QUESTION.finditer(text)}


def results(text: str) -> dict[str, str]:
    """Return the result that the page shows for each question."""
    shown = {found["title"]: _RESULT.match(text, found.end()) for found in _QUESTION.finditer(text)}
    return {title: result[0].lstrip("\n") for title, result in shown.items() if result}


def with_results(text: str, ask: Callable[[str], Rows]) -> str:
    """Return the page with the result of each query behind it."""
    parts, at = [], 0
    for found in _QUESTION.finditer(text):
        old = _RESULT.match(text, found.end())
        parts += [text[at : found.end()], "\n", table(ask(found["sql"]))]
        at = old.end() if old else found.end()
    return "".join([*parts, text[at:]])


def table(rows: Rows) -> str:
    """Return *rows* as a table in Markdown, with numbers to the right."""
    names = list(rows[0])
    sides = ["---:" if all(isinstance(row[name], int | float | None) for row in rows) else "---" for name in names]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in [names, sides, *cells])


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value)


def ask(client: ClickHouseHttp, sql: str) -> Rows:
    """Return the rows of *sql* as an analyst reads them."""
    answer = client.query(f"{sql} FORMAT JSONEachRow", output_format_json_quote_64bit_integers=0, **READING)
    return [json.loads(line) for line in answer.splitlines()]


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as directory,
        services.running(services.embedded_clickhouse(Path(directory))) as server,
    ):
        demo_tables.fill(services.clickhouse_settings(server.address), demo_tables.items())
        client = ClickHouseHttp(server.address)
        PAGE.write_text(with_results(PAGE.read_text(encoding="utf-8"), lambda sql: ask(client, sql)), encoding="utf-8")
