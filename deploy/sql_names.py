"""Finds names in a statement that somebody has typed, for advice about it. Pure.

A name that is not found costs a good example and nothing else: no statement that runs depends on this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = r"(?:\w+|`[^`]+`|\"[^\"]+\")"
_START = r"(?:[^\W\d]\w*|`[^`]+`|\"[^\"]+\")"
NAME = rf"{_START}(?:\.{_WORD})*"
"""A column or an alias, or a path in a JSON column."""
PATH = rf"(?:{_START}\.)?(?:properties|traits)(?:\.{_WORD})+"
"""A property or a trait."""

_TYPED = re.compile(r"\b(?:num|str|bool|at|count|uniq\w*|to[A-Z]\w*|JSON\w+|length)\s*\([^()]*\)")
"""A call whose result has a type of its own."""
_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def readable(statement: str) -> str:
    """Return *statement* in one line, without comments and with empty texts: what is in them is no name."""
    return " ".join(_COMMENT.sub(" ", _STRING.sub("''", statement)).split())


def argument(statement: str, function: str) -> tuple[str, str] | None:
    """Return *function* as it is typed, with its parameters, and the name that is its first argument.

    A property is preferred: of several calls it is the one that ClickHouse refuses.
    """
    names = [call for call in _calls(statement, function) if re.fullmatch(NAME, call[1])]
    return min(names, key=lambda call: not re.fullmatch(PATH, call[1]), default=None)


def expression(statement: str, function: str) -> tuple[str, str] | None:
    """Return *function* as it is typed and its first argument, if that has properties: each one read as a number.

    Members of an array that `ARRAY JOIN` names are properties as well.
    """
    members = "|".join(map(re.escape, joined_arrays(statement)))
    name = rf"{PATH}|(?:{members})(?:\.{_WORD})+" if members else PATH
    for typed, text in _calls(statement, function):
        if "''" not in text and re.search(rf"(?<![\w.`]){name}", text):
            return typed, re.sub(rf"(?<![\w.`])(?<!num\()({name})", r"num(\1)", text)
    return None


def _calls(statement: str, function: str) -> Iterator[tuple[str, str]]:
    """Yield each call of *function*: as it is typed, with its parameters, and its first argument."""
    for found in re.finditer(rf"\b({function}\w*\s*(?:\([^()]*\)\s*)?)\(", statement, re.IGNORECASE):
        inside = _split(statement[found.end() :])[0]
        yield found[1].rstrip(), re.sub(r"^DISTINCT\s+", "", inside, flags=re.IGNORECASE)


def _split(text: str) -> list[str]:
    """Return what commas separate in *text*, up to the parenthesis that closes more than it opens."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([") - (sign in ")]")
        if depth < 0:
            break
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def second_argument(statement: str, function: str) -> tuple[str, str] | None:
    """Return the first argument of *function* and the name that is its second one."""
    first = r"[^(),]*(?:\([^()]*\)[^(),]*)?"
    found = re.search(rf"\b{function}\w*\s*\(\s*({first}),\s*({NAME})\s*[,)]", statement, re.IGNORECASE)
    return (found[1].strip(), found[2]) if found else None


def joined_arrays(statement: str) -> dict[str, str]:
    """Return the arrays of `ARRAY JOIN` and `arrayJoin` by their aliases."""
    found: dict[str, str] = {}
    for clause in re.finditer(r"\bARRAY\s+JOIN\s+", statement, re.IGNORECASE):
        for part in _split(statement[clause.end() :]):
            if named := re.match(rf"(.+?)\s+AS\s+({_START})(?:\s|$)", part, re.IGNORECASE):
                found[named[2]] = named[1]
    for call in re.finditer(r"\barrayJoin\(", statement, re.IGNORECASE):
        array = _split(statement[call.end() :])[0]
        if named := re.match(rf"\)\s+AS\s+({_START})", statement[call.end() + len(array) :], re.IGNORECASE):
            found[named[1]] = array
    return found


@dataclass(frozen=True, slots=True)
class Key:
    """A key of `ORDER BY` that has no type: *name* as it is typed, and the property *path* that it is an alias of."""

    name: str
    path: str = ""
    is_grouped: bool = False


def order_key(statement: str) -> Key | None:
    """Return the first key without a type of the last `ORDER BY` of *statement*, or of one in parentheses."""
    clauses = [
        (statement[: found.start()].count("(") - statement[: found.start()].count(")"), -found.start(), found.end())
        for found in re.finditer(r"\bORDER\s+BY\s+", statement, re.IGNORECASE)
    ]
    for _, _, start in sorted(clauses):
        for name in _keys(statement[start:]):
            path, has_no_type = _selected(statement, name)
            if has_no_type:
                return Key(name, path, is_grouped=name in _grouped(statement))
    return None


