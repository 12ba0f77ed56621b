"""`/api/persons/{userId}/history`: the values that the traits of a person had, from the view `person_history`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from deploy.console.errors import ParameterError, UnknownError
from deploy.console.items import row_time
from deploy.console.tables import LimitedClickHouse

MOST_VALUES = 500
VALUE_CHARACTERS = 500
_VALUES = (
    f"SELECT project_id, trait, leftUTF8(value, {VALUE_CHARACTERS}) AS shown, lengthUTF8(value) AS characters,"  # noqa: S608  # a number
    " valid_from, valid_to FROM person_history WHERE user_id = {user:String} AND project_id IN"
    " ({projects:Array(String)})"
)
_ORDER = " ORDER BY valid_from DESC, trait LIMIT {limit:UInt32}"


class Value(msgspec.Struct, frozen=True, rename="camel"):
    """A value that a trait had for a time."""

    trait: str
    value: str
    """As text; of an object or array its JSON."""
    is_cut: bool
    """Whether it is longer than `VALUE_CHARACTERS`."""
    valid_from: str
    valid_to: str | None
    """None if it applies now."""


class History(msgspec.Struct, frozen=True, rename="camel"):
    """Values of the traits of a person, the newest first."""

    project_id: str
    user_id: str
    values: list[Value]
    is_complete: bool
    """Whether there are no more than `MOST_VALUES`."""


def find(clickhouse: LimitedClickHouse, project_ids: Sequence[str], user_id: str, trait: str | None) -> History:
    """Return the history of the user in one of *project_ids*; raises `UnknownError`, `ParameterError`, `LimitError`."""
    sql = _VALUES + ("" if trait is None else " AND trait = {trait:String}") + _ORDER
    asked = {"user": user_id, "projects": list(project_ids), "trait": trait or "", "limit": MOST_VALUES + 1}
    rows = clickhouse.query(sql, asked)
    found = sorted({row["project_id"] for row in rows})
    if len(found) > 1:
        raise ParameterError(f"project: several projects have this user: {', '.join(found[:10])}. Name one of them.")
    if not found:
        what = "a trait" if trait is None else f"the trait {trait!r}"
        raise UnknownError(
            "person_unknown",
            f"No identify of user {user_id!r} with {what} is in ClickHouse. Check the names; a new person appears "
            "within seconds.",
        )
    return History(found[0], user_id, [_value(row) for row in rows[:MOST_VALUES]], len(rows) <= MOST_VALUES)


def _value(row: Mapping[str, Any]) -> Value:
    until = row["valid_to"]
    return Value(
        row["trait"],
        row["shown"],
        int(row["characters"]) > VALUE_CHARACTERS,
        row_time(row["valid_from"]),
        None if until is None else row_time(until),
    )
