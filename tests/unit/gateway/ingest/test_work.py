"""The work of a request is bounded: steps in Python grow with its items, never with its brackets, numbers or members.

A step is an executed line of Python. Functions in C take a few nanoseconds for each byte, whatever it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from json import JSONDecoder
from types import FrameType
from typing import Any

import pytest
from msgspec import Raw

from gateway.errors import HttpError
from gateway.ingest import envelope, json_checks, lenient_json, rules
from gateway.ingest.envelope import DEFAULT_LIMITS, Limits, _bounded_array
from gateway.ingest.fields import too_deep
from gateway.ingest.json_checks import is_deeper, nests_deeper, passes_quick_checks, without_strings
from tests.unit.gateway.ingest.checking import check
from tests.unit.gateway.ingest.worst_bodies import FAMILIES, nested

SIZE = 5 * 2**16
SCALE = 4
"""How much larger a body is whose items are counted; `small_bodies_are_counted` makes these bodies smaller as well."""
STEPS_PER_KIB = 64
STEPS_PER_ITEM = 500
STEPS_PER_PART = 70
"""For bodies that the lenient parser splits up to its limit of parts."""


@pytest.fixture(autouse=True, scope="module")
def what_happens_once_in_a_process() -> None:
    """Make types and other values that are cached before steps are counted."""
    _bounded_array(DEFAULT_LIMITS.batch_items)
    surplus_steps(FAMILIES["one item of []"](SCALE * SIZE))


@pytest.fixture
def small_bodies_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_COUNTED_FROM_BYTES", "_COUNTED_FROM_COMMAS"):
        monkeypatch.setattr(envelope, name, getattr(envelope, name) // SCALE)


def surplus_steps(body: bytes) -> int:
    """Return how many steps *body* takes above those allowed."""
    steps = -len(body) * STEPS_PER_KIB // 1024

    def count(_: FrameType, __: str, ___: Any) -> Callable[..., Any]:
        nonlocal steps
        steps += 1
        return count

    tracing = sys.gettrace()
    sys.settrace(count)
    try:
        result = check(body)
    except HttpError:
        sys.settrace(tracing)
        return steps - STEPS_PER_PART * DEFAULT_LIMITS.parts
    finally:
        sys.settrace(tracing)
    return steps - STEPS_PER_ITEM * (len(result.accepted) + len(result.rejected))


@pytest.mark.usefixtures("small_bodies_are_counted")
@pytest.mark.parametrize("name", FAMILIES)
def test_steps_grow_with_items_only(name: str) -> None:
    assert surplus_steps(FAMILIES[name](SIZE)) <= 0


@pytest.mark.parametrize("name", ["commas", "one item of 0", "large items of 0", "a fault at the end"])
def test_steps_of_a_body_whose_items_are_counted_grow_with_items_only(name: str) -> None:
    body = FAMILIES[name](SCALE * SIZE)
    assert len(body) >= envelope._COUNTED_FROM_BYTES
    assert body.count(b",") >= envelope._COUNTED_FROM_COMMAS

    assert surplus_steps(body) <= 0


def check_each_value(members: dict[str, Raw]) -> None:
    for name, value in members.items():
        if nests_deeper(without_strings(bytes(value)), 32):
            raise too_deep(name)


def count_brackets_in_python(reader: Any) -> int:
    depth = 0
    for at, step in enumerate(reader._text[reader._at :]):
        depth += (step in "[{") - (step in "]}")
        if depth == 0:
            return int(reader._at + at + 1)
    raise AssertionError


@pytest.mark.usefixtures("small_bodies_are_counted")
@pytest.mark.parametrize(
    ("owner", "name", "mutant", "family"),
    [
        (rules, "_check_depth", check_each_value, "large items of members 0"),
        (Limits, "parts", 2**40, "members 0 beside NaN"),
        (lenient_json._Reader, "_end_of_deep_value", count_brackets_in_python, "elements of 125000 levels"),
        (json_checks, "_BYTES_PER_EXPONENT", 1, "one item of exponents in a text"),
        (lenient_json, "_scan", JSONDecoder(parse_int=lambda _: None).raw_decode, "one item of 0"),
    ],
)
def test_control_without_a_bound_takes_more_steps(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, mutant: Any, family: str
) -> None:
    monkeypatch.setattr(owner, name, mutant)
    body = FAMILIES[family](SIZE)
    if name == "_scan":
        body = body.replace(b'{"batch":[', b'{"batch":[NaN,')

    assert surplus_steps(body) > 0


def test_quick_check_gives_up_on_text_of_brackets_but_not_on_deep_usual_text() -> None:
    brackets = f"[{','.join([nested(30)] * 10_000)}]".encode()
    usual = b'{"a":"' + b"x" * 1_000_000 + b'","b":' + nested(32).encode() + b"}"

    assert not is_deeper(brackets, 33)
    assert not passes_quick_checks(brackets, 33)
    assert passes_quick_checks(usual, 33)
