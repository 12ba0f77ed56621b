"""The columns of a view: which properties it has, and of which type. Pure.

A type is chosen once: the one that at least 90 % of the values have, text otherwise. By itself it changes only from
integer to float, so that a query of a dashboard keeps its meaning. A declaration overrides it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from processors.typed_views.naming import column_name

MAX_COLUMNS = 1_000
"""Columns of a view for properties; those of the most frequent ones. The others are in `properties`."""
_SHARE = 0.9

INTEGER, FLOAT, BOOLEAN, TEXT = "integer", "float", "boolean", "text"
INFERRED = (INTEGER, FLOAT, BOOLEAN, TEXT)
"""Types that are chosen; `date`, `time` and `decimal(P, S)` are only declared."""
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")
_MAX_PRECISION = 76
NULL = "null"
_CLICKHOUSE = {
    INTEGER: "Int64",
    FLOAT: "Float64",
    BOOLEAN: "Bool",
    TEXT: "String",
    "date": "Date32",
    "time": "DateTime64(6, 'UTC')",
}


class InvalidTypeError(ValueError):
    """A declared type that no column can have."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A line of the catalogue: values at a path with a type."""

    path: str
    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view."""

    name: str
    type: str
    paths: Sequence[str]
    """Where its values are, the most frequent path first. The first one that has a value counts."""
    declared: bool = False
    kinds: frozenset[str] = frozenset()
    """Types of the values, as the catalogue names them."""


def check_type(text: str) -> str:
    """Return *text* as a type of a column; raises `InvalidTypeError`."""
    kind = " ".join(text.lower().split())
    if kind in {*INFERRED, "date", "time"}:
        return kind
    if (found := _DECIMAL.fullmatch(kind)) is not None:
        precision, scale = int(found[1]), int(found[2])
        if 1 <= precision <= _MAX_PRECISION and scale <= precision:
            return f"decimal({precision}, {scale})"
        raise InvalidTypeError(
            f"{text!r}: the precision must be 1 to {_MAX_PRECISION}, and the scale at most the precision."
        )
    raise InvalidTypeError(
        f"{text!r} is no type. Types are {', '.join(INFERRED)}, date, time, and decimal(P, S) such as decimal(18, 2)."
    )


def clickhouse_type(kind: str) -> str:
    """Return ClickHouse's type for the values of a column of the type *kind*."""
    return f"Nullable({_CLICKHOUSE.get(kind, kind.capitalize())})"


def columns(
    seen: Iterable[Seen],
    *,
    reserved: Iterable[str],
    prefix: str,
    earlier: Mapping[str, str],
    declared: Mapping[str, str],
) -> list[Column]:
    """Return the columns for the values *seen*, sorted by name.

    *reserved* and *prefix* are those of `column_name`, *earlier* has the type of each column that exists, *declared*
    types by column.
    """
    reserved = frozenset(reserved)
    paths: defaultdict[str, Counter[str]] = defaultdict(Counter)
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in seen:
        if not all(each.path.split(".")):
            continue  # No identifier can be empty.
        name = column_name(each.path, reserved, prefix)
        paths[name][each.path] += each.count
        if each.type != NULL:
            types[name][each.type] += each.count
    kept = sorted(paths, key=lambda name: (name not in declared, -types[name].total(), name))[:MAX_COLUMNS]
    return [
        Column(
            name,
            declared[name] if name in declared else _type(types[name], earlier.get(name)),
            [path for path, _ in sorted(paths[name].items(), key=lambda each: (-each[1], each[0]))],
            declared=name in declared,
            kinds=frozenset(types[name]),
        )
        for name in sorted(kept)
        # A property that was always null has no type yet.
        if types[name] or name in declared or name in earlier
    ]


def _type(counts: Counter[str], earlier: str | None) -> str:
    if earlier in INFERRED:
        return FLOAT if earlier == INTEGER and counts[FLOAT] else earlier
    total = counts.total()
    if counts[INTEGER] + counts[FLOAT] >= _SHARE * total:
        return FLOAT if counts[FLOAT] else INTEGER
    return BOOLEAN if counts[BOOLEAN] >= _SHARE * total else TEXT