def _keys(text: str) -> Iterator[str]:
    """Yield the names in the keys at the start of *text*, up to the end of their clause."""
    ends = r";|\s(?:ORDER|HAVING|LIMIT|SETTINGS|FORMAT|WITH|ROWS|RANGE|UNION)\b"
    for part in _split(re.split(ends, text, flags=re.IGNORECASE)[0]):
        key = re.sub(r"\s(?:ASC|DESC|NULLS|COLLATE)\b.*", "", part, flags=re.IGNORECASE)
        if re.fullmatch(rf"{NAME}|\d+", key):
            yield key
        elif found := re.search(PATH, _TYPED.sub("", key)):
            yield found[0]


def _grouped(statement: str) -> list[str]:
    found = re.search(r"\bGROUP\s+BY\s+", statement, re.IGNORECASE)
    return list(_keys(statement[found.end() :])) if found else []


def _selected(statement: str, name: str) -> tuple[str, bool]:
    """Return the property that *name* is, or is an alias or the position of, and whether it has no type."""
    if re.fullmatch(PATH, name):
        return name, True
    selects = [_split(part) for part in re.split(r"\bSELECT\b", statement, flags=re.IGNORECASE)[1:]]
    for column in (column for columns in selects for column in columns):
        text = re.split(r"\sFROM\s", column, flags=re.IGNORECASE)[0]
        alias = re.fullmatch(rf"(?:DISTINCT\s+)?(.+?)\s+(?:AS\s+)?{re.escape(name)}", text, re.IGNORECASE)
        if alias and re.search(PATH, _TYPED.sub("", alias[1])):
            return alias[1] if re.fullmatch(PATH, alias[1]) else "", True
    if name.isdigit() and selects and 0 < int(name) <= len(selects[0]):
        found = re.match(rf"({PATH})(?:\s|$)", selects[0][int(name) - 1])
        return (found[1], True) if found else ("", False)
    return "", False


def joined(statement: str, keys: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the names on both sides of the `=` of a `JOIN` that has *keys*, as ClickHouse's message names them."""
    ends = [re.sub(r"\b__table\d+\.|[`\"]", "", key) for key in keys]
    for left, right in re.findall(rf"({NAME})\s*=\s*({NAME})", statement):
        sides = [re.sub(r"[`\"]", "", side) for side in (left, right)]
        if all(any(f".{side}".endswith(f".{end}") for side in sides) for end in ends):
            return left, right
    return None


def joined_using(statement: str, key: str) -> tuple[str, str, list[str]]:
    """Return what names the two sides of the `JOIN` that has *key* in its `USING`, and the keys of that clause.

    A side that cannot be found is `…`. The left side of a statement with several joins is the first table.
    """
    for clause in re.finditer(r"\bUSING\s*(?:\(([^()]*)\)|(\w+))", statement, re.IGNORECASE):
        keys = _split(clause[1] or clause[2])
        if key not in [each.strip('`"') for each in keys]:
            continue
        before = statement[: clause.start()]
        return _after("FROM", before), _after("JOIN", before), keys
    return "…", "…", [key]


def _after(word: str, text: str) -> str:
    """Return what names the table behind the last *word* of *text* that is in no closed parentheses."""
    for found in reversed([*re.finditer(rf"\b{word}\s+", text, re.IGNORECASE)]):
        rest = text[found.end() :]
        if rest.count("(") == rest.count(")"):
            return _side(rest)
    return "…"


def _side(text: str) -> str:
    """Return the alias of the table or subquery at the start of *text*, or else its name."""
    if text.startswith("("):
        ends = (at for at in range(len(text)) if text[: at + 1].count("(") == text[: at + 1].count(")"))
        table, rest = "…", text[next(ends, len(text)) + 1 :]
    else:
        named = re.match(NAME, text)
        table, rest = (named[0].split(".")[-1], text[named.end() :]) if named else ("…", "")
    alias = re.match(
        rf"\s*(?:AS\s+)?(?!(?:FINAL|INNER|LEFT|RIGHT|FULL|CROSS|ASOF|ANY|ALL|SEMI|ANTI|GLOBAL|JOIN)\b)({_START})",
        rest,
        re.IGNORECASE,
    )
    return alias[1] if alias else table
