"""Reads the table `rejected`: what a person selects of it, by group and item by item.

A worker may reject a record twice. Each rejected item counts once, by its source.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from deploy.errors import ArgumentError, OperateError
from deploy.operate.rejected_replayed import selected
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from schemas.clickhouse import REJECTED
from schemas.clickhouse.quoting import literal

SOURCE = "stage, table_name, source_topic, source_partition, source_offset, _log"
"""Columns that name what was rejected."""
EXAMPLE_CHARACTERS = 200
PAGE_ITEMS = 500
_SPECIAL = re.compile(r'["$`\\!\n]')
"""Characters that a shell reads between double quotes."""
_NO_TABLE = 60
_DENIED = 497
_DETAILS = re.compile(r"\n|\. In (?:scope|query) |: In scope |,? Stack trace|\s*\((?:version|for url) |: While ")
"""What follows the sentence in ClickHouse's error."""
_EXCEPTION = re.compile(r"Code: \d+\. DB::Exception: (?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rejected items a person selects. Every part that is given must apply."""

    where: str = ""
    """A condition in SQL over the columns of `rejected`."""
    project_id: str = ""
    code: str = ""
    since: datetime | None = None
    not_replayed: bool = False
    """Without items that a replay has sent."""

    @property
    def condition(self) -> str:
        """The condition in SQL. A comment at the end of `where` ends with its line."""
        parts = [f"({self.where}\n)"] if self.where.strip() else []
        if self.project_id:
            parts.append("project_id = {selected_project:String}")
        if self.code:
            parts.append("code = {selected_code:String}")
        if self.since is not None:
            parts.append("rejected_at >= {selected_since:DateTime64(6, 'UTC')}")
        return " AND ".join(parts) or "1"

    @property
    def parameters(self) -> dict[str, str]:
        """The values of the condition."""
        given = {"selected_project": self.project_id, "selected_code": self.code}
        if self.since is not None:
            given["selected_since"] = f"{self.since:%Y-%m-%d %H:%M:%S.%f}"
        return {name: value for name, value in given.items() if value}

    @property
    def arguments(self) -> str:
        """The options that select the same items, as a shell takes them."""
        since = "" if self.since is None else f"{self.since:%Y-%m-%dT%H:%M:%SZ}"
        given = {"--project": self.project_id, "--code": self.code, "--since": since, "--where": self.where}
        found = [f"{option} {_quoted(value)}" for option, value in given.items() if value]
        return " ".join([*found, *(["--not-replayed"] if self.not_replayed else [])])


def _quoted(text: str) -> str:
    """Return *text* as a shell takes it. SQL with its quotes is easier to read between double ones."""
    return f'"{text}"' if "'" in text and not _SPECIAL.search(text) else shlex.quote(text)


def groups(clickhouse: ClickHouse, selection: Selection, limit: int) -> list[dict[str, Any]]:
    """Return the largest groups of items with one project, stage, table, code and field, with an example of each."""
    rows = _query(
        clickhouse,
        selection,
        "SELECT project_id, stage, table_name, code, field,"  # noqa: S608  # the condition is run as a reader
        f" uniqExact({SOURCE}) AS items, uniqExactIf({SOURCE}, replayed_at IS NOT NULL) AS replayed,"
        " min(rejected_at) AS first, max(rejected_at) AS last,"
        " argMax((message, value, event, leftUTF8(content, {characters:UInt32}), message_id), rejected_at) AS example"
        " FROM {rejected} GROUP BY project_id, stage, table_name, code, field"
        " ORDER BY items DESC, last DESC LIMIT {limit:UInt32}",
        {"limit": limit, "characters": EXAMPLE_CHARACTERS},
    )
    return [_group(row, selection) for row in rows]


def _group(row: Mapping[str, Any], selection: Selection) -> dict[str, Any]:
    message, value, event, content, message_id = row["example"]
    return {
        "projectId": row["project_id"],
        "stage": row["stage"],
        "table": row["table_name"] or None,
        "code": row["code"],
        "field": row["field"] or None,
        "items": int(row["items"]),
        "replayed": int(row["replayed"]),
        "firstAt": _time(row["first"]),
        "lastAt": _time(row["last"]),
        "example": {
            "message": message,
            "value": value or None,
            "event": event or None,
            "messageId": message_id or None,
            "content": content,
        },
        **commands(row, selection),
    }


def commands(row: Mapping[str, Any], selection: Selection) -> dict[str, str]:
    """Return the commands that show the items of a group of *selection*, and that send them again, by their names."""
    conditions = [
        f"{name} = {literal(row[name])}" for name in ("stage", "table_name", "field") if row[name] or name == "field"
    ]
    where = " AND ".join([*([f"({selection.where})"] if selection.where.strip() else []), *conditions])
    chosen = replace(selection, where=where, project_id=row["project_id"], code=row["code"])
    return {
        "show": f"sequence rejected show {chosen.arguments}",
        "replay": f"sequence rejected replay {chosen.arguments} --set . --dry-run",
    }


def count(clickhouse: ClickHouse, selection: Selection) -> int:
    """Return the number of selected items."""
    sql = f"SELECT uniqExact({SOURCE}) AS items FROM {{rejected}}"  # noqa: S608  # our own names
    [row] = _query(clickhouse, selection, sql, {})
    return int(row["items"])


def items(clickhouse: ClickHouse, selection: Selection, limit: int) -> list[dict[str, Any]]:
    """Return the newest of the selected items as the columns of their rows."""
    names = ", ".join(name for name, _ in REJECTED.columns)
    order = ", ".join(f"{name} DESC" for name in ("rejected_at", "_log", "_partition", "_origin"))
    return _query(
        clickhouse,
        selection,
        f"SELECT {names}, replayed_at FROM {{rejected}} ORDER BY {order}"  # noqa: S608  # our own names
        f" LIMIT 1 BY {SOURCE} LIMIT {{limit:UInt32}}",
        {"limit": limit},
    )


def items_in_order(clickhouse: ClickHouse, selection: Selection, limit: int) -> Iterator[dict[str, Any]]:
    """Yield at most *limit* of the selected items, the oldest first, without those that are rejected from now on.

    An item that was rejected twice can be there twice.
    """
    names = ", ".join(name for name, _ in REJECTED.columns)
    order = "rejected_at, _log, _partition, _origin"
    [row] = clickhouse.query("SELECT toString(now64(6, 'UTC')) AS now")
    parameters: dict[str, Any] = {"until": row["now"]}
    after = ""
    while limit > 0:
        page = min(limit, PAGE_ITEMS)
        rows = _query(
            clickhouse,
            selection,
            f"SELECT {names} FROM {{rejected}}"  # noqa: S608  # our own names
            f" WHERE rejected_at <= {{until:DateTime64(6, 'UTC')}}{after}"
            f" ORDER BY {order} LIMIT 1 BY {SOURCE} LIMIT {{page:UInt32}}",
            {**parameters, "page": page},
        )
        yield from rows
        if len(rows) < page:
            return
        limit -= page
        after = f" AND ({order}) > ({{at:DateTime64(6, 'UTC')}}, {{log:UInt16}}, {{number:UInt32}}, {{offset:UInt64}})"
        last = rows[-1]
        parameters |= {
            "at": last["rejected_at"],
            "log": last["_log"],
            "number": last["_partition"],
            "offset": last["_origin"],
        }


def _query(
    clickhouse: ClickHouse, selection: Selection, sql: str, parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows of *sql*, whose `{rejected}` are the items of *selection*; `ArgumentError` if it is not valid."""
    statement = sql.replace("{rejected}", _table(selection, has_replays="replayed_at" in sql))
    try:
        if selection.where.strip():
            # Alone as well as in parentheses: `1) OR (1` would select what the other options exclude.
            clickhouse.query("SELECT formatQuery({sql:String})", {"sql": f"SELECT 1 WHERE {selection.where}"})
        return clickhouse.query(statement, {**selection.parameters, **parameters})
    except UnavailableError:
        raise
    except ClickHouseError as error:
        if error.code in (_NO_TABLE, _DENIED) and not selection.where:
            raise OperateError(
                f"The table rejected cannot be read: {reason(error)} Run `sequence tables migrate`."
            ) from error
        if not selection.where:
            raise
        columns = ", ".join(name for name, _ in REJECTED.columns)
        raise ArgumentError(
            f"ClickHouse does not accept --where {selection.where!r}: {reason(error)} It is a condition in SQL over "
            f"these columns: {columns}."
        ) from error


def _table(selection: Selection, *, has_replays: bool) -> str:
    """Return a subquery with the items of *selection*; *has_replays* tells whether the statement asks for replays."""
    if not has_replays and not selection.not_replayed:
        return f"(SELECT * FROM rejected WHERE {selection.condition})"  # noqa: S608  # the condition is run as a reader
    found = selected(selection.condition)
    return f"(SELECT * FROM {found} WHERE replayed_at IS NULL)" if selection.not_replayed else found  # noqa: S608  # as above


def reason(error: ClickHouseError) -> str:
    """Return the sentence in ClickHouse's *error*."""
    found = _EXCEPTION.search(str(error))
    text = _DETAILS.split(found["text"] if found else str(error), maxsplit=1)[0].strip()
    return text if text.endswith(".") else f"{text}."


def describe(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as `--json` prints it."""
    return {
        "projectId": row["project_id"],
        "stage": row["stage"],
        "table": row["table_name"] or None,
        "code": row["code"],
        "field": row["field"] or None,
        "value": row["value"] or None,
        "message": row["message"],
        "messageId": row["message_id"] or None,
        "type": row["type"] or None,
        "event": row["event"] or None,
        "userId": row["user_id"] or None,
        "receivedAt": _time(row["received_at"]),
        "rejectedAt": _time(row["rejected_at"]),
        "replayedAt": _time(row["replayed_at"]) if row["replayed_at"] else None,
        "requestId": row["request_id"] or None,
        "source": {
            "topic": row["source_topic"],
            "partition": int(row["source_partition"]),
            "offset": int(row["source_offset"]),
        },
        "partition": int(row["_partition"]),
        "offset": int(row["_origin"]),
        "isBase64": bool(row["is_base64"]),
        "isTruncated": bool(row["is_truncated"]),
        "content": row["content"],
    }


def _time(text: str) -> str:
    return f"{text.replace(' ', 'T')}Z"
