"""Where the columns of the format Native end, by their types. Pure.

A column has a prefix, with the prefixes of all columns within it, and values. Every type is known but the states of
aggregate functions. Columns are read as the engine writes them without a protocol version.

https://github.com/ClickHouse/ClickHouse/tree/master/src/DataTypes/Serializations
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.statements import tokenize

_FIXED = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Date", "Enum16", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "DateTime", "Date32", "IPv4", "Time"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Time64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6"), 16),
    **dict.fromkeys(("Int256", "UInt256"), 32),
}
_DECIMALS = ((9, 4), (18, 8), (38, 16), (76, 32))
"""Digits of a decimal, and bytes."""
_SAME_AS = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
_SHARED = "SharedVariant"
"""Values of the types of a `Dynamic` beyond its limit: each is text."""
_FLATTENED = 3
"""Version of the serialization of `Dynamic` and `JSON` with `output_format_native_use_flattened_…`."""
_AS_TEXT = 1
"""Version of the serialization of `JSON` as text."""
_TYPE = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_NAME = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[\w.]+) (?=\w)")
"""The name of an element of a tuple or of a path, before its type."""
_WITHOUT_NULL = re.compile(r"\ANullable\((.*)\)\Z", re.DOTALL)


class Source:
    """A position in bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def number(self) -> int:
        """Read a number of variable length."""
        value = shift = 0
        while True:
            byte = self.content[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def fixed(self, size: int) -> int:
        """Read a number of *size* bytes."""
        self.skip(size)
        return int.from_bytes(self.content[self.at - size : self.at], "little")

    def text(self) -> str:
        """Read text."""
        size = self.number()
        self.skip(size)
        return self.content[self.at - size : self.at].decode(errors="replace")

    def skip(self, size: int) -> None:
        """Skip *size* bytes."""
        self.at += size


class Column(Protocol):
    """A column: its prefix is before the values of all columns within it."""

    def prefix(self, source: Source) -> None:
        """Skip what is before the values."""

    def values(self, source: Source, rows: int) -> None:
        """Skip the values of *rows*."""


class _Values:
    """Values of a number of bytes, or text without one."""

    def __init__(self, size: int | None) -> None:
        self._size = size

    def prefix(self, source: Source) -> None:
        pass

    def values(self, source: Source, rows: int) -> None:
        if self._size is not None:
            source.skip(self._size * rows)
            return
        for _ in range(rows):
            source.skip(source.number())


class _Nullable:
    def __init__(self, inner: Column) -> None:
        self._inner = inner
        self.prefix = inner.prefix

    def values(self, source: Source, rows: int) -> None:
        source.skip(rows)
        self._inner.values(source, rows)


class _Array:
    def __init__(self, inner: Column) -> None:
        self._inner = inner
        self.prefix = inner.prefix

    def values(self, source: Source, rows: int) -> None:
        if rows:
            source.skip(8 * (rows - 1))
            self._inner.values(source, source.fixed(8))


class _Several:
    def __init__(self, inner: list[Column]) -> None:
        self._inner = inner

    def prefix(self, source: Source) -> None:
        for each in self._inner:
            each.prefix(source)


class _Tuple(_Several):
    def values(self, source: Source, rows: int) -> None:
        if not self._inner:
            source.skip(rows)
        for each in self._inner:
            each.values(source, rows)


class _LowCardinality:
    def __init__(self, inner: Column) -> None:
        self._inner = inner

    def prefix(self, source: Source) -> None:
        source.skip(8)

    def values(self, source: Source, rows: int) -> None:
        if rows:
            index_size = 1 << (source.fixed(8) & 0xFF)
            self._inner.values(source, source.fixed(8))
            source.skip(8 + index_size * rows)


class _Variant:
    def __init__(self, types: list[str]) -> None:
        self._inner = [column(kind) for kind in sorted(types)]

    def prefix(self, source: Source) -> None:
        source.skip(8)
        for each in self._inner:
            each.prefix(source)

    def values(self, source: Source, rows: int) -> None:
        chosen = source.content[source.at : source.at + rows]
        source.skip(rows)
        for number, each in enumerate(self._inner):
            each.values(source, chosen.count(number))


class _Dynamic:
    def __init__(self) -> None:
        self._inner: Column = _Values(0)

    def prefix(self, source: Source) -> None:
        version = source.fixed(8)
        if version == _FLATTENED:
            types = [source.text() for _ in range(source.number())]
            self._inner = _Flattened([column(kind) for kind in types])
        else:
            source.number()
            types = [source.text() for _ in range(source.number())]
            self._inner = _Variant([*types, _SHARED])
        self._inner.prefix(source)

    def values(self, source: Source, rows: int) -> None:
        self._inner.values(source, rows)


class _Flattened(_Several):
    def values(self, source: Source, rows: int) -> None:
        size = 1 if len(self._inner) < 256 else 2
        chosen = [source.fixed(size) for _ in range(rows)]
        for number, each in enumerate(self._inner):
            each.values(source, chosen.count(number))


class _Json:
    def __init__(self, typed: list[Column]) -> None:
        self._typed = typed
        self._inner: list[Column] = []

    def prefix(self, source: Source) -> None:
        version = source.fixed(8)
        if version == _AS_TEXT:
            self._inner = [_Values(None)]
            return
        if version != _FLATTENED:
            source.number()
        paths: list[Column] = []
        for _ in range(source.number()):
            source.text()
            paths.append(_Dynamic())
        self._inner = [*self._typed, *paths]
        for each in self._inner:
            each.prefix(source)
        if version != _FLATTENED:
            self._inner.append(column("Array(Tuple(String, String))"))

    def values(self, source: Source, rows: int) -> None:
        for each in self._inner:
            each.values(source, rows)


def column(kind: str) -> Column:
    """Return a column of the type *kind*; raises `QueryError` if the end of its values is not known."""
    kind = _SAME_AS.get(kind, kind)
    match = _TYPE.fullmatch(kind)
    name, inner = (match[1], list(_arguments(match[2] or ""))) if match else (kind, [])
    if name in _FIXED or name.startswith("Interval"):
        return _Values(_FIXED.get(name, 8))
    if name in {"String", _SHARED}:
        return _Values(None)
    if name == "FixedString":
        return _Values(int(inner[0]))
    if name == "Decimal":
        return _Values(next(size for digits, size in _DECIMALS if int(inner[0]) <= digits))
    return _nested(name, inner, kind)


def _nested(name: str, inner: list[str], kind: str) -> Column:
    make = _NESTED.get(name)
    if make is None:
        raise QueryError(48, f"Columns of type {kind} cannot be sent to this client. Convert them in the query.")
    return make(inner)


def _elements(inner: list[str]) -> Column:
    return _Tuple([column(_NAME.sub("", each, count=1)) for each in inner])


_NESTED: dict[str, Callable[[list[str]], Column]] = {
    "Nullable": lambda inner: _Nullable(column(inner[0])),
    # The dictionary has NULL as its first value, without a flag.
    "LowCardinality": lambda inner: _LowCardinality(column(_WITHOUT_NULL.sub(r"\1", inner[0]))),
    "Array": lambda inner: _Array(column(inner[0])),
    "Map": lambda inner: _Array(_Tuple([column(each) for each in inner])),
    "Tuple": _elements,
    "Nested": lambda inner: _Array(_elements(inner)),
    "Variant": _Variant,
    "Dynamic": lambda _: _Dynamic(),
    "JSON": lambda inner: _Json([column(_NAME.sub("", each, count=1)) for each in sorted(inner) if _is_path(each)]),
    "SimpleAggregateFunction": lambda inner: column(inner[-1]),
}


def _is_path(argument: str) -> bool:
    """Return whether an *argument* of JSON is a path with a type: no limit, and no path that is skipped."""
    return not argument.startswith(("SKIP ", "max_dynamic_"))


def _arguments(text: str) -> Iterator[str]:
    """Yield the arguments of a type."""
    begin = 0
    for token in tokenize(text):
        if token.text == "," and token.depth == 0:
            yield text[begin : token.start].strip()
            begin = token.end
    if text[begin:].strip():
        yield text[begin:].strip()
