"""What to type in place of a statement that ClickHouse refuses because of a type, in the names of the statement. Pure.

docs/sql.md explains the same for properties under "Where a type is needed", and docs/views.md for the columns of views.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from deploy.sql_names import NAME, PATH, argument, between, key, readable, second_argument
from processors.typed_views.naming import snake_case

_COMPARISONS = {
    "equals": "=",
    "notEquals": "!=",
    "less": "<",
    "lessOrEquals": "<=",
    "greater": ">",
    "greaterOrEquals": ">=",
}
_ARITHMETIC = {"plus": "+", "minus": "-", "multiply": "*", "divide": "/", "modulo": "%"}
_COMPARED = rf"-> (?P<sign>{'|'.join(_COMPARISONS)})\((?:__table\d+\.)?(?P<name>\w+), (?P<value>[^)]*)"
"""A comparison of a column as an error has it, after the expression of the view."""
_UNREADABLE = "Cannot convert string|Cannot parse|Cannot read|does not start with"
_OTHERS = "str, bool and at give other types."


def advice(error: str, statement: str = "") -> str:
    """Return what to type after ClickHouse's message *error* about *statement*; empty if a type is not the reason."""
    typed = readable(statement)
    for pattern, answer in _ADVICE:
        if (found := re.search(pattern, error, re.DOTALL)) and (text := answer(found, typed)):
            return text
    return ""


def _order(_: re.Match[str], typed: str) -> str:
    name = key(typed, "ORDER") or "properties.plan"
    group = f"GROUP BY str({name}) " if name in key(typed, "GROUP", name) else ""
    return (
        f"ORDER BY needs values of one type: {group}ORDER BY str({name}). For numbers it is num({name}), which sorts 9 "
        "before 10."
    )


def _join(_: re.Match[str], typed: str) -> str:
    left, right = between(typed, "=", after="ON") or ("a.properties.plan", "b.traits.plan")
    return f"JOIN needs values of one type: ON str({left}) = str({right})."


def _in(_: re.Match[str], typed: str) -> str:
    compared = re.search(rf"({PATH})\s+((?:NOT\s+)?IN)\b", typed, re.IGNORECASE)
    name, word = compared.groups() if compared else ("properties.plan", "IN")
    return f"IN needs values of one type: str({name}) {word.upper()} ('free', 'pro')."


def _condition(_: re.Match[str], typed: str) -> str:
    for words, names in (("WHERE|PREWHERE|HAVING|AND|OR|NOT", PATH), ("WHERE|PREWHERE|HAVING", NAME)):
        if found := re.search(rf"\b({words})\s+({names})\s*(?:$|\)|;|[A-Z]{{2}})", typed, re.IGNORECASE):
            word, name = found.groups()
            break
    else:
        word, name = "WHERE", "properties.first"
    return f"A condition is a boolean: {word.upper()} bool({name})."


def _aggregate(found: re.Match[str], typed: str) -> str:
    function = found["name"]
    if function.startswith("arg"):
        first, name = second_argument(typed, function) or ("user_id", "properties.price")
        return f"{function} needs values of one type: {function}({first}, num({name})). {_OTHERS}"
    function, name = argument(typed, function) or (function, "properties.price")
    return f"{function} needs values of one type: {function}(num({name})). {_OTHERS}"


def _time_of_funnel(found: re.Match[str], _: str) -> str:
    return f"{found['name']} takes a time in seconds: {found['name']}(…)(toDateTime(timestamp), …)."


def _no_text(_: re.Match[str], typed: str) -> str:
    compared = re.search(rf"({PATH})\s*(=|!=|<>|<=?|>=?)\s*'", typed)
    name, sign = compared.groups() if compared else ("properties.plan", "=")
    return f"A value of the property is no text. Compare str({name}) {sign} 'pro'."


def _conversion(_: re.Match[str], typed: str) -> str:
    name = next(iter(re.findall(PATH, typed)), "properties.price")
    return f"A value of the property cannot be converted. num, str, bool and at return NULL for it: num({name})."


def _null_if(_: re.Match[str], typed: str) -> str:
    name = (argument(typed, "nullIf") or ("", "properties.plan"))[1]
    return f"Give the property a type: nullIf(str({name}), '')."


