"""The statement of a pass: counts the paths of new rows, and moves the positions, in one INSERT. Pure.

Property names are data in the tables and never part of the statement. Projects and events that are near their limit
are: as literals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from schemas.clickhouse import EVENTS, IDENTIFIES, Table
from schemas.clickhouse.quoting import literal

LIMIT = 10_000
"""Maximum number of paths of an event, and of events of a project; what exceeds it is counted as `OTHER`."""
NEAR = LIMIT // 4
"""An event with more paths is near its limit: its new paths are ranked. So is a project with more events."""
OTHER = "(other)"
TOO_MANY = "the pass has too many paths or events for one statement without ranks"
"""The message with which a pass fails that has a crowd unknown so far. Code 395 alone can be of anyone's `throwIf`."""
MOVED = "the positions of the catalogue have moved"
"""The message with which a pass fails whose rows another pass has counted."""
TOO_LATE = "the deadline of this pass has passed"

_COLUMNS = "project_id, kind, event, path, type, _log, _partition, _generation, total, first, last, _position, _pass"
_SEEN = "count() AS total, min(received_at) AS first, max(received_at) AS last"
_TYPES = (
    "multiIf(type IN ('Int64', 'UInt64'), 'integer', type = 'Float64', 'float', type = 'Bool', 'boolean',"
    " startsWith(type, 'Array(') AND position(type, 'JSON') > 0, 'array of objects',"
    " startsWith(type, 'Array('), 'array', type IN ('null', ''), type, 'text')"
)
"""Plain words for the engine's types. Text that looks like a time is text: the sink stores it so."""


@dataclass(frozen=True, slots=True)
class Source:
    """A table whose JSON column is counted."""

    table: Table
    kind: str
    event: str
    """Expression of the event's name."""
    column: str


SOURCES = (Source(EVENTS, "event", "event", "properties"), Source(IDENTIFIES, "trait", "''", "traits"))


