"""What to know about a statement that runs and may answer something else than is meant. Pure.

docs/sql.md lists more of them.
"""

from __future__ import annotations

import re

from deploy.sql_names import arguments, readable, without_comments

_NEIGHBOUR = re.compile(r"\b(lag|lead|lagInFrame|leadInFrame)\s*\(", re.IGNORECASE)
_WITH_DEFAULT = 3
"""Arguments of a call that says what stands where there is no row."""
_DAY = r"(?:toDate\(\s*)?'(\d{4}-\d\d-\d\d)'"
_LAST_DAY = re.compile(
    r"\b(\w*timestamp|received_at|sent_at|first_seen|last_seen|valid_from|valid_to)\s*"
    rf"(?:<=\s*|BETWEEN\s+{_DAY}\s*\)?\s+AND\s+){_DAY}",
    re.IGNORECASE,
)
"""A time that is compared with the last day of a range."""


def note(statement: str) -> str:
    """Return what to know about the answer of *statement*, a line for each thing; empty if there is nothing to say."""
    found = [_neighbour(readable(statement)), _last_day(without_comments(statement))]
    return "\n".join(each for each in found if each)


def _neighbour(typed: str) -> str:
    for found in _NEIGHBOUR.finditer(typed):
        given = arguments(typed[found.end() :])
        if len(given) < _WITH_DEFAULT and not given[0].startswith("toNullable("):
            function, first = found[1], given[0]
            return (
                f"Note: where there is no row before or after, {function} returns 0, empty text or 1970, unless the "
                f"type has NULL. {function}(toNullable({first})) returns NULL."
            )
    return ""


def _last_day(typed: str) -> str:
    if (found := _LAST_DAY.search(typed)) is None:
        return ""
    column, day = found[1], found[3]
    return (
        f"Note: '{day}' is 00:00 of that day, so the answer lacks the rest of it. {column} < toDate('{day}') + 1 "
        "includes the day."
    )
