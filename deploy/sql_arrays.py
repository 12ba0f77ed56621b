"""What to type to read an array of a property, after a statement that ClickHouse refuses. Pure.

A property has no type and a column of a view is JSON text. Read as `Array(String)`, the elements that are text have no
quotes, and those that are objects are JSON text.
"""

from __future__ import annotations

import re

from deploy.sql_names import NAME, PATH, arguments


def array(found: re.Match[str], typed: str) -> str:
    """Advise on a function or a clause that takes an array."""
    first = r"(?:[^(),]*->[^,]*,\s*)?"
    named = re.search(
        rf"({NAME})\s*\[|(?:ARRAY\s+JOIN\s|\b(?:\w*array\w*|unnest|has\w*)\s*\({first})\s*({NAME})",
        typed,
        re.IGNORECASE,
    )
    name = next(filter(None, named.groups())) if named else "…"
    return f"Read an array of a property with {_read(name, found.string)}."


def joined_array(found: re.Match[str], _: str) -> str:
    """Advise on `ARRAY JOIN`, which takes an array of objects with `[]`."""
    name = found["name"]
    text = _read(name, found.string)
    if re.fullmatch(PATH, name):
        return f"Read an array of objects with ARRAY JOIN {name}[], and any other array with ARRAY JOIN {text}."
    return f"Read an array of a property with ARRAY JOIN {text}."


def nullable_array(found: re.Match[str], typed: str) -> str:
    """Advise on `JSONExtract` of text that can be NULL."""
    called = re.search(rf"\b(JSONExtract\w*)\(\s*(str\({NAME}\)|{NAME})\s*(?=[,)])", typed)
    if not called:
        return ""
    function, text = called.groups()
    others = arguments(typed[called.end(2) :])[1:]
    if function == "JSONExtract" or (function == "JSONExtractArrayRaw" and not others):
        # The last argument is the type: text, which *typed* does not have.
        kind = found["type"] if function == "JSONExtract" else "Array(String)"
        function, others = "JSONExtract", [*others[:-1], f"'{kind}'"]
    listed = ", ".join([f"ifNull({text}, '')", *others])
    return f"An array cannot be NULL: {function}({listed})."


def unnest(_: re.Match[str], typed: str) -> str:
    """Advise on `UNNEST` of PostgreSQL and BigQuery."""
    found = re.search(rf"\bUNNEST\(\s*({NAME})\s*\)(?:\s+(?:AS\s+)?(\w+))?", typed, re.IGNORECASE)
    read = _read(found[1]) if found else "…"
    return f"In place of UNNEST, write FROM … ARRAY JOIN {read} AS {(found and found[2]) or '…'}."


def any_of(_: re.Match[str], typed: str) -> str:
    """Advise on `= ANY(…)` of PostgreSQL."""
    found = re.search(rf"(\S+)\s*=\s*ANY\s*\(\s*({NAME})\s*\)", typed, re.IGNORECASE)
    if not found:
        return ""
    value = found[1] if re.fullmatch(NAME, found[1]) else "'…'"
    return f"In place of = ANY, write has({_read(found[2])}, {value})."


def _read(name: str, error: str = "") -> str:
    """Return how to read the array *name*: a property, an alias of one by ClickHouse's *error*, or else a column."""
    text = f"str({name})" if re.fullmatch(PATH, name) or "Dynamic" in error or name == "…" else name
    return f"JSONExtract(ifNull({text}, ''), 'Array(String)')"
