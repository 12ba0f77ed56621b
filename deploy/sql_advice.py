"""What to type in place of a statement that ClickHouse refuses because of a type, in the names of the statement. Pure.

docs/sql.md explains the same for properties under "Where a type is needed", and docs/views.md for the columns of views.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from deploy import sql_arrays, sql_columns
from deploy.sql_names import (
    NAME,
    PATH,
    START,
    Key,
    argument,
    calculated,
    expression,
    joined,
    joined_using,
    order_key,
    readable,
    second_argument,
)

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
_NUMBER_FOR_TEXT = (
    rf"executing function (?P<sign>{'|'.join(_COMPARISONS)}) on arguments "
    r"(?:(?P<number>-?[\d.]+)_(?:U?Int|Float)\d+ .*, )?"
    r"(?:__table\d+\.)?(?P<name>\w+) (?:LowCardinality\()?String\b(?:.*, (?P<last>-?[\d.]+)_(?:U?Int|Float)\d+ )?"
)
"""A number beside a column that is text in every row, such as `user_id`."""
_UNREADABLE = "Cannot convert string|Cannot parse|Cannot read|does not start with"
_CALCULATION = "num reads a number; without it, a calculation is NULL for each value that was sent as text."
_OTHERS = "str, bool and at give other types."


def advice(error: str, statement: str = "") -> str:
    """Return what to type after ClickHouse's message *error* about *statement*; empty if a type is not the reason."""
    typed = readable(statement)
    for pattern, answer in _ADVICE:
        if (found := re.search(pattern, error, re.DOTALL)) and (text := answer(found, typed)):
            return text
    return ""


def _order(_: re.Match[str], typed: str) -> str:
    key = order_key(typed)
    if not key:
        return "ORDER BY needs values of one type: ORDER BY str(…), or num(…) for numbers."
    name, path = key.name, key.path
    if key.written:
        return f"ORDER BY needs values of one type: {_calculated_order(key)}. {_CALCULATION}"
    if name.isdigit():
        return f"ORDER BY needs values of one type: SELECT str({path}) … ORDER BY {name}, or num({path}) for numbers."
    if key.is_grouped and path == name:
        written = f"SELECT str({name}) … GROUP BY str({name}) ORDER BY str({name})"
    elif key.is_grouped and path:
        written = f"SELECT str({path}) AS {name} … GROUP BY {name} ORDER BY {name}"
        name = path
    else:
        written = f"ORDER BY str({name})"
    return f"ORDER BY needs values of one type: {written}. For numbers it is num({name}), which sorts 9 before 10."


def _calculated_order(key: Key) -> str:
    if key.path:
        clauses = f"SELECT {key.written} … GROUP BY {key.written} " if key.is_grouped else ""
        return f"{clauses}ORDER BY {key.written}"
    clause = f"GROUP BY {key.name} " if key.is_grouped else ""
    return f"SELECT {key.written} … {clause}ORDER BY {key.name}"


def _join(found: re.Match[str], typed: str) -> str:
    keys = tuple(filter(None, found.groups()))
    left, right = joined(typed, keys) or [*(re.sub(r"\b__table\d+\.|`", "", key) for key in keys), "…"][:2]
    return f"JOIN needs values of one type: ON str({left}) = str({right})."


def _join_using(found: re.Match[str], typed: str) -> str:
    left, right, keys = joined_using(typed, found["key"])
    # `num` of a time is NULL.
    function = "at" if "Date" in found["types"] else "str" if "String" in found["types"] else "num"
    sides = [
        f"{function}({left}.{key}) = {function}({right}.{key})"
        if key.strip('`"') == found["key"]
        # The others have one type.
        else f"{left}.{key} = {right}.{key}"
        for key in keys
    ]
    return f"{found['key']} has two types. In place of USING, write ON {' AND '.join(sides)}."


def _in(_: re.Match[str], typed: str) -> str:
    sides = [rf"({name})\s+((?:NOT\s+)?IN)\b\s*(\(\s*SELECT\b)?" for name in (PATH, NAME)]
    compared = next(filter(None, (re.search(side, typed, re.IGNORECASE) for side in sides)), None)
    if not compared:
        return "IN needs values of one type: str(…) IN ('…')."
    name, word, subquery = compared[1], compared[2].upper(), compared[3]
    if written := calculated(typed, name):
        return f"IN needs values of one type: {written} … {name} {word} (…). {_CALCULATION}"
    if not subquery:
        return f"IN needs values of one type: str({name}) {word} ('…')."
    column = re.match(rf"\s*(?:DISTINCT\s+)?({NAME})\s+FROM\b", typed[compared.end() :], re.IGNORECASE)
    return f"IN needs values of one type: str({name}) {word} (SELECT str({column[1] if column else '…'}) …)."


