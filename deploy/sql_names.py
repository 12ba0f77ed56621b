"""Finds names in a statement that somebody has typed, for advice about it. Pure.

A name that is not found costs a good example and nothing else: no statement that runs depends on this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = r"(?:\w+|`[^`]+`|\"[^\"]+\")"
START = r"(?:[^\W\d]\w*|`[^`]+`|\"[^\"]+\")"
NAME = rf"{START}(?:\.{_WORD})*"
"""A column or an alias, or a path in a JSON column."""
PATH = rf"(?:{START}\.)?(?:properties|traits)(?:\.{_WORD})+"
"""A property or a trait."""

_TYPED = re.compile(r"\b(?:num|str|bool|at|count|uniq\w*|to[A-Z]\w*(?<!OrNull)(?<!OrZero)|JSON\w+|length)\s*\([^()]*\)")
"""A call whose result has a type of its own."""
_CALCULATION = re.compile(
    r"[-+*/%]|\b(?:abs|ceil\w*|divide|exp\w*|floor|intDiv\w*|log\w*|minus|mod\w*|multiply|negate|plus|pow\w*|round\w*"
    r"|sign|sqrt|trunc\w*|to(?:B?Float|U?Int|Decimal|Date)\w*)\s*\(",
    re.IGNORECASE,
)
"""What makes a number or a time of a property, and NULL of one whose value has another type."""
_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def readable(statement: str) -> str:
    """Return *statement* in one line, without comments and with empty texts: what is in them is no name."""
    return without_comments(_STRING.sub("''", statement))


def without_comments(statement: str) -> str:
    """Return *statement* in one line, without comments."""
    return " ".join(_COMMENT.sub(" ", statement).split())


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
            return typed, _typed(text, name)
    return None


def _typed(text: str, name: str = PATH) -> str:
    """Return the expression *text* with a type for each *name* in it: a number, if no function says another one.

    Conversions of text, such as `toFloat64OrZero`, have a value of any type if they get one, so they are replaced.
    """
    for function, reader in (("B?Float|U?Int|Decimal", "num"), ("Date", "at")):
        argument_of = rf"\s*(?:toString\(\s*({name})\s*\)|({name}))\s*(?:,[^()]*)?"
        text = re.sub(
            rf"\bto(?:{function})\w*\({argument_of}\)",
            lambda found, reader=reader: f"{reader}({found[1] or found[2]})",  # type: ignore[misc]
            text,
        )
    text = re.sub(rf"(\bparseDateTime\w*\()({name})", r"\1str(\2)", text)
    return re.sub(rf"(?<![\w.`])(?<!num\()(?<!str\()(?<!bool\()(?<!at\()({name})", r"num(\1)", text)


def calculated(statement: str, name: str) -> str:
    """Return how to define the alias *name* of a calculation with a property, so that it has a type; else empty."""
    text = _definition(statement, name)
    if _is_calculation(text):
        return f"{_typed(text)} AS {name}"
    if not _CALCULATION.search(text):
        return ""
    for inner in re.findall(START, text):
        if inner != name and re.fullmatch(PATH, path := _definition(statement, inner)):
            return f"num({path}) AS {inner}"
    return ""


def _is_calculation(text: str) -> bool:
    """Return whether the expression *text* calculates with a property that has no type."""
    has_property = re.search(PATH, _TYPED.sub("", text)) is not None
    return has_property and "''" not in text and _CALCULATION.search(re.sub(PATH, "", text)) is not None


def _definition(statement: str, name: str) -> str:
    """Return what the alias *name* stands for; empty if there is no such alias."""
    for columns in re.split(r"\b(?:SELECT|WITH)\b", statement, flags=re.IGNORECASE)[1:]:
        for column in arguments(columns):
            text = re.split(r"\sFROM\s", column, flags=re.IGNORECASE)[0].strip()
            alias = re.fullmatch(rf"(?:DISTINCT\s+)?(.+?)\s+(?:AS\s+)?{re.escape(name)}", text, re.IGNORECASE)
            if alias:
                return alias[1]
    return ""


def _calls(statement: str, function: str) -> Iterator[tuple[str, str]]:
    """Yield each call of *function*: as it is typed, with its parameters, and its first argument."""
    for found in re.finditer(rf"\b({function}\w*\s*(?:\([^()]*\)\s*)?)\(", statement, re.IGNORECASE):
        inside = arguments(statement[found.end() :])[0]
        yield found[1].rstrip(), re.sub(r"^DISTINCT\s+", "", inside, flags=re.IGNORECASE)


def arguments(text: str) -> list[str]:
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


def tables(scope: str) -> list[str]:
    """Return the tables and views of the outermost `FROM` and its joins in *scope*; none if one is a subquery."""
    found, depth = [], 0
    named = {each[1] for each in re.finditer(rf"(?:\bWITH|,)\s+({START})\s+AS\s+\(", scope, re.IGNORECASE)}
    for token in re.finditer(rf"[()]|\b(?:FROM|(?<!ARRAY )JOIN)\s+(?:({NAME})|\()", scope, re.IGNORECASE):
        if depth == 0 and token[0] not in {"(", ")"}:
            if not token[1] or token[1] in named:
                return []
            listed = re.match(rf"((?:\s+AS\s+{START})?\s*,\s*{NAME})*", scope[token.end() :], re.IGNORECASE)
            others = re.findall(rf",\s*({NAME})", listed[0]) if listed else []
            found += [token[1], *others]
        depth += token[0].count("(") - token[0].count(")")
    return list(dict.fromkeys(found))


def aggregates(statement: str) -> Iterator[tuple[str, str, str]]:
    """Yield each alias in `SELECT` of a call or of calls: the innermost function, the alias, and what it stands for."""
    for columns in re.split(r"\bSELECT\b", statement, flags=re.IGNORECASE)[1:]:
        for column in arguments(columns):
            text = re.split(r"\sFROM\s", column, flags=re.IGNORECASE)[0].strip()
            alias = re.fullmatch(rf"(.+\))\s+(?:AS\s+)?({START})", text, re.IGNORECASE)
            called = alias and [*re.finditer(r"(\w+)(?:\([^()]*\))?\((?!\))", alias[1])]
            if alias and called:
                names = [each[1] for each in called if each[1] not in {"num", "str", "bool", "at", "toNullable"}]
                yield (names or ["other"])[-1], alias[2], alias[1]


def second_argument(statement: str, function: str) -> tuple[str, str] | None:
    """Return the first argument of *function* and the name that is its second one."""
    first = r"[^(),]*(?:\([^()]*\)[^(),]*)?"
    found = re.search(rf"\b{function}\w*\s*\(\s*({first}),\s*({NAME})\s*[,)]", statement, re.IGNORECASE)
    return (found[1].strip(), found[2]) if found else None


def joined_arrays(statement: str) -> dict[str, str]:
    """Return the arrays of `ARRAY JOIN` and `arrayJoin` by their aliases."""
    found: dict[str, str] = {}
    for clause in re.finditer(r"\bARRAY\s+JOIN\s+", statement, re.IGNORECASE):
        for part in arguments(statement[clause.end() :]):
            if named := re.match(rf"(.+?)\s+AS\s+({START})(?:\s|$)", part, re.IGNORECASE):
                found[named[2]] = named[1]
    for call in re.finditer(r"\barrayJoin\(", statement, re.IGNORECASE):
        array = arguments(statement[call.end() :])[0]
        if named := re.match(rf"\)\s+AS\s+({START})", statement[call.end() + len(array) :], re.IGNORECASE):
            found[named[1]] = array
    return found


@dataclass(frozen=True, slots=True)
class Key:
    """A key of `ORDER BY` that has no type: *name* as it is typed, and the property *path* that it is an alias of.

    If it is a calculation, *written* is what to write in its place: in `SELECT` if it is an alias or a position.
    """

    name: str
    path: str = ""
    is_grouped: bool = False
    written: str = ""


def order_key(statement: str) -> Key | None:
    """Return the first key without a type of the last `ORDER BY` of *statement*, or of one in parentheses."""
    clauses = [
        (statement[: found.start()].count("(") - statement[: found.start()].count(")"), -found.start(), found.end())
        for found in re.finditer(r"\bORDER\s+BY\s+", statement, re.IGNORECASE)
    ]
    for _, _, start in sorted(clauses):
        for text in _keys(statement[start:]):
            if (key := _key(statement, text)) is not None:
                return key
    return None


def _keys(text: str) -> list[str]:
    """Return the keys at the start of *text*, up to the end of their clause."""
    ends = r";|\s(?:ORDER|HAVING|LIMIT|SETTINGS|FORMAT|WITH|ROWS|RANGE|UNION)\b"
    keys = arguments(re.split(ends, text, flags=re.IGNORECASE)[0])
    return [re.sub(r"\s(?:ASC|DESC|NULLS|COLLATE)\b.*", "", key, flags=re.IGNORECASE) for key in keys]


def _key(statement: str, text: str) -> Key | None:
    """Return the key *text* if it has no type."""
    grouping = re.search(r"\bGROUP\s+BY\s+", statement, re.IGNORECASE)
    is_grouped = grouping is not None and text in _keys(statement[grouping.end() :])
    if text.isdigit():
        column = _column(statement, int(text))
        found = re.match(rf"({PATH})(?:\s|$)", column)
        written = _typed(column) if _is_calculation(column) else ""
        path = found[1] if found and not written else ""
        return Key(text, path, is_grouped, written) if path or written else None
    if not re.fullmatch(NAME, text) or re.fullmatch(PATH, text):
        found = re.search(PATH, _TYPED.sub("", text))
        return found and Key(found[0], found[0], is_grouped, _typed(text) if _is_calculation(text) else "")
    definition = _definition(statement, text)
    written = calculated(statement, text)
    if not written and not re.search(PATH, _TYPED.sub("", definition)):
        return None
    return Key(text, definition if re.fullmatch(PATH, definition) else "", is_grouped, written)


def _column(statement: str, position: int) -> str:
    """Return what the first `SELECT` of *statement* has at *position*; empty if there is nothing."""
    selected = arguments(re.split(r"\bSELECT\b", statement, maxsplit=1, flags=re.IGNORECASE)[-1])
    column = selected[position - 1] if 0 < position <= len(selected) else ""
    return re.split(r"\sFROM\s", column, maxsplit=1, flags=re.IGNORECASE)[0]


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
        keys = arguments(clause[1] or clause[2])
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
        rf"\s*(?:AS\s+)?(?!(?:FINAL|INNER|LEFT|RIGHT|FULL|CROSS|ASOF|ANY|ALL|SEMI|ANTI|GLOBAL|JOIN)\b)({START})",
        rest,
        re.IGNORECASE,
    )
    return alias[1] if alias else table
