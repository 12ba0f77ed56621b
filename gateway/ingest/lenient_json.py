"""Taking a body apart where the strict decoder gives up, so that one bad item does not cost the others.

What is read here is JSON, and beyond that only what some senders write in its place: `NaN`, `Infinity`, half a
surrogate pair, nesting without end. The parts come out as the bytes that they were; whether a part is acceptable is
decided by `gateway.ingest.rules`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from gateway.ingest.rejections import Code, MalformedBodyError, TooManyItemsError

DEEP_VALUE_LIMIT = 256 * 1024
"""Characters that are searched for the end of a value too deep to parse: the search is slow, so it is bounded."""

_SPACE = re.compile(r"[ \t\n\r]*")
_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?P<open>[\[{])|(?P<close>[\]}])', re.DOTALL)


def _forget(_: str) -> None:
    """Stand in for a number: only its place matters."""


_scan = json.JSONDecoder(parse_int=_forget, parse_float=_forget, parse_constant=_forget).raw_decode


def read_members(text: str, *, most_items: int | None) -> dict[str, Raw | list[Raw]]:
    """Return the members of the object that *text* is; of two with one name the last counts.

    An array named `batch` comes as the list of its elements, unless *most_items* is None. Raises `MalformedBodyError`
    where it is no object, `TooManyItemsError` as soon as `batch` is longer than *most_items*.
    """
    reader = _Reader(text)
    if reader.peek() != "{":
        reader.value()
        reader.finish()
        raise MalformedBodyError(Code.NOT_AN_OBJECT)
    members: dict[str, Raw | list[Raw]] = {}
    for _ in reader.elements("}"):
        name = reader.name()
        if name == "batch" and most_items is not None and reader.peek() == "[":
            members[name] = reader.batch(most_items)
        else:
            members[name] = reader.value()
    reader.finish()
    return members


class _Reader:
    """A place in a text, moving forward."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches nothing, too
        return self._text[self._at : self._at + 1]

    def elements(self, close: str) -> Iterator[None]:
        """Stop at each element of the array or object that begins here; the caller reads it."""
        self._at += 1
        if self.peek() != close:
            yield
            while self.peek() == ",":
                self._at += 1
                yield
        if self.peek() != close:
            raise self._malformed(f"a comma or {close} is missing")
        self._at += 1

    def name(self) -> str:
        """Read the name of a member and the colon after it."""
        if self.peek() != '"':
            raise self._malformed("a name in quotes is missing")
        name, self._at = self._parse()
        if self.peek() != ":":
            raise self._malformed("a colon is missing")
        self._at += 1
        return str(name)

    def value(self) -> Raw:
        """Read any value and return it as it is."""
        self.peek()
        start = self._at
        try:
            self._at = self._parse()[1]
        except RecursionError:
            self._at = self._end_of_deep()
        return Raw(self._text[start : self._at].encode())

    def batch(self, most_items: int) -> list[Raw]:
        """Read an array and return its elements as they are."""
        items: list[Raw] = []
        for _ in self.elements("]"):
            if len(items) == most_items:
                raise TooManyItemsError(most_items)
            items.append(self.value())
        return items

    def finish(self) -> None:
        """Make sure that nothing follows."""
        if self.peek():
            raise self._malformed("something follows its end")

    def _parse(self) -> tuple[Any, int]:
        try:
            return _scan(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self._malformed(error.msg) from error

    def _end_of_deep(self) -> int:
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
        return MalformedBodyError(Code.INVALID_JSON, f"The body is not JSON: at character {self._at}, {reason}.")
