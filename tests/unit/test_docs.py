"""README.md says what the code does: settings, commands, paths, examples, files."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import click
import pytest

from deploy.cli import main
from deploy.docker.prepare import PrepareSettings
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.logging import LogSettings
from deploy.settings import LocalSettings
from gateway.ingest.validate import Limits, check_items, read_request
from gateway.settings import GatewaySettings
from processors.clickhouse.access import AnalystSettings
from processors.settings import WorkerSettings
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, declarations, load
from tests.support import documents
from tests.support.documents import ROOT

# In the README's order. A setting that several processes read stands with the first of them.
READERS: dict[str, type[Any]] = {
    "all": KafkaSettings,
    "all ": LogSettings,
    "topics": TopicSettings,
    "gateway": GatewaySettings,
    "workers": WorkerSettings,
    "events, tables": ClickHouseSettings,
    "up": LocalSettings,
    "up: ClickHouse": EmbeddedClickHouseSettings,
    "tables migrate": AnalystSettings,
    "compose: init": PrepareSettings,
}
TEST_SETTINGS = {"SEQUENCE_TEST_KAFKA", "SEQUENCE_TEST_CLICKHOUSE"}
LONGEST = 380


def shown(value: object) -> str:
    """Return a default as the tables show it."""
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`" if text else ""


def expected_rows() -> list[list[str]]:
    """Return the rows of the table of settings as the code has them."""
    rows: dict[str, list[str]] = {}
    for reader, cls in READERS.items():
        own = {field.metadata["variable"] for field in fields(cls) if "variable" in field.metadata}
        for setting in declarations(cls):
            if setting.variable in own - rows.keys():
                row = [f"`{setting.variable}`", shown(setting.default), setting.about, reader.strip()]
                rows[setting.variable] = row
    return list(rows.values())


def declared_in_the_source() -> set[str]:
    """Return the first argument of every call of `setting` in the packages."""
    calls = (
        node
        for package in ("schemas", "gateway", "processors", "deploy")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting"
    )
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}  # type: ignore[misc]  # they are texts


def commands(group: click.Group, path: Sequence[str] = ()) -> set[str]:
    """Return every command of *group* by its words."""
    found: set[str] = set()
    for name, command in group.commands.items():
        words = (*path, name)
        found |= commands(command, words) if isinstance(command, click.Group) else {" ".join(words)}
    return found


def test_the_table_of_settings_is_what_the_code_declares() -> None:
    assert documents.rows("Settings") == expected_rows()


def test_every_setting_of_the_source_is_in_the_table() -> None:
    assert {row[0].strip("`") for row in documents.rows("Settings")} == declared_in_the_source()


@pytest.mark.parametrize("reader", READERS)
def test_a_default_as_shown_is_read_as_the_default(reader: str) -> None:
    environ = {row[0].strip("`"): row[1].strip("`") for row in documents.rows("Settings")}

    assert load(READERS[reader], environ) == READERS[reader]()


def test_a_setting_that_is_declared_twice_is_the_same_setting() -> None:
    found: dict[str, set[tuple[object, str]]] = {}
    for cls in READERS.values():
        for setting in declarations(cls):
            found.setdefault(setting.variable, set()).add((setting.default, setting.about))

    assert {variable: kinds for variable, kinds in found.items() if len(kinds) > 1} == {}


def test_every_variable_that_is_spoken_of_exists() -> None:
    spoken = set(re.findall(r"SEQUENCE_[A-Z_]+", documents.text()))

    assert spoken - TEST_SETTINGS <= declared_in_the_source()


def test_every_command_is_shown_and_exists() -> None:
    assert {f"sequence {words}" for words in commands(main)} == {
        row[0].strip("`") for row in documents.rows("Commands")
    }


def test_every_target_of_make_is_told_of_and_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    spoken = re.findall(r"^make (\w+)|`make (\w+)`", documents.text(), re.MULTILINE)

    assert {first or second for first, second in spoken} == targets - {"help"}


def test_the_paths_are_those_of_the_contract() -> None:
    contract = json.loads((ROOT / "schemas" / "openapi.json").read_text())
    told = set(re.findall(r"`(/[\w/.]*)`", " ".join(row[0] for row in documents.rows("HTTP contract"))))

    assert told == set(contract["paths"])


def test_the_statuses_are_those_of_the_contract() -> None:
    contract = json.loads((ROOT / "schemas" / "openapi.json").read_text())
    told = {status for row in documents.rows("Replies") for status in re.findall(r"\d{3}", row[0])}

    assert told == set(contract["paths"]["/event/batch"]["post"]["responses"])


@pytest.mark.parametrize(
    "example", [partial(documents.curl, "/event/batch", TOKEN="t"), partial(documents.fetch, TOKEN="t")]
)
def test_what_an_example_sends_is_accepted(example: Any) -> None:
    request = example()
    limits = Limits(2500, 32 * 1024)
    parsed = read_request(request.body.encode(), item_type=None, limits=limits)
    verdicts = check_items(parsed, project_id="dev", received_at=1_800_000_000_000_000, limits=limits)

    assert len(verdicts.accepted) == len(documents.items(request)) > 0
    assert verdicts.refused == []
    assert request.url == "http://127.0.0.1:8080/event/batch"
    assert request.headers["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("source", documents.blocks("python"))
def test_python_examples_compile(source: str) -> None:
    compile(source, "README.md", "exec")


def test_the_consumer_is_ten_lines() -> None:
    source = documents.block("python", "AIOKafkaConsumer")
    lines = [
        line for line in source.splitlines() if line.strip() and not line.startswith(("import", "from", "asyncio"))
    ]

    assert len(lines) <= 10


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", documents.text())

    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []
    assert "schemas/openapi.json" in links


def test_the_file_map_shows_what_is_there() -> None:
    shown_paths = re.findall(r"^(\S+)  ", documents.block("text", "pyproject.toml"), re.MULTILINE)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    rooms = {
        path.parent.relative_to(ROOT).as_posix() + "/"
        for package in packages["packages"]
        for path in (ROOT / package).rglob("__init__.py")
    }

    assert [path for path in shown_paths if not (ROOT / path).exists()] == []
    assert rooms <= set(shown_paths)


def test_the_changelog_begins_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert versions[0] == version


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(documents.text().splitlines()) <= LONGEST