@dataclass(frozen=True, slots=True)
class Range:
    """Source offsets of a partition, from *first* to before *end*."""

    log: int
    partition: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Crowds:
    """What is near its limit."""

    events: frozenset[tuple[str, str]] = frozenset()
    """Project and name of events with many paths."""
    projects: frozenset[str] = frozenset()
    """Projects with many events."""

    def __or__(self, other: Crowds) -> Crowds:
        """Return both."""
        return Crowds(self.events | other.events, self.projects | other.projects)


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over the rows of *ranges*."""

    source: Source
    generation: int
    number: int
    """One more than that of the last pass."""
    ranges: Sequence[Range]
    crowds: Crowds = field(default_factory=Crowds)

    @property
    def token(self) -> str:
        """The token by which the engine stores one pass of a number, whatever its ranges."""
        return f"{token_prefix(self.source)}{self.generation}:{self.number}"


def token_prefix(source: Source) -> str:
    """Return what the token of each pass over *source* begins with."""
    return f"sequence:catalog:{source.kind}:"


def insert(counted: Pass, deadline: float) -> str:
    """Return the INSERT of a pass; it fails if *deadline* has passed on the server, or if the positions have moved."""
    return f"INSERT INTO catalog_counts ({_COLUMNS}) {_with_positions(counted, _unless(counted, deadline))}"


def skip(counted: Pass, deadline: float) -> str:
    """Return an INSERT that moves the positions of a pass and counts none of its rows."""
    rows = _positions(counted)
    return f"INSERT INTO catalog_counts ({_COLUMNS}) SELECT * FROM ({rows}) WHERE {_unless(counted, deadline)}"  # noqa: S608  # our own names and numbers


def trial(counted: Pass) -> str:
    """Return the SELECT of a pass over no rows: it fails if the fault is not that of rows."""
    return f"SELECT * FROM ({_counts(counted, '0')})"  # noqa: S608  # our own names and numbers


def crowds(counted: Pass) -> str:
    """Return the query for events with many paths and projects with many events among the rows of a pass.

    Its columns: `project_id`, `event`, and `of_project`, 1 for a project with many events.
    """
    grouped = _grouped(counted.source, rows_of(counted.ranges))
    return (
        "SELECT project_id, event, 0 AS of_project, count() AS n"  # noqa: S608  # our own names and numbers
        f" FROM ({grouped}) GROUP BY project_id, event HAVING n > {NEAR}"
        " UNION ALL SELECT project_id, '', 1, uniqExact(event) AS n"
        f" FROM ({grouped}) GROUP BY project_id HAVING n > {NEAR}"
    )


def is_far(crowds: Crowds) -> str:
    """Return the condition that an event is not among *crowds*."""
    return f"NOT {_is_in('(project_id, event)', map(_pair, crowds.events))}"


def is_far_project(crowds: Crowds) -> str:
    """Return the condition that a project is not among *crowds*."""
    return f"NOT {_is_in('project_id', map(literal, crowds.projects))}"


def _unless(counted: Pass, deadline: float) -> str:
    """Return the condition under which a pass may be stored; each part of it raises an error otherwise."""
    of_kind = f"project_id = '' AND kind = '{counted.source.kind}' AND _generation = {counted.generation}"
    last_pass = f"(SELECT max(_pass) FROM catalog_counts WHERE {of_kind})"  # noqa: S608  # our own names and numbers
    generation = "(SELECT max(_generation) FROM catalog_counts)"
    return (
        # `now64` is the time at which the statement begins. One that begins in time and ends late is stored once.
        f"throwIf(now64(3) >= toDateTime64('{deadline:.3f}', 3), '{TOO_LATE}') = 0"
        f" AND throwIf({last_pass} != {counted.number - 1} OR {generation} != {counted.generation}, '{MOVED}') = 0"
    )


def _with_positions(counted: Pass, condition: str) -> str:
    counts = _counts(counted, rows_of(counted.ranges))
    return f"SELECT * FROM ({counts} UNION ALL {_positions(counted)}) WHERE {condition}"  # noqa: S608  # our own names and numbers


def _positions(counted: Pass) -> str:
    moved = ", ".join(f"({each.log}, {each.partition}, {each.end})" for each in counted.ranges)
    return (
        f"SELECT '' AS project_id, '{counted.source.kind}' AS kind, '' AS event, '' AS path, '' AS type,"  # noqa: S608  # our own names and numbers
        f" toUInt16(moved.1) AS _log, toUInt32(moved.2) AS _partition, toUInt32({counted.generation}) AS _generation,"
        " toUInt64(0) AS total, toDateTime64(0, 6, 'UTC') AS first, toDateTime64(0, 6, 'UTC') AS last,"
        f" toUInt64(moved.3) AS _position, toUInt64({counted.number}) AS _pass"
        f" FROM (SELECT arrayJoin([{moved}]) AS moved)"
    )


def _counts(counted: Pass, rows: str) -> str:
    """Return the rows of the catalogue for *rows* of a table: one for each event, and one for each path and type."""
    grouped = _ranked(counted, _grouped(counted.source, rows))
    return (
        f"SELECT project_id, '{counted.source.kind}' AS kind, event, path, {_TYPES} AS type, toUInt16(0) AS _log,"  # noqa: S608  # our own names and numbers
        f" toUInt32(0) AS _partition, toUInt32({counted.generation}) AS _generation, total, first, last,"
        f" toUInt64(0) AS _position, toUInt64({counted.number}) AS _pass FROM ({grouped})"
    )


def _grouped(source: Source, rows: str) -> str:
    """Return the groups of *rows*: a group without a type is the event itself."""
    event, column, table = source.event, source.column, source.table.name
    of_column = (
        f"SELECT project_id, {event} AS event, received_at, cityHash64(project_id, {event}) AS of_event,"  # noqa: S608  # our own names and numbers
        f" CAST(JSONAllPathsWithTypes({column}), 'Array(Tuple(String, String))') AS paths FROM {table} PREWHERE {rows}"
    )
    plain_nulls = f"arrayFilter(key -> position(key, '[]') = 0, {column}_null_keys)"
    # A null in an array is not a null of its path: `list[]`, `items[].sku`. But a name may contain `[]` as well.
    of_a_name = (
        f"position(key, '[]') > 0 AND NOT arrayExists(parts -> has(JSONAllPaths({column}),"
        " arrayStringConcat(arraySlice(splitByString('[]', key), 1, parts), '[]')),"
        " range(1, length(splitByString('[]', key))))"
    )
    return (
        # Two hashes of 64 bits group a third faster than the four texts.
        "SELECT any(project_id) AS project_id, any(event) AS event, any(found.1) AS path, any(found.2) AS type,"  # noqa: S608  # our own names and numbers
        f" {_SEEN} FROM ({of_column}) ARRAY JOIN paths AS found GROUP BY of_event, cityHash64(found.1, found.2)"
        # Without the JSON column: the events themselves, and nulls.
        f" UNION ALL SELECT project_id, {event} AS event, found.1 AS path, found.2 AS type, {_SEEN} FROM {table}"
        f" ARRAY JOIN arrayPushFront(arrayMap(key -> (key, 'null'), {plain_nulls}), ('', '')) AS found"
        f" PREWHERE {rows} GROUP BY project_id, event, path, type"
        f" UNION ALL SELECT project_id, {event} AS event, key AS path, 'null' AS type, {_SEEN} FROM {table}"
        f" ARRAY JOIN arrayFilter(key -> {of_a_name}, {column}_null_keys) AS key"
        f" PREWHERE ({rows}) AND arrayExists(key -> position(key, '[]') > 0, {column}_null_keys)"
        " GROUP BY project_id, event, path, type"
    )


def _ranked(counted: Pass, grouped: str) -> str:
    """Return *grouped* with what exceeds the limits as `OTHER`; it fails if a crowd is not among those of the pass."""
    near = counted.crowds
    is_near_event = _is_in("(project_id, event)", map(_pair, near.events))
    is_near_project = _is_in("project_id", map(literal, near.projects))
    is_unknown_crowd = (
        f"(paths_now > {NEAR} AND NOT {is_near_event}) OR (events_now > {NEAR} AND NOT {is_near_project})"
    )
    counted_groups = (
        "SELECT *, count() OVER (PARTITION BY project_id, event) AS paths_now,"  # noqa: S608  # our own names and numbers
        f" countIf(type = '') OVER (PARTITION BY project_id) AS events_now FROM ({grouped})"
    )
    ranked = (
        "SELECT project_id, event, path, type, total, first, last"  # noqa: S608  # our own names and numbers
        f" FROM ({counted_groups}) WHERE throwIf({is_unknown_crowd}, '{TOO_MANY}') = 0"
    )
    if near.projects:
        ranked = _with_other_events(counted, ranked, is_near_project)
    if near.events:
        ranked = _with_other_paths(counted, ranked, is_near_event)
    return ranked


def _with_other_events(counted: Pass, groups: str, is_near: str) -> str:
    """Return *groups* with the events beyond the limit of their project as one; their paths are left out."""
    known = _known(counted, _is_in("project_id", map(literal, counted.crowds.projects)))
    weighed = (
        f"SELECT *, {is_near} AS is_near, is_near AND (project_id, event) IN (SELECT project_id, event FROM {known})"  # noqa: S608  # our own names and numbers
        f" AS is_known, max(total) OVER (PARTITION BY project_id, event) AS weight FROM ({groups})"
    )
    room = f"(SELECT project_id, uniqExact(event) AS used FROM {known} WHERE event != '{OTHER}' GROUP BY project_id)"  # noqa: S608
    return (
        f"SELECT project_id, if(is_kept, event, '{OTHER}') AS event, path, type, total, first, last FROM ("  # noqa: S608  # our own names and numbers
        f"SELECT *, NOT is_near OR is_known OR used + rank <= {LIMIT} AS is_kept FROM (SELECT *,"
        " dense_rank() OVER (PARTITION BY project_id, is_known ORDER BY weight DESC, event) AS rank"
        f" FROM ({weighed})) AS ranked LEFT JOIN {room} AS room USING (project_id)) WHERE is_kept OR type = ''"
    )


def _with_other_paths(counted: Pass, groups: str, is_near: str) -> str:
    """Return *groups* with the paths beyond the limit of their event as one."""
    known = _known(counted, f"{_is_in('(project_id, event)', map(_pair, counted.crowds.events))} AND type != ''")
    weighed = (
        f"SELECT *, {is_near} AND type != '' AS is_near, is_near AND (project_id, event, path) IN"  # noqa: S608  # our own names and numbers
        f" (SELECT project_id, event, path FROM {known}) AS is_known,"
        f" sum(total) OVER (PARTITION BY project_id, event, path, is_near) AS weight FROM ({groups})"
    )
    room = f"(SELECT project_id, event, uniqExact(path) AS used FROM {known} GROUP BY project_id, event)"  # noqa: S608
    return (
        f"SELECT project_id, event, if(is_kept, path, '{OTHER}') AS path, if(is_kept, type, '') AS type,"  # noqa: S608  # our own names and numbers
        f" total, first, last FROM (SELECT *, NOT is_near OR is_known OR used + rank <= {LIMIT} AS is_kept FROM ("
        "SELECT *, dense_rank() OVER (PARTITION BY project_id, event, is_near, is_known ORDER BY weight DESC, path)"
        f" AS rank FROM ({weighed})) AS ranked LEFT JOIN {room} AS room USING (project_id, event))"
    )


def _known(counted: Pass, condition: str) -> str:
    """Return the rows of the catalogue that satisfy *condition*, as a subquery."""
    return (
        f"(SELECT project_id, event, path FROM catalog_counts WHERE {condition} AND kind = '{counted.source.kind}'"  # noqa: S608  # our own names and numbers
        f" AND _generation = {counted.generation} AND project_id != '')"
    )


def rows_of(ranges: Iterable[Range]) -> str:
    """Return the condition of the rows of *ranges*."""
    return " OR ".join(
        f"(_log = {each.log} AND _partition = {each.partition} AND _origin >= {each.first} AND _origin < {each.end})"
        for each in ranges
    )


def _is_in(expression: str, literals: Iterable[str]) -> str:
    listed = ", ".join(sorted(literals))
    return f"{expression} IN ({listed})" if listed else "0"


def _pair(pair: tuple[str, str]) -> str:
    return f"({literal(pair[0])}, {literal(pair[1])})"
