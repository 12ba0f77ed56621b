"""How far erasures are, from the table `erasures`."""

from __future__ import annotations

from typing import Any

from deploy.errors import ArgumentError
from processors.clickhouse.client import ClickHouse

_TIMES = {
    "requestedAt": "requested_at",
    "from": "since",
    "until": "until",
    "invisibleAt": "invisible_at",
    "provenAt": "proven_at",
    "topicsForgetAt": "topics_forget_at",
}


def listed(clickhouse: ClickHouse, project_id: str = "", erasure_id: str = "") -> list[dict[str, Any]]:
    """Return the erasures of a project, the newest first, all if it is empty, or the one with an ID.

    Raises `ArgumentError` for an unknown ID.
    """
    rows = clickhouse.query(
        "SELECT id, project_id, requested_at, users, since, until, status, waits_for, invisible_at, proven_at,"
        " topics_forget_at, rows, backups FROM erasures FINAL"
        " WHERE {project:String} IN ('', project_id) AND {id:String} IN ('', id) ORDER BY requested_at DESC"
        " SETTINGS output_format_json_quote_64bit_integers = 0, output_format_json_named_tuples_as_objects = 1",
        {"project": project_id, "id": erasure_id},
    )
    if erasure_id and not rows:
        raise ArgumentError(f"There is no erasure {erasure_id}. `sequence erase status` lists all.")
    return [_described(row) for row in rows]


def _described(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: _time(row[column]) for name, column in _TIMES.items()}
    return {
        "id": row["id"],
        "projectId": row["project_id"],
        "users": row["users"],
        "status": row["status"],
        "waitsFor": row["waits_for"] or None,
        **times,
        "rows": row["rows"],
        "backups": [{"name": each["name"], "takenAt": _time(each["taken_at"])} for each in row["backups"]],
    }


def _time(text: str | None) -> str | None:
    return None if text is None else f"{text.replace(' ', 'T')[:19]}Z"
