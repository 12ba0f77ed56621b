"""The table of the chart's values in docs/kubernetes.md: the text of each is the comment above it in values.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from tests.support.documents import ROOT

VALUES = ROOT / "deploy" / "chart" / "values.yaml"
PAGE = ROOT / "docs" / "kubernetes.md"
HEAD = "| Value | Default | Meaning |\n| --- | --- | --- |\n"
_ENTRY = re.compile(r"( *)(\w+):")
_TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


@dataclass(frozen=True, slots=True)
class Row:
    """A value of the chart."""

    name: str
    default: str
    meaning: str


def rows() -> list[Row]:
    """Return every value that has a comment, in the order of the file. Maps below one are part of its value."""
    return list(_rows(VALUES.read_text().splitlines()))


def table() -> str:
    """Return the table of `rows`."""
    lines = [f"| `{row.name}` | `{row.default}` | {row.meaning} |\n" for row in rows()]
    return HEAD + "".join(lines)


def _rows(lines: list[str]) -> Iterator[Row]:
    defaults = YAML(typ="safe").load("\n".join(lines))
    path: list[str] = []
    comment: list[str] = []
    described: list[str] | None = None
    for line in lines:
        if line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("# "))
            continue
        if entry := _ENTRY.match(line):
            path = [*path[: len(entry[1]) // 2], entry[2]]
            inside = described is not None and path[: len(described)] == described
            if comment and not inside and "values.schema.json" not in " ".join(comment):
                # A map whose own entries have comments is a heading.
                described = path
                yield Row(".".join(path), _shown(_get(defaults, path)), " ".join(comment))
            elif not inside:
                described = None
        comment = []


def _get(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _shown(value: Any) -> str:
    if isinstance(value, bool | dict | list):
        return json.dumps(value)
    return str(value) if value != "" else '""'


def write() -> None:
    """Write the table into the page."""
    PAGE.write_text(_TABLE.sub(lambda _: table(), PAGE.read_text()))
