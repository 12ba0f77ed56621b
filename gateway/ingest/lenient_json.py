"""Splits a body that the strict decoder rejects, so that one bad item does not reject the others.

Besides JSON, it accepts what some clients send in its place: `NaN`, `Infinity`, unpaired surrogates and unlimited
nesting. The parts keep their text; `gateway.ingest.rules` decides whether a part is valid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from gateway.errors import MalformedBodyError, TooManyItemsError
from gateway.ingest.rejections import Code

DEEP_VALUE_LIMIT = 256 * 1024
"""Maximum length, in characters, of a value that is too deep for the parser. The search for its end is slow."""

_WHITESPACE = re.compile(r"[ \t\n\r]*")
_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?P<open>[\[{])|(?P<close>[\]}])', re.DOTALL)


def _discard(_: str) -> None:
    """Replace a number: only the positions of values matter."""


_scan = json.JSONDecoder(parse_int=_discard, parse_float=_discard, parse_constant=_discard).raw_decode


def split_object(text: str, *, max_items: int | None) -> dict[str, Raw | list[Raw]]:
    """Return the members of the JSON object *text* as raw values. The last of several members with one name wins.

    An array named `batch` is returned as the list of its elements, unless *max_items* is None. Raises
    `MalformedBodyError` if *text* is not an object, and `TooManyItemsError` as soon as `batch` exceeds *max_items*.
    """
    reader = _Reader(text)
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
    """A cursor over JSON text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self) -> str:
        """Skip whitespace and return the next character, or an empty string at the end."""
        self._at = _WHITESPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # always matches
        return self._text[self._at : self._at + 1]

    def elements(self, close: str) -> Iterator[None]:
        """Yield at each element of the array or object at the cursor; the caller reads the element."""
        self._at += 1
        if self.peek() != close:
            yield
            while self.peek() == ",":
                self._at += 1
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

    def _end_of_deep_value(self) -> int:
        depth = 0
        for match in _STRUCTURE.finditer(self._text, self._at, self._at + DEEP_VALUE_LIMIT):
            if match["open"]:
                depth += 1
            elif match["close"]:
                depth -= 1
                if depth == 0:
                    return match.end()
        raise MalformedBodyError(Code.TOO_DEEP)

    def _malformed(self, reason: str) -> MalformedBodyError:
        return MalformedBodyError(Code.INVALID_JSON, f"Invalid JSON at character {self._at}: {reason}.")
