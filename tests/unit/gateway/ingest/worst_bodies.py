"""Families of bodies that cost the most to parse and validate for their size; each makes a body of about *size* bytes.

Nearly all are valid requests: a sender with a token may send them, and each item gets its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

Family = Callable[[int], bytes]

ITEM = '"type":"track","userId":"u","event":"e","messageId":"m"'
BRACKET = '"q":"["'
"""A string with a bracket: the quick checks are not certain about its text."""
ITEM_BYTES = 1750
"""Size of each of many items: with it a body of 4 MiB has nearly the maximum number of items."""
MAX_ITEMS = 2400
LARGE_ITEM_BYTES = 32_000


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def repeated(unit: str, size: int) -> str:
    """Return an array of *unit*, repeated up to *size* characters."""
    return "[" + ",".join([unit] * max(1, size // (len(unit) + 1))) + "]"


def members(value: str, size: int) -> str:
    """Return members with different names and *value*, up to *size* characters."""
    return ",".join(f'"k{number:06}":{value}' for number in range(max(1, size // (len(value) + 11))))


def batch(*items: str, more: str = "") -> bytes:
    return f'{{"batch":[{",".join(items)}]{more}}}'.encode()


def one_item(value: Callable[[int], str]) -> Family:
    """Return the family of one item, larger than the limit, with the property `v`."""
    return lambda size: batch(f'{{{ITEM},"properties":{{"v":{value(size)}}}}}')


def items_of(item_bytes: int, value: Callable[[int], str]) -> Family:
    """Return the family of equal items of *item_bytes* with the members of *value*."""
    return lambda size: batch(*[f"{{{ITEM},{value(item_bytes - len(ITEM) - 10)}}}"] * max(1, size // item_bytes))


def elements(element: str) -> Family:
    """Return the family of batches of *element*, with one long text if the size allows more of them than the limit."""

    def make(size: int) -> bytes:
        count = min(MAX_ITEMS, size // (len(element) + 1))
        return batch(*[element] * count, f'"{"x" * (size - count * (len(element) + 1))}"')

    return make


def property_list(unit: str, first: str = BRACKET) -> Callable[[int], str]:
    return lambda size: f'"properties":{{{first},"v":{repeated(unit, size - 30)}}}'


def _with_bracket(value: Callable[[int], str]) -> Callable[[int], str]:
    return lambda size: f"{BRACKET},{value(size)}"


def _beside(item: str, value: Callable[[int], str]) -> Family:
    return lambda size: batch(item, more="," + value(size))


def _context(value: Callable[[int], str]) -> Family:
    return lambda size: batch("{}", more=f',"context":{{"v":{value(size)}}}')


def _text(unit: str, size: int) -> str:
    return '"' + unit * (size // len(unit)) + '"'


def _values() -> Iterator[tuple[str, Callable[[int], str]]]:
    for unit in ("[]", "{}", '""', '"["', "0", "1e9", "1e200", "1234567890123456789", '"0e000"', '{"a":0}', "NaN"):
        yield unit, partial(repeated, unit)
    yield "480 levels", partial(repeated, nested(480))
    yield "levels", lambda size: nested(size // 2)
    yield "digits", lambda size: "1" * size
    texts = (
        ("exponents in a text", "0e000"),
        ("backslashes", r"\\"),
        ("quotes", r"\""),
        ("U+0000", r"\u0000"),
        ("half pairs", r"\ud800"),
    )
    for name, unit in texts:
        yield name, partial(_text, unit)
    yield "keys", lambda size: "{" + members("0", size) + "}"


def _families() -> Iterator[tuple[str, Family]]:
    for name, value in _values():
        yield f"one item of {name}", one_item(value)
        yield f"context of {name}", _context(value)
    for unit in ("[]", '"["', "0", "1e200", "1234567890123456789", nested(31), nested(200), "NaN", r'"\ud800"'):
        name = unit if len(unit) < 25 else f"{len(unit) // 2} levels"
        yield f"many items of {name}", items_of(ITEM_BYTES, property_list(unit))
        yield f"large items of {name}", items_of(LARGE_ITEM_BYTES, property_list(unit))
    long_integer = '"w":1234567890123456789'
    yield "many items of 0 and a long integer", items_of(ITEM_BYTES, property_list("0", long_integer))
    yield "many items of U+0000 and []", items_of(ITEM_BYTES, property_list("[]", r'"q":"\u0000"'))
    for unit in ("0", "[]"):
        more = partial(members, unit)
        yield f"many items of members {unit}", items_of(ITEM_BYTES, _with_bracket(more))
        yield f"large items of members {unit}", items_of(LARGE_ITEM_BYTES, _with_bracket(more))
        yield f"members {unit} beside", _beside("{}", more)
        yield f"members {unit} beside NaN", _beside("NaN", more)
    for levels in (490, 1000, 1200, 125_000):
        yield f"elements of {levels} levels", elements(nested(levels))
    yield "elements of 1,000 levels and texts", elements("[" * 1000 + '"]",' * 400 + "0" + "]" * 1000)
    yield "elements NaN", elements("NaN")
    yield "batch repeated", lambda size: b'{"batch":[{}]' + b',"batch":[{}]' * (size // 13) + b"}"
    yield "batch of NaN repeated", lambda size: b'{"batch":[{}]' + b',"batch":[NaN]' * (size // 14) + b"}"
    yield "commas", lambda size: batch("0," * (size // 2) + "0")
    yield "brackets that never close", lambda size: b'{"batch":' + b"[" * size
    yield "objects that never close", lambda size: b'{"a":' * (size // 5)
    yield "a fault at the end", lambda size: b'{"batch":[' + repeated("[]", size).encode() + b"x]}"


FAMILIES: dict[str, Family] = dict(_families())
