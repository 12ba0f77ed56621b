"""Finds names in a statement that somebody has typed, for advice about it. Pure.

A name that is not found costs a good example and nothing else: no statement that runs depends on this module.
"""

from __future__ import annotations

import re

_WORD = r"(?:\w+|`[^`]+`|\"[^\"]+\")"
_START = r"(?:[^\W\d]\w*|`[^`]+`|\"[^\"]+\")"
NAME = rf"{_START}(?:\.{_WORD})*"
"""A column or an alias, or a path in a JSON column."""
PATH = rf"(?:{_START}\.)?(?:properties|traits)(?:\.{_WORD})+"
"""A property or a trait."""

_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def readable(statement: str) -> str:
    """Return *statement* in one line, without comments and with empty texts: what is in them is no name."""
    return " ".join(_COMMENT.sub(" ", _STRING.sub("''", statement)).split())


def argument(statement: str, function: str) -> tuple[str, str] | None:
    """Return *function* as it is typed, with its parameters, and the name that is its first argument.

    A property is preferred: of several calls it is the one that ClickHouse refuses.
    """
    for name in (PATH, NAME):
        call = rf"\b({function}\w*\s*(?:\([^()]*\)\s*)?)\(\s*(?:DISTINCT\s+)?({name})\s*[,)]"
        if found := re.search(call, statement, re.IGNORECASE):
            return found[1].rstrip(), found[2]
    return None


def second_argument(statement: str, function: str) -> tuple[str, str] | None:
    """Return the first argument of *function* and the name that is its second one."""
    first = r"[^(),]*(?:\([^()]*\)[^(),]*)?"
    found = re.search(rf"\b{function}\w*\s*\(\s*({first}),\s*({NAME})\s*[,)]", statement, re.IGNORECASE)
    return (found[1].strip(), found[2]) if found else None


def key(statement: str, clause: str, name: str = "") -> str:
    """Return the first key of *clause*, `ORDER` or `GROUP`, that is a property, also by an alias; *name* among them."""
    ends = r"$|;|\b(?:ORDER|HAVING|LIMIT|SETTINGS|FORMAT)\b"
    keys = re.search(rf"\b{clause}\s+BY\s+(.*?)(?:{ends})", statement, re.IGNORECASE)
    for found in re.findall(NAME, keys[1] if keys else ""):
        is_alias = re.search(rf"{PATH}\s+(?:AS\s+)?{re.escape(found)}\b", statement, re.IGNORECASE)
        if (not name or found == name) and (is_alias or re.fullmatch(PATH, found)):
            return str(found)
    return ""


def between(statement: str, sign: str, *, after: str) -> tuple[str, str] | None:
    """Return the names on both sides of the first *sign* after the word *after*."""
    found = re.search(rf"\b{after}\s+\(?\s*({NAME})\s*{sign}\s*({NAME})", statement, re.IGNORECASE)
    return (found[1], found[2]) if found else None
