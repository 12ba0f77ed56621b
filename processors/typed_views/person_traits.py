"""The statement of `events_with_person`: every event with traits that its user had at the time of the event. Pure.

The view has one ASOF JOIN, whatever the number of traits: its right side is the state of each user after each change of
one of them. Nothing is copied, so an identify that arrives late changes the rows of older events.
"""

from __future__ import annotations

from collections.abc import Sequence

from processors.typed_views.columns import BOOLEAN, FLOAT, INTEGER, TEXT, Column
from processors.typed_views.statements import declared_value, track_columns
from schemas.clickhouse.quoting import literal, quoted

MAX_TRAITS = 20
_OF_TEXT = {INTEGER: "toInt64OrNull({})", FLOAT: "num({})", BOOLEAN: "bool({})", TEXT: "{}"}
"""Expressions by the type of a column, for the text of the value."""


def events_with_person(base: str, project_id: str, traits: Sequence[Column]) -> str:
    """Return a SELECT of every event of *project_id* with a column `person_<name>` for each of *traits*.

    A column is NULL where the user did not have the trait at that time. Each of *traits* is a trait of the first level.
    Raises `ValueError` for none or more than `MAX_TRAITS`.
    """
    if not 1 <= len(traits) <= MAX_TRAITS:
        raise ValueError(f"{len(traits)} traits, but events_with_person has 1 to {MAX_TRAITS}")
    names = {column.name: column.paths[0].replace("%2E", ".") for column in traits}
    which = ", ".join(literal(name) for name in sorted(set(names.values())))
    history = f"{quoted(base)}.person_history WHERE project_id = {literal(project_id)} AND trait IN ({which})"
    # A value ends where the next one begins; of both at one time the value counts. Without an end there is none.
    changes = (
        "SELECT user_id, trait, c.1 AS time, argMax(c.2, c.3) AS change FROM (SELECT user_id, trait, arrayJoin(["  # noqa: S608
        "(valid_from, tuple(toNullable(value)), 1),"
        " (ifNull(valid_to, valid_from), tuple(CAST(NULL, 'Nullable(String)')), 0)"
        f"]) AS c FROM {history}) GROUP BY user_id, trait, time"
    )
    states = ", ".join(
        f"(argMaxIf(change, time, trait = {literal(trait)}) OVER (PARTITION BY user_id ORDER BY time)).1"
        f" AS {quoted(name)}"
        for name, trait in names.items()
    )
    columns = ", ".join(
        f"{_typed(f'p.{quoted(column.name)}', column.type)} AS {quoted(f'person_{column.name}')}" for column in traits
    )
    return (
        f"SELECT {', '.join(track_columns())}, {columns} FROM {quoted(base)}.events AS e ASOF LEFT JOIN"  # noqa: S608  # each name is quoted
        f" (SELECT user_id, time, {states} FROM ({changes})) AS p"
        f" ON p.user_id = e.user_id AND p.time <= e.timestamp WHERE e.project_id = {literal(project_id)}"
    )


def _typed(text: str, kind: str) -> str:
    return _OF_TEXT[kind].format(text) if kind in _OF_TEXT else declared_value(text, kind)
