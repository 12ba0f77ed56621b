"""What to know about a statement that runs and may answer something else than is meant. Pure.

docs/sql.md lists more of them.
"""

from __future__ import annotations

import re

from deploy.sql_names import arguments, readable

_NEIGHBOUR = re.compile(r"\b(lag|lead|lagInFrame|leadInFrame)\s*\(", re.IGNORECASE)
_WITH_DEFAULT = 3
"""Arguments of a call that says what stands where there is no row."""


def note(statement: str) -> str:
    """Return what to know about the answer of *statement*; empty if there is nothing to say."""
    typed = readable(statement)
    for found in _NEIGHBOUR.finditer(typed):
        given = arguments(typed[found.end() :])
        if len(given) < _WITH_DEFAULT and not given[0].startswith("toNullable("):
            function, first = found[1], given[0]
            return (
                f"Note: where there is no row before or after, {function} returns 0, empty text or 1970, unless the "
                f"type has NULL. {function}(toNullable({first})) returns NULL."
            )
    return ""
