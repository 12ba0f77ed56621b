"""Splits a body that the strict decoder rejects, so that one bad item does not reject the others.

Besides JSON, it accepts what some clients send in its place: `NaN`, `Infinity`, unpaired surrogates and unlimited
nesting. The parts keep their text; `gateway.ingest.rules` decides whether a part is valid.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from msgspec import Raw

from gateway.errors import MalformedBodyError, TooManyItemsError
from gateway.ingest.json_checks import nesting_steps
from gateway.ingest.rejections import Code

_WHITESPACE = re.compile(r"[ \t\n\r]*")


# Only the positions of values matter. `len` replaces a number faster than any function in Python.
_scan = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len).raw_decode


def split_object(text: str, *, max_items: int | None, max_parts: int) -> dict[str, Raw | list[Raw]]:
    """Return the members of the JSON object *text* as raw values. The last of several members with one name wins.

    An array named `batch` is returned as the list of its elements, unless *max_items* is None. Raises
    `MalformedBodyError` if *text* is not an object or has more than *max_parts* members and elements, and
    `TooManyItemsError` as soon as `batch` exceeds *max_items*.
    """
    reader = _Reader(text, max_parts)
    if reader.peek() != "{":
        reader.value()
        reader.finish()
        raise MalformedBodyError(Code.NOT_AN_OBJECT)
    members: dict[str, Raw | list[Raw]] = {}
    for _ in reader.elements("}"):
        name = reader.name()
        if name == "batch" and max_items is not None and reader.peek() == "[":
            members[name] = reader.batch(max_items)
        else:
            members[name] = reader.value()
    reader.finish()
    return members


class _Reader:
    """A cursor over JSON text. Each part costs steps in Python, so their number is limited."""

    def __init__(self, text: str, max_parts: int) -> None:
        self._text = text
        self._at = 0
        self._parts_left = max_parts
        self._steps: memoryview | None = None

    def peek(self) -> str:
        """Skip whitespace and return the next character, or an empty string at the end."""
        self._at = _WHITESPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # always matches
        return self._text[self._at : self._at + 1]

    def elements(self, close: str) -> Iterator[None]:
        """Yield at each element of the array or object at the cursor; the caller reads the element."""
        self._at += 1
        if self.peek() != close:
            self._count_part()
            yield
            while self.peek() == ",":
                self._at += 1
                self._count_part()
                yield
        if self.peek() != close:
            raise self._malformed(f"Expecting a comma or {close}")
        self._at += 1

    def name(self) -> str:
        """Read the name of a member and its colon."""
        if self.peek() != '"':
            raise self._malformed("Expecting a name in double quotes")
        name, self._at = self._parse()
        if self.peek() != ":":
            raise self._malformed("Expecting a colon")
        self._at += 1
        return str(name)

    def value(self) -> Raw:
        """Read a value and return its text."""
        self.peek()
        start = self._at
        try:
            self._at = self._parse()[1]
        except RecursionError:
            self._at = self._end_of_deep_value()
        return Raw(self._text[start : self._at].encode())

    def batch(self, max_items: int) -> list[Raw]:
        """Read an array and return the text of each element."""
        items: list[Raw] = []
        for _ in self.elements("]"):
            if len(items) == max_items:
                raise TooManyItemsError(max_items)
            items.append(self.value())
        return items

    def finish(self) -> None:
        """Raise `MalformedBodyError` unless only whitespace is left."""
        if self.peek():
            raise self._malformed("Extra data")

    def _parse(self) -> tuple[Any, int]:
        try:
            return _scan(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self._malformed(error.msg) from error

    def _count_part(self) -> None:
        self._parts_left -= 1
        if self._parts_left < 0:
            raise MalformedBodyError(Code.TOO_COMPLEX)

    def _end_of_deep_value(self) -> int:
        """Return the end of the array or object at the cursor, which is too deep for the parser."""
        if self._steps is None:
            # One byte for each character, so that positions stay the same.
            self._steps = nesting_steps(self._text.encode("latin-1", "replace"))
        try:
            return self._at + operator.indexOf(accumulate(self._steps[self._at :]), 0) + 1
        except ValueError:
            raise self._malformed("Expecting the end of an array or object") from None

    def _malformed(self, reason: str) -> MalformedBodyError:
        if not self._text.strip():
            return MalformedBodyError(Code.INVALID_JSON, "The body is empty.")
        return MalformedBodyError(Code.INVALID_JSON, f"Invalid JSON at character {self._at}: {reason}.")
