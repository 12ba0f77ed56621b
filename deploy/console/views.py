"""`/api/views/{event}`: the typed view of an event or of the users, with its columns and a query to copy."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from deploy.console.errors import UnknownError
from deploy.console.tables import LimitedClickHouse
from processors.typed_views.columns import MAX_COLUMNS
from processors.typed_views.naming import USERS, database_name, view_name
from processors.typed_views.statements import EVENT_COLUMNS, USER_COLUMNS
from schemas.clickhouse.quoting import quoted

MOST_COLUMNS = MAX_COLUMNS + len(EVENT_COLUMNS)
SELECTED_COLUMNS = 30
"""Columns of properties in the query to copy; of a view with more the query names the first."""
_COLUMNS = (
    "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {view:String}"  # noqa: S608  # a number
    f" ORDER BY position LIMIT {MOST_COLUMNS}"
)


class ViewColumn(msgspec.Struct, frozen=True, rename="camel"):
    """A column."""

    name: str
    type: str
    """In ClickHouse."""
    is_property: bool
    """Whether it has the values of a property or trait."""


class ShownView(msgspec.Struct, frozen=True, rename="camel"):
    """A typed view."""

    project_id: str
    database: str
    view: str
    columns: list[ViewColumn]
    sql: str
    """Reads the newest rows."""


def find(clickhouse: LimitedClickHouse, project_id: str, event: str | None) -> ShownView:
    """Return the view of *event*, of the users if it is None; raises `UnknownError` and `LimitError`."""
    database = database_name(clickhouse.database, project_id)
    name, own = (USERS, USER_COLUMNS) if event is None else (view_name(event), EVENT_COLUMNS)
    rows = clickhouse.query(_COLUMNS, {"database": database, "view": name})
    if not rows:
        raise UnknownError(
            "view_unknown",
            f"There is no view {database}.{name}. The sink makes the view within a minute of the first event; "
            "`sequence views list` shows all.",
        )
    columns = [ViewColumn(row["name"], row["type"], row["name"] not in own) for row in rows]
    return ShownView(project_id, database, name, columns, _sql(database, name, columns))


def _sql(database: str, name: str, columns: Sequence[ViewColumn]) -> str:
    """Return a query that reads the newest rows of a view."""
    time = "last_seen" if name == USERS else "received_at"
    first = ("id", time) if name == USERS else ("id", "user_id", time)
    properties = [column.name for column in columns if column.is_property][:SELECTED_COLUMNS]
    selected = ", ".join([*first, *map(quoted, properties)])
    return f"SELECT {selected}\nFROM {quoted(database)}.{quoted(name)}\nORDER BY {time} DESC\nLIMIT 100"
