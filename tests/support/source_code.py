"""The modules of the repository as syntax trees, each read once for all the tests of a process."""

from __future__ import annotations

import ast
from functools import cache

from tests.support.documents import ROOT

PACKAGES = ("schemas", "gateway", "processors", "deploy")
"""The packages of the product."""


@cache
def modules(*folders: str) -> tuple[str, ...]:
    """Return the path of every module in *folders*."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found))


@cache
def text(module: str) -> str:
    """Return the source of *module*."""
    return (ROOT / module).read_text(encoding="utf-8")


@cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of *module*."""
    return ast.parse(text(module))


@cache
def nodes(parsed: ast.Module) -> tuple[ast.AST, ...]:
    """Return every node of *parsed*."""
    return tuple(ast.walk(parsed))


@cache
def settings() -> tuple[str, ...]:
    """Return the variable of every call of `setting` in the product."""
    calls = (
        node
        for module in modules(*PACKAGES)
        for node in nodes(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting"
    )
    arguments = (call.args[0] for call in calls)
    return tuple(str(each.value) for each in arguments if isinstance(each, ast.Constant))
