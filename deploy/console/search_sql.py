"""The statements of `/api/events`, and the order of its items. Pure. Values are parameters, not part of a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from deploy.console.items import CONTENT_CHARACTERS, row_time
from processors.sink.rows import RejectedRow
from schemas.clickhouse import REJECTED
from schemas.times import END

_RANKS = {"identifies": 3, "events": 2, "duplicates": 1, "rejected": 0}
"""The order of items of one time of receipt: all items of a batch have the same."""
_VERDICTS = {"accepted": ("events", "identifies"), "duplicate": ("duplicates",), "rejected": ("rejected",)}
_FIELDS = (
    "'\"messageId\":', toJSONString(message_id), ',\"userId\":', toJSONString(user_id), ',\"anonymousId\":',"
    " toJSONString(ifNull(anonymous_id, '')), ',\"timestamp\":\"', toString(timestamp), '\",\"context\":', context"
)
_SEARCHED = {
    "events": (
        f'concat(\'"type":"track","event":\', toJSONString(event), \',\', {_FIELDS},'
        " ',\"properties\":', toJSONString(properties))"
    ),
    "identifies": f'concat(\'"type":"identify",\', {_FIELDS}, \',"traits":\', toJSONString(traits))',
    "duplicates": "content",
    "rejected": "content",
}
"""Text that is searched: the item as JSON."""
_ITEM = (
    "project_id, message_id, user_id, timestamp, received_at, original_timestamp, sent_at, anonymous_id,"
    f" leftUTF8(context, {CONTENT_CHARACTERS}) AS shown_context,"
    f" leftUTF8(integrations, {CONTENT_CHARACTERS}) AS shown_integrations, _warnings, _token, _log,"
    " _partition, _origin"
)
_SHOWN = {
    "events": f"'track' AS kind, event, {_ITEM}, properties_null_keys AS null_keys, toJSONString(properties) AS whole",
    "identifies": f"'identify' AS kind, '' AS event, {_ITEM}, traits_null_keys AS null_keys,"
    " toJSONString(traits) AS whole",
    "duplicates": "type AS kind, event, project_id, message_id, user_id, received_at, content AS whole,"
    " _log, _partition, _origin",
    "rejected": f"{', '.join(name for name, _ in REJECTED.columns if name != 'content')}, content AS whole",
}
_BY = {"rejected": " LIMIT 1 BY stage, table_name, source_topic, source_partition, source_offset, _log"}
"""A worker may reject a record twice; it is shown once."""


class Cursor(NamedTuple):
    """The place of an item in the order of the answer; the newest item has the highest."""

    time: Annotated[int, Meta(ge=0, le=END)]
    """Of its receipt, in microseconds since 1970."""
    rank: Annotated[int, Meta(ge=-1, le=3)]
    """By its table; -1 is below every item of the time."""
    log: Annotated[int, Meta(ge=0, lt=2**16)] = 0
    partition: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    origin: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0

    @staticmethod
    def before(time: int) -> Cursor:
        """Return the place below every item of *time* and above the items before it."""
        return Cursor(time, -1)


@dataclass(frozen=True, slots=True)
class Match:
    """Which items are shown. Every part that is given must apply."""

    project_id: str | None = None
    user_id: str | None = None
    event: str | None = None
    verdict: str | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Times of receipt from *start* to before *end*, and only items below the cursor *before*."""

    start: int
    end: int
    before: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with the values of its placeholders."""

    sql: str
    parameters: Mapping[str, Any]


def tables(match: Match) -> Sequence[str]:
    """Return the tables that can have items that *match*."""
    found = _VERDICTS[match.verdict] if match.verdict else tuple(_RANKS)
    return [table for table in _RANKS if table in found and not (table == "identifies" and match.event)]


def count(match: Match, window: Window, limit: int) -> Statement:
    """Return the statement for the number of items in *window*, at most *limit*, and the time of the last of them."""
    parts = [
        f"(SELECT received_at FROM {table} WHERE {_condition(table, match, window)}"  # noqa: S608  # our own names
        " ORDER BY received_at DESC LIMIT {limit:UInt32})"
        for table in tables(match)
    ]
    sql = (
        "SELECT count() AS found, toUnixTimestamp64Micro(min(received_at)) AS oldest FROM"  # noqa: S608  # as above
        f" (SELECT received_at FROM ({' UNION ALL '.join(parts)}) ORDER BY received_at DESC LIMIT {{limit:UInt32}})"
    )
    return Statement(sql, {**_parameters(match, window), "limit": limit})


def rows(table: str, match: Match, window: Window, limit: int) -> Statement:
    """Return the statement for the newest rows of *table* in *window*; those of one time have the order of `Cursor`."""
    order = "received_at DESC, _log DESC, _partition DESC, _origin DESC"
    inner = (
        f"SELECT toUnixTimestamp64Micro(received_at) AS received, {_SHOWN[table]} FROM {table}"  # noqa: S608  # as above
        f" WHERE {_condition(table, match, window)} ORDER BY {order}{_BY.get(table, '')} LIMIT {{limit:UInt32}}"
    )
    sql = (
        f"SELECT * EXCEPT (whole), leftUTF8(whole, {CONTENT_CHARACTERS}) AS body,"  # noqa: S608  # as above
        f" lengthUTF8(whole) > {CONTENT_CHARACTERS} AS is_cut FROM ({inner})"
    )
    return Statement(sql, {**_parameters(match, window), "limit": limit})


def place(table: str, row: Mapping[str, Any]) -> Cursor:
    """Return the place of a row of `rows`."""
    return Cursor(int(row["received"]), _RANKS[table], int(row["_log"]), int(row["_partition"]), int(row["_origin"]))


def rejected_row(row: Mapping[str, Any]) -> RejectedRow:
    """Return a row of `rejected` as the sink writes it."""
    values = {**row, "content": row["body"], "is_truncated": bool(row["is_truncated"] or row["is_cut"])}
    texts = {name: row_time(row[name]) for name in ("received_at", "rejected_at")}
    return RejectedRow(*({**values, **texts}[name] for name, _ in REJECTED.columns))


def _condition(table: str, match: Match, window: Window) -> str:
    parts = [
        "received_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')",
        "received_at < fromUnixTimestamp64Micro({end:Int64}, 'UTC')",
    ]
    if match.project_id is not None:
        parts.append("project_id = {project:String}")
    if match.user_id is not None:
        parts.append("user_id = {user:String}")
    if match.event is not None:
        parts.append("event = {event:String}")
    if window.before is not None:
        parts.append(_below(_RANKS[table], window.before))
    if match.search is not None:
        parts.append(f"positionCaseInsensitiveUTF8({_SEARCHED[table]}, {{search:String}}) > 0")
    return " AND ".join(parts)


def _below(rank: int, cursor: Cursor) -> str:
    time = "fromUnixTimestamp64Micro({cursor_time:Int64}, 'UTC')"
    if rank != cursor.rank:
        return f"received_at {'<=' if rank < cursor.rank else '<'} {time}"
    return (
        f"(received_at < {time} OR (received_at = {time} AND (_log, _partition, _origin) <"
        " ({cursor_log:UInt16}, {cursor_partition:UInt32}, {cursor_origin:UInt64})))"
    )


def _parameters(match: Match, window: Window) -> dict[str, Any]:
    given = {"project": match.project_id, "user": match.user_id, "event": match.event, "search": match.search}
    found: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    found |= {"start": window.start, "end": window.end}
    if window.before is not None:
        time, _, log, partition, origin = window.before
        found |= {"cursor_time": time, "cursor_log": log, "cursor_partition": partition, "cursor_origin": origin}
    return found
