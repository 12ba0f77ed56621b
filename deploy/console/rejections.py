"""`/api/rejected`: the largest groups of rejected items, each with an example and the command that sends them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from deploy.console import items, search_sql
from deploy.console.items import Item, row_time
from deploy.console.tables import LimitedClickHouse
from deploy.operate import rejected
from deploy.operate.rejected import Selection
from processors.sink.rejected import NOT_A_REJECTION
from schemas.clickhouse import REJECTED

MOST_GROUPS = 50
_GROUP = ("project_id", "stage", "table_name", "code", "field")
_EXAMPLE = [name for name, _ in REJECTED.columns]


class Group(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Rejected items with the same reason."""

    project_id: str
    stage: str
    table: str | None
    code: str
    field: str | None
    count: int
    first_at: str
    last_at: str
    example: Item
    """The newest of them."""
    message: str
    replay_command: str | None
    """Prints what would be sent again; None where nothing can be."""


def groups(clickhouse: LimitedClickHouse, project_id: str | None, since: datetime) -> Sequence[Group]:
    """Return the groups of *project_id*, of all projects if it is None, the largest first; raises `LimitError`."""
    selection = Selection(project_id=project_id or "", since=since)
    example = ", ".join(
        f"toString({name})" if kind.startswith("DateTime64") else name
        for name, kind in REJECTED.columns
        if name != "content"
    )
    cut = f"leftUTF8(content, {items.CONTENT_CHARACTERS})"
    sql = (
        f"SELECT {', '.join(_GROUP)}, uniqExact({rejected.SOURCE}) AS items, min(rejected_at) AS first,"  # noqa: S608  # our own names
        f" max(rejected_at) AS last, argMax(tuple({example}, {cut}, lengthUTF8(content)), rejected_at) AS example"
        f" FROM rejected WHERE {selection.condition}"
        f" GROUP BY {', '.join(_GROUP)} ORDER BY items DESC, last DESC LIMIT {MOST_GROUPS}"
    )
    return [_group(row, selection) for row in clickhouse.query(sql, selection.parameters)]


def _group(row: dict[str, Any], selection: Selection) -> Group:
    *values, body, characters = row["example"]
    names = [name for name in _EXAMPLE if name != "content"]
    example = dict(zip(names, values, strict=True)) | {
        "body": body,
        "is_cut": int(characters) > items.CONTENT_CHARACTERS,
    }
    numbers = ("source_partition", "source_offset", "_log", "_partition", "_origin")
    example |= {name: int(example[name]) for name in numbers}
    return Group(
        project_id=row["project_id"],
        stage=row["stage"],
        table=row["table_name"] or None,
        code=row["code"],
        field=row["field"] or None,
        count=int(row["items"]),
        first_at=row_time(row["first"]),
        last_at=row_time(row["last"]),
        example=items.of_rejection(search_sql.rejected_row(example)),
        message=example["message"],
        replay_command=None if row["code"] == NOT_A_REJECTION else rejected.commands(row, selection)["replay"],
    )