def _condition(_: re.Match[str], typed: str) -> str:
    if call := re.search(rf"\b(\w+If)\s*\((\s*[^()]*,)?\s*({PATH})\s*\)", typed):
        function, others, name = call.groups()
        return f"A condition is a boolean: {function}({'…, ' if others else ''}bool({name}))."
    for words, names in (("WHERE|PREWHERE|HAVING|AND|OR|NOT", PATH), ("WHERE|PREWHERE|HAVING", NAME)):
        if found := re.search(rf"\b({words})\s+({names})\s*(?:$|\)|;|[A-Z]{{2}})", typed, re.IGNORECASE):
            word, name = found.groups()
            break
    else:
        word, name = "WHERE", "…"
    return f"A condition is a boolean: {word.upper()} bool({name})."


def _aggregate(found: re.Match[str], typed: str) -> str:
    function = found["name"]
    if function.startswith("arg"):
        first, name = second_argument(typed, function) or ("…", "…")
        if written := calculated(typed, name):
            return f"{function} needs values of one type: {written} … {function}({first}, {name}). {_CALCULATION}"
        return f"{function} needs values of one type: {function}({first}, num({name})). {_OTHERS}"
    called = argument(typed, function)
    if not (called and re.fullmatch(PATH, called[1])) and (read := expression(typed, function)):
        return f"{function} needs values of one type: {read[0]}({read[1]}). {_OTHERS}"
    function, name = called or (function, "…")
    if written := calculated(typed, name):
        return f"{function} needs values of one type: {written} … {function}({name}). {_CALCULATION}"
    return f"{function} needs values of one type: {function}(num({name})). {_OTHERS}"


def _time_of_funnel(found: re.Match[str], _: str) -> str:
    return f"{found['name']} takes a time in seconds: {found['name']}(…)(toDateTime(timestamp), …)."


def _no_text(_: re.Match[str], typed: str) -> str:
    compared = re.search(rf"({PATH})\s*(=|!=|<>|<=?|>=?)\s*'", typed)
    name, sign = compared.groups() if compared else ("…", "=")
    return f"A value of the property is no text. Compare str({name}) {sign} '…'."


def _conversion(_: re.Match[str], typed: str) -> str:
    name = next(iter(re.findall(PATH, typed)), "…")
    return f"A value of the property cannot be converted. num, str, bool and at return NULL for it: num({name})."


def _null_if(_: re.Match[str], typed: str) -> str:
    name = (argument(typed, "nullIf") or ("", "…"))[1]
    return f"Give the property a type: nullIf(str({name}), '')."


def _compared(found: re.Match[str], typed: str) -> str:
    """Advise on a comparison in which a column of a view has the type of the other side only as text, or vice versa."""
    name, sign = found["name"], _COMPARISONS[found["sign"]]
    other = re.match(r"__table\d+\.(\w+)", found["value"])
    if other and sign == "=" and (sides := joined(typed, (name, other[1]))):
        return f"The columns have two types: str({sides[0]}) = str({sides[1]})."
    if not re.search(rf"\b{name}\b", typed):
        return ""
    if found["value"].endswith("_String") and "CAST" not in found["value"]:
        return f"{name} is no text. Compare str({name}) {sign} '…'."
    function = "at" if "Date" in found["value"] else "num"
    return f"{name} is text. Compare {function}({name}) {sign} …, which is NULL where it cannot be read."


def _quoted(found: re.Match[str], typed: str) -> str:
    number, name = found["number"] or found["last"], found["name"]
    if not number:
        return ""
    sign = _COMPARISONS[found["sign"]]
    column = rf"((?:{START}\.)?\b{name})"
    sides = (rf"{column}\W+{re.escape(number)}\b", rf"{re.escape(number)}\W+{column}\b", rf"{column}\b")
    written = next(filter(None, (re.search(side, typed) for side in sides)), None)
    name = written[1] if written else name
    is_order = sign not in {"=", "!="}
    name, number = (f"num({name})", number) if is_order else (name, f"'{number}'")
    compared = f"{number} {sign} {name}" if found["number"] else f"{name} {sign} {number}"
    if is_order:
        return f"The column is text. To compare numbers, write {compared}."
    return f"The column is text. Put quotes around the number: {compared}."


