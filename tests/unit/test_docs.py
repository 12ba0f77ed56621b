"""The documentation agrees with the code: links, names, commands, examples, map. Tables: `test_docs_tables.py`."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator

import click
import pytest

from deploy.cli import main
from schemas.records import decode_item, item_key
from tests.faults.worker import VARIABLES
from tests.support import source_code
from tests.support.documents import PAGES, README, ROOT, Page, page

CONTRIBUTING, CHANGELOG = page("CONTRIBUTING.md"), page("CHANGELOG.md")
CONSUMERS, DELIVERY, OPERATIONS = page("docs/consumers.md"), page("docs/delivery.md"), page("docs/operations.md")

TEST_SETTINGS = VARIABLES | {
    *("SEQUENCE_TEST_KAFKA", "SEQUENCE_TEST_CLICKHOUSE", "SEQUENCE_TEST_SCREENSHOTS"),
    "SEQUENCE_TEST_CLICKHOUSE_CLUSTER",
    "SEQUENCE_TEST_HELM",
}
FOREIGN_CLASSES = {"ReplacingMergeTree"}
EVERY_PAGE = pytest.mark.parametrize("document", PAGES, ids=str)


@EVERY_PAGE
def test_link_leads_to_a_file_and_an_anchor(document: Page) -> None:
    broken = []
    for link in document.links():
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.path.parent / path).resolve() if path else document.path
        if not target.exists() or (anchor and anchor not in Page(target).anchors()):
            broken.append(link)

    assert broken == []


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, pending = set(), [README.path]
    while pending:
        path = pending.pop()
        if path in reached:
            continue
        reached.add(path)
        targets = (link.partition("#")[0] for link in Page(path).links() if not link.startswith("https://"))
        pending += [(path.parent / target).resolve() for target in targets if target.endswith(".md")]

    assert {document.path for document in PAGES} <= reached


@EVERY_PAGE
def test_path_in_the_text_exists(document: Page) -> None:
    paths = re.findall(r"`((?:gateway|processors|schemas|deploy|tests|docs)/[\w./-]+)`", document.prose)

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_class_in_the_text_exists() -> None:
    classes = {
        name
        for module in source_code.modules(*source_code.PACKAGES, "tests")
        for name in re.findall(r"^class (\w+)", source_code.text(module), re.MULTILINE)
    }
    mentioned = {
        name for text in (CONTRIBUTING, DELIVERY) for name in re.findall(r"`([A-Z]\w+)(?:\.\w+)?`", text.prose)
    }

    assert {name for name in mentioned if re.search("[a-z]", name)} - FOREIGN_CLASSES <= classes


def test_name_in_a_recipe_exists() -> None:
    words = {
        word
        for module in source_code.modules(*source_code.PACKAGES, "tests")
        for word in re.findall(r"\w+", source_code.text(module))
    }
    mentioned = re.findall(r"`(?:\w+\.)?(\w+)`", CONTRIBUTING.prose)

    assert set(mentioned) - {"noqa", "v2"} <= words  # the suppression, and an example of a next version


def test_changelog_has_what_follows_and_then_this_version_with_its_date() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    versions = re.findall(r"^## (.+)$", CHANGELOG.text, re.MULTILINE)

    assert versions[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", versions[1])


# Names that the text uses.


@EVERY_PAGE
def test_variable_in_the_text_exists(document: Page) -> None:
    mentioned = set(re.findall(r"SEQUENCE_[A-Z_]*[A-Z](?![A-Z_*])", document.text))

    assert mentioned - TEST_SETTINGS <= set(source_code.settings())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@EVERY_PAGE
def test_make_target_in_the_text_exists(document: Page) -> None:
    mentioned = {name for pair in re.findall(r"^make (\w+)|`make (\w+)", document.text, re.MULTILINE) for name in pair}

    assert mentioned - {""} <= make_targets()


def test_contributing_describes_every_make_target() -> None:
    assert {f"make {name}" for name in make_targets() - {"help"}} == {
        name.partition(" ONLY")[0] for name in CONTRIBUTING.names("Checks")
    }


def leaf_commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command of *group* that does something by itself, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaf_commands(command, (*path, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join((*path, name)), command


COMMANDS = dict(leaf_commands(main))


def test_table_of_commands_has_every_command() -> None:
    assert sorted(OPERATIONS.names("Commands")) == sorted(f"sequence {words}" for words in COMMANDS)


def sequence_commands(document: Page) -> Iterator[list[str]]:
    """Yield the words behind `sequence` of every command in blocks and in the text."""
    shown = [words for words in document.commands() if words[0] == "sequence"]
    in_text = [text.split() for text in re.findall(r"`(sequence [a-z][^`]*)`", document.prose)]
    yield from (words[1:] for words in (*shown, *in_text))


@pytest.mark.parametrize("document", [document for document in PAGES if document != CHANGELOG], ids=str)
def test_sequence_command_in_the_text_exists_with_its_options(document: Page) -> None:
    for words in sequence_commands(document):
        command: click.Command = main
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            rest = getattr(command, "with_command", list)(rest)
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= options, words


def test_services_of_compose_commands_exist() -> None:
    services = set(re.findall(r"^  (\w+):$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE))
    mentioned = re.findall(r"--scale (\w+)=|docker compose logs (\w+)", OPERATIONS.text)

    assert {first or second for first, second in mentioned} <= services
    assert mentioned


@EVERY_PAGE
def test_python_module_in_the_text_exists(document: Page) -> None:
    modules = re.findall(r"python -m (tests[\w.]*)", document.text)

    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


# Code.


@pytest.mark.parametrize(
    ("document", "source"), [(str(document), source) for document in PAGES for source in document.blocks("python")]
)
def test_python_example_compiles(document: str, source: str) -> None:
    compile(source, document, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_event_shown_is_an_item() -> None:
    [event] = CONSUMERS.blocks("json")

    item = decode_item(event.encode())
    assert item_key(item.project_id, item.message_id) == b"dev/order-1"


@pytest.mark.parametrize("source", [source for document in PAGES for source in document.blocks("json")])
def test_json_example_is_json(source: str) -> None:
    json.loads(source)


def test_map_has_every_folder_of_the_code() -> None:
    shown = re.findall(r"^(\S+/)  ", CONTRIBUTING.block("text", "schemas/"), re.MULTILINE)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    folders = {
        path.parent.relative_to(ROOT).as_posix() + "/"
        for package in (*packages["packages"], "tests")
        for path in (ROOT / package).rglob("__init__.py")
        if path.parent.name != "tests" and "unit/" not in path.as_posix()
    }

    assert [path for path in shown if not (ROOT / path).is_dir()] == []
    assert folders <= set(shown)


def test_map_names_every_module_of_the_product() -> None:
    block = CONTRIBUTING.block("text", "schemas/")
    shown: set[str] = set()
    folder = ""
    for line in block.splitlines():
        head, _, rest = line.partition("  ")
        folder = head if head.endswith("/") else folder
        shown |= {f"{folder}{name}" for name in re.findall(r"[\w-]+\.(?:py|json|yaml|sql)", rest)}
    modules = {
        module
        for module in source_code.modules(*source_code.PACKAGES)
        if not module.endswith(("/__init__.py", "/__main__.py"))
    }

    assert [path for path in shown if not (ROOT / path).exists()] == []
    assert modules <= shown
