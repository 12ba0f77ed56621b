"""What to type after a statement that ClickHouse refuses because of the name of a column. Pure."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from deploy.sql_names import aggregates, joined_arrays, tables
from processors.typed_views.naming import snake_case
from processors.typed_views.statements import EVENT_COLUMNS

NEAR = 0.75
"""Share of equal characters from which a name is meant. `event` has 0.67 of `revenue`, `user` has 0.73 of `user_id`."""
_MAYBE = re.compile(
    r"[`'](?P<name>[^`']+)[`'](?: cannot be resolved from table.*?)?\."
    r"(?P<hint> Maybe you meant: \[(?P<near>[^]]*)\]\.)",
    re.DOTALL,
)


def without_far_names(error: str) -> str:
    """Return ClickHouse's message *error* about a column without names that it proposes and that are not near."""
    found = _MAYBE.search(error)
    if found is None or "UNKNOWN_IDENTIFIER" not in error or _near(found["name"], found["near"]):
        return error
    return error[: found.start("hint")] + error[found.end("hint") :]


def _near(name: str, names: str) -> bool:
    """Return whether one of the quoted *names* of a message can be what *name* means."""
    ends = (other.rpartition(".")[2].lower() for other in re.findall(r"'([^']*)'", names))
    written = name.rpartition(".")[2].lower()
    return any(SequenceMatcher(None, written, end).ratio() >= NEAR for end in ends)


def unknown(found: re.Match[str], typed: str) -> str:
    """Advise on a column that no table of the statement has."""
    name = found["name"]
    alias, _, member = name.partition(".")
    if array := joined_arrays(typed).get(alias):
        is_text = "Raw(" in array or ("JSONExtract(" in array and "'Array(String)'" in found.string)
        return f"{alias} is JSON text: JSONExtractString({alias}, '{member}')." if is_text and member else ""
    return _column(tables(found["scope"]), "", name)


def unknown_of_table(found: re.Match[str], _: str) -> str:
    """Advise on a column with the alias of a table, which the message has as well."""
    return _column([found["original"] or found["table"]], f"{found['alias']}.", found["name"])


def unknown_using(_: re.Match[str], typed: str) -> str:
    """Advise on `USING (user_id)` with `users`."""
    found = re.search(r"\bJOIN\s+(?:\w+\.)?users(?:\s+AS\s+(\w+))?", typed, re.IGNORECASE)
    return (
        f"users has the ID of a user in the column id: JOIN users ON user_id = {found[1] or 'users'}.id."
        if found
        else ""
    )


def _column(scope: list[str], alias: str, name: str) -> str:
    """Return how one of the tables or views of *scope* has the column *name*; empty if there is none."""
    column = snake_case(name)
    table = re.split(r"[.`]+", scope[0].strip("`"))[-1] if scope else ""
    if table == "users" and column == "user_id":
        return f"users has the ID of a user in the column id: {alias}id."
    if table in {"events", "identifies", "persons"}:
        return f"A property is read with its path: {alias}{'properties' if table == 'events' else 'traits'}.{name}."
    if table in {"tracks", "events_with_person"} and column not in EVENT_COLUMNS and not column.startswith("person_"):
        return f"{table} has no column for each property. Read the property with its path: {alias}properties.{name}."
    if column not in {"", name}:
        return f"Columns of typed views are in snake case: {alias}{column}."
    described = " and ".join(f"DESCRIBE {each}" for each in scope)
    return f"{described} {'lists' if len(scope) == 1 else 'list'} the columns with their meaning." if scope else ""


def hiding_alias(found: re.Match[str], typed: str) -> str:
    """Advise on an aggregate of an alias that is an aggregate itself, and hides the column with its name."""
    for function, name, text in aggregates(typed):
        if not (re.search(rf"(?<![\w.]){re.escape(name)}\b", text) and re.search(rf"\b{found['name']}\b", text)):
            continue
        other = re.sub(r"\W", "", f"{function.lower()}_{name}")
        return (
            f"The alias {name} hides the column {name} in the other expressions and in WHERE. "
            f"Name another alias: {text} AS {other}."
        )
    return ""
