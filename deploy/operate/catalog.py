"""Reads and rebuilds the catalogue."""

from __future__ import annotations

from deploy.errors import ArgumentError
from deploy.operate.catalog_result import Event, entry, events
from deploy.operate.servers import Servers
from processors.clickhouse.client import ClickHouse
from processors.sink.catalog_ranges import offsets, pending
from processors.sink.catalog_statement import SOURCES
from processors.sink.catalog_store import ClickHouseCatalog

_COLUMNS = "project_id, kind, event, path, type, count, first_seen, last_seen"


def read(servers: Servers, project_id: str, event: str | None, *, traits: bool) -> tuple[list[Event], int]:
    """Return the events of *project_id*, of all projects if empty, and how many source offsets are not counted yet.

    With *event* that event alone, with *traits* the traits alone. Raises `ArgumentError` if there is none.
    """
    conditions = {
        "project_id = {project:String}": bool(project_id),
        "kind = 'event' AND event = {event:String}": event is not None,
        "kind = 'trait'": traits,
    }
    where = " AND ".join(condition for condition, is_given in conditions.items() if is_given) or "1"
    with servers.tables() as clickhouse:
        rows = clickhouse.query(
            f"SELECT {_COLUMNS} FROM catalog WHERE {where}",  # noqa: S608  # our own names
            {"project": project_id, "event": event or ""},
        )
        uncounted = _uncounted(clickhouse)
    found = events(map(entry, rows))
    if not found and (project_id or event is not None or traits):
        of_project = f" of project {project_id}" if project_id else ""
        wait = " Some rows are not counted yet: try again in a minute." if uncounted else ""
        if event is not None:
            raise ArgumentError(
                f"No event {event!r}{of_project} has been counted. Names are case-sensitive; `sequence catalog` shows "
                f"all.{wait}"
            )
        what = "traits" if traits else "events"
        raise ArgumentError(
            f"The catalogue has no {what}{of_project}. `sequence project list` shows all projects.{wait}"
        )
    return found, uncounted


def rebuild(servers: Servers) -> int:
    """Let the sink count every row again; return how many source offsets that are."""
    with servers.tables() as clickhouse:
        ClickHouseCatalog(clickhouse).begin_generation()
        return _uncounted(clickhouse)


def _uncounted(clickhouse: ClickHouse) -> int:
    store = ClickHouseCatalog(clickhouse)
    return sum(offsets(pending(store.state(source).positions, store.ends(source))) for source in SOURCES)
