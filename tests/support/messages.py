"""Finds the messages that the product can log or refuse to start with, by reading its source.

A value in a message is shown as `…`: `%s` of a log format as well as `{…}` of an f-string.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.support.source_code import PACKAGES, modules, nodes, tree

LEVELS = ("warning", "error", "exception", "critical")
_PLACEHOLDER = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[sdrgfx]")


@dataclass(frozen=True, slots=True)
class Message:
    """A message and where it is written."""

    text: str
    place: str
    kind: str
    """Level of the log call, or name of the exception."""


def logged() -> list[Message]:
    """Return the format of every log call at WARNING and above."""
    return [
        Message(_PLACEHOLDER.sub("…", _text(node.args[0])), place, node.func.attr.upper())
        for place, node in _calls()
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id.lstrip("_") in {"log", "logger"}
    ]


def raised(names: frozenset[str]) -> list[Message]:
    """Return the message of every exception in *names* that is constructed with literal words."""
    found = [
        Message(_text(node.args[0]), place, node.func.id)
        for place, node in _calls()
        if isinstance(node.func, ast.Name) and node.func.id in names and node.args
    ]
    return [message for message in found if re.search("[A-Za-z]", message.text)]


@cache
def strings() -> frozenset[str]:
    """Return every string of the product, for messages that are put together elsewhere."""
    return frozenset(_text(node) for _, node in _nodes() if isinstance(node, ast.Constant | ast.JoinedStr))


@cache
def _calls() -> tuple[tuple[str, ast.Call], ...]:
    return tuple((f"{module}:{node.lineno}", node) for module, node in _nodes() if isinstance(node, ast.Call))


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    for module in modules(*PACKAGES):
        for node in nodes(tree(module)):
            yield module, node


def _text(node: ast.expr) -> str:
    """Return the literal parts of *node* with `…` for everything that is computed."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return "…"