def _array(_: re.Match[str], typed: str) -> str:
    found = re.search(
        rf"({NAME})\s*\[|(?:ARRAY\s+JOIN|\w*array\w*\s*\(|\bhas\w*\s*\()\s*({NAME})", typed, re.IGNORECASE
    )
    name = next(filter(None, found.groups())) if found else "properties.items"
    return f"Read an array of a property with JSONExtractArrayRaw(ifNull(str({name}), ''))."


def _compared(found: re.Match[str], typed: str) -> str:
    """Advise on a comparison in which a column of a view has the type of the other side only as text, or vice versa."""
    name, sign = found["name"], _COMPARISONS[found["sign"]]
    if not re.search(rf"\b{name}\b", typed):
        return ""
    if found["value"].endswith("_String") and "CAST" not in found["value"]:
        return f"{name} is no text. Compare str({name}) {sign} '…'."
    function = "at" if "Date" in found["value"] else "num"
    return f"{name} is text. Compare {function}({name}) {sign} …, which is NULL where it cannot be read."


def _arithmetic(found: re.Match[str], typed: str) -> str:
    sign = re.escape(_ARITHMETIC[found["name"]])
    names = re.search(rf"({NAME})\s*{sign}|{sign}\s*({NAME})", typed)
    name = next(filter(None, names.groups())) if names else "price"
    return f"A value is text. num({name}) reads a number."


def _of_function(found: re.Match[str], typed: str) -> str:
    function = found["name"]
    reader = "at" if "Date" in found["expected"] else "num"
    _, name = argument(typed, function) or ("", "")
    return f"The argument is text: {function}({reader}({name}))." if name else f"An argument is text: use {reader}(…)."


def _unknown(found: re.Match[str], typed: str) -> str:
    name = found["name"]
    if table := re.search(r"\bFROM\s+(?:\w+\.)?(events|identifies|persons)\b", typed, re.IGNORECASE):
        column = "properties" if table[1].lower() == "events" else "traits"
        return f"A property is read with its path: {column}.{name}."
    column = snake_case(name)
    return f"Columns of typed views are in snake case: {column}." if column not in {"", name} else ""


_ADVICE: tuple[tuple[str, Callable[[re.Match[str], str], str]], ...] = (
    (r"not allowed in ORDER BY keys", _order),
    (r"JOIN on keys with Dynamic|JOIN cannot infer common type", _join),
    (r"Dynamic\b.* of function (?:global)?(?:in|notIn|In|NotIn)\b", _in),
    (
        (
            r"filter in \w+: (?:Dynamic|Nullable\(String\))"
            r"|Dynamic\b.*(?:is the condition|\(condition\)|argument of function (?:and|or|xor)\b)"
            r"|Illegal type String of the last argument of an aggregate function with the If suffix"
        ),
        _condition,
    ),
    (r"Illegal types? (?:Dynamic|String).* aggregate function (?P<name>\w+)", _aggregate),
    (r"Illegal type DateTime64.* aggregate function (?P<name>\w+)", _time_of_funnel),
    (rf"(?:no supertype|{_UNREADABLE}).*{_COMPARED}", _compared),
    (rf"(?:{_UNREADABLE}).*FUNCTION .*(?:{'|'.join(_COMPARISONS)})\(.*(?:properties|traits)\b", _no_text),
    (r"FUNCTION (?:to[A-Z]\w*|CAST)\(.*(?:properties|traits)\b", _conversion),
    (r"Dynamic cannot be inside Nullable", _null_if),
    (r"ARRAY JOIN requires array|must be an? array|must be array|arrayJoin must be Array", _array),
    (rf"Illegal types .*\bString\b.* of function (?P<name>{'|'.join(_ARITHMETIC)})\b", _arithmetic),
    (r"Illegal type String of argument of function (?P<name>\w+)\. Should be (?P<expected>Date)", _of_function),
    (r"to function '(?P<name>\w+)'\. Expected: (?P<expected>[^:]*), got: (?:Nullable\()?String", _of_function),
    (r"Unknown expression identifier `(?P<name>[^`]+)`\. In scope", _unknown),
)
"""Patterns of messages. The first one whose function has an answer counts."""