def _needless(found: re.Match[str], typed: str) -> str:
    name = (argument(typed, found["name"]) or ("", "…"))[1]
    return f"{name} has the type {found['type']}. Leave the conversion of text out: write {name} alone."


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


def _percentile(_: re.Match[str], typed: str) -> str:
    called = rf"\bpercentile_(?:cont|disc)\s*\(\s*([\d.]+)\s*\)(?:\s*WITHIN\s+GROUP\s*\(\s*ORDER\s+BY\s+({NAME}))?"
    found = re.search(called, typed, re.IGNORECASE)
    if not found:
        return (
            "In place of percentile_cont, write quantile(0.95)(…)."
            if re.search(r"\bpercentile_", typed, re.IGNORECASE)
            else ""
        )
    name = found[2] or "…"
    argument_read = f"num({name})" if re.fullmatch(PATH, name) else name
    return f"In place of percentile_cont, write quantile({found[1]})({argument_read})."


_ADVICE: tuple[tuple[str, Callable[[re.Match[str], str], str]], ...] = (
    (r"not allowed in ORDER BY keys", _order),
    (r"JOIN on keys with Dynamic type is not supported: key (.+?) has type", _join),
    (r"USING \(.*\) cannot infer common type for (?P<types>.+) in USING for identifier '(?P<key>.+?)'", _join_using),
    (r"JOIN cannot infer common type.*Left key '(.+?)' type .*Right key '(.+?)' type", _join),
    (r"Dynamic\b.* of function (?:global)?(?:in|notIn|In|NotIn)\b", _in),
    (
        (
            r"filter in \w+: (?:Dynamic|Nullable\(String\))"
            r"|Dynamic\b.*(?:is the condition|\(condition\)|argument of function (?:and|or|xor)\b)"
            r"|Illegal type String of the last argument of an aggregate function with the If suffix"
        ),
        _condition,
    ),
    (_NUMBER_FOR_TEXT, _quoted),
    (
        r"Illegal type (?P<type>\S+) of first argument of function (?P<name>to[A-Z]\w*)\. Conversion functions",
        _needless,
    ),
    (r"Aggregate function (?P<name>\w+).* is found in(?:side another aggregate| WHERE)", sql_columns.hiding_alias),
    (r"Illegal types? (?:Dynamic|String).* aggregate function (?P<name>\w+)", _aggregate),
    (r"Illegal type DateTime64.* aggregate function (?P<name>\w+)", _time_of_funnel),
    (rf"(?:no supertype|{_UNREADABLE}).*{_COMPARED}", _compared),
    (rf"(?:{_UNREADABLE}).*FUNCTION .*(?:{'|'.join(_COMPARISONS)})\(.*(?:properties|traits)\b", _no_text),
    (r"FUNCTION (?:to[A-Z]\w*|CAST)\(.*(?:properties|traits)\b", _conversion),
    (r"Dynamic cannot be inside Nullable", _null_if),
    (r"requires expression (?P<name>\S+) (?:AS \S+ )?with Array or Map type", sql_arrays.joined_array),
    (r"Nested type (?P<type>Array\(.*?\)) cannot be inside Nullable", sql_arrays.nullable_array),
    (r"Unknown table function (?i:unnest)\b", sql_arrays.unnest),
    (r"Function with name `(?i:any)` does not exist", sql_arrays.any_of),
    (r"Syntax error|Function with name `(?i:percentile_)", _percentile),
    (r"ARRAY JOIN requires array|must be an? array|must be array|must be Array|Expected: Array\b", sql_arrays.array),
    (rf"Illegal types .*\bString\b.* of function (?P<name>{'|'.join(_ARITHMETIC)})\b", _arithmetic),
    (r"Illegal type String of argument of function (?P<name>\w+)\. Should be (?P<expected>Date)", _of_function),
    (r"to function '(?P<name>\w+)'\. Expected: (?P<expected>[^:]*), got: (?:Nullable\()?String", _of_function),
    (
        r"Unknown expression (?:or function )?identifier `(?P<name>[^`]+)`\. In scope (?P<scope>.*)\. \(UNKNOWN",
        sql_columns.unknown,
    ),
    (
        (
            r"Identifier '(?P<alias>[^'.]+)\.(?P<name>[^']+)' cannot be resolved from table with name "
            r"(?:\S+ \(an alias of (?P<original>[^)]+)\)|(?P<table>\S+))\. In scope"
        ),
        sql_columns.unknown_of_table,
    ),
    (r"using identifier 'user_id' cannot be resolved from right table", sql_columns.unknown_using),
)
"""Patterns of messages. The first one whose function has an answer counts."""
