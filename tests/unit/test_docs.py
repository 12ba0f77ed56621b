"""The documentation says what the code does: commands, paths, codes, tables, messages, links, examples and files."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import click
import pytest

from deploy.cli import main
from gateway import errors as gateway_errors
from gateway import metrics as gateway_metrics
from gateway.ingest.envelope import Limits, parse_envelope
from gateway.ingest.rejections import Code
from gateway.ingest.validate import validate_items
from gateway.settings import GatewaySettings
from processors.engine import errors as engine_errors
from processors.engine.exit import exit_code
from processors.rejected import RejectionCode
from schemas.records import decode_item, item_key
from schemas.settings import declarations
from schemas.topics import Topics
from tests.benchmarks.command import COMPARISONS
from tests.faults.controls import CONTROLS
from tests.faults.run import NAMES
from tests.faults.worker import VARIABLES
from tests.support import messages
from tests.support.documents import PAGES, README, ROOT, Page, Request, page

CONTRIBUTING, CHANGELOG = page("CONTRIBUTING.md"), page("CHANGELOG.md")
HTTP, CONSUMERS, DELIVERY = page("docs/http.md"), page("docs/consumers.md"), page("docs/delivery.md")
OPERATIONS, FAULTS, BENCHMARKS = page("docs/operations.md"), page("docs/faults.md"), page("docs/benchmarks.md")

TEST_SETTINGS = VARIABLES | {"SEQUENCE_TEST_KAFKA", "SEQUENCE_TEST_CLICKHOUSE"}
FOREIGN_CLASSES = {"ReplacingMergeTree"}
START_ERRORS = frozenset(
    {"RefusedStartError", "TopicsError", "ExpiredInputError", "TruncatedLogError", "KafkaUnavailableError"}
    | {"StartError", "MigrationError"}
    | {"PortInUseError", "AlreadyRunningError", "StateError", "FetchError", "ServiceError", "MissingExtraError"}
)
"""Exceptions with which a process ends before it has begun to work."""
FATAL_ERRORS = frozenset(
    {"SkippedRecordsError", "InterleavedWriterError", "LocalStateError", "StalledError", "LeaseLostError"}
)
"""Exceptions that end a worker with exit code 70 and are no bug."""
EVERY_PAGE = pytest.mark.parametrize("document", PAGES, ids=str)


def quoted(cell: str) -> list[str]:
    """Return what a table cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_cells(document: Page, title: str, table: int = 0) -> list[str]:
    """Return every quoted name of the first column of a table."""
    return [name for row in document.rows(title, table) for name in quoted(row[0])]


# Pages and links.


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
    sources = [path for package in (*messages.PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")]
    classes = {name for path in sources for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)}
    mentioned = {
        name for text in (CONTRIBUTING, DELIVERY) for name in re.findall(r"`([A-Z]\w+)(?:\.\w+)?`", text.prose)
    }

    assert {name for name in mentioned if re.search("[a-z]", name)} - FOREIGN_CLASSES <= classes


def test_name_in_a_recipe_exists() -> None:
    sources = [path for package in (*messages.PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")]
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text())}
    mentioned = re.findall(r"`(?:\w+\.)?(\w+)`", CONTRIBUTING.prose)

    assert set(mentioned) - {"noqa", "v2"} <= words  # the suppression, and an example of a next version


def test_changelog_begins_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    versions = re.findall(r"^## \[([^\]]+)\]", CHANGELOG.text, re.MULTILINE)

    assert versions[0] == version


# Names that the text uses.


def declared_variables() -> set[str]:
    calls = (
        node
        for package in messages.PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting"
    )
    return {argument.value for call in calls if isinstance(argument := call.args[0], ast.Constant)}  # type: ignore[misc]  # they are texts


@EVERY_PAGE
def test_variable_in_the_text_exists(document: Page) -> None:
    mentioned = set(re.findall(r"SEQUENCE_[A-Z_]*[A-Z](?![A-Z_*])", document.text))

    assert mentioned - TEST_SETTINGS <= declared_variables()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@EVERY_PAGE
def test_make_target_in_the_text_exists(document: Page) -> None:
    mentioned = {name for pair in re.findall(r"^make (\w+)|`make (\w+)", document.text, re.MULTILINE) for name in pair}

    assert mentioned - {""} <= make_targets()


def test_contributing_describes_every_make_target() -> None:
    assert {f"make {name}" for name in make_targets() - {"help"}} == {
        name.partition(" ONLY")[0] for name in first_cells(CONTRIBUTING, "Checks")
    }


def leaf_commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command of *group* that is no group, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaf_commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(leaf_commands(main))


def test_table_of_commands_has_every_command() -> None:
    assert sorted(first_cells(OPERATIONS, "Commands")) == sorted(f"sequence {words}" for words in COMMANDS)


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


# HTTP.

CONTRACT = json.loads((ROOT / "schemas" / "openapi.json").read_text())


def test_paths_are_those_of_the_contract() -> None:
    assert sorted(first_cells(HTTP, "Paths")) == sorted(CONTRACT["paths"])


def test_statuses_are_those_of_the_contract() -> None:
    statuses = {row[0] for row in HTTP.rows("Replies")}

    assert statuses == set(CONTRACT["paths"]["/event/batch"]["post"]["responses"])


def http_errors() -> dict[str, int]:
    """Return the status of every code of `gateway.errors`."""
    kinds = [kind for kind in vars(gateway_errors).values() if isinstance(kind, type)]
    return {
        kind.code: kind.status
        for kind in kinds
        if issubclass(kind, gateway_errors.HttpError) and isinstance(getattr(kind, "code", None), str)
    }


def test_error_codes_of_requests_are_those_of_the_code() -> None:
    shown = {quoted(row[0])[0]: int(row[1]) for row in HTTP.rows("Error codes")}

    assert http_errors().items() <= shown.items()
    assert shown.keys() - http_errors().keys() <= set(Code)


def test_error_codes_of_items_are_those_of_the_code() -> None:
    shown = {*first_cells(HTTP, "Error codes"), *first_cells(HTTP, "Error codes", 1)}

    assert set(Code) <= shown
    assert set(first_cells(HTTP, "Error codes", 1)) <= set(Code)


def test_limits_are_the_defaults_of_their_settings() -> None:
    defaults = {declared.variable: declared.default for declared in declarations(GatewaySettings)}
    for row in HTTP.rows("Limits"):
        [variable] = quoted(row[2])
        if variable in defaults:
            assert float(row[1].split()[0].replace(",", "")) == defaults[variable], row


@pytest.mark.parametrize(
    "request_",
    [
        README.curl("/event/batch", TOKEN="t"),
        README.fetch(TOKEN="t"),
        HTTP.fetch(TOKEN="t"),
    ],
    ids=["README curl", "README fetch", "http.md fetch"],
)
def test_items_of_an_example_are_accepted(request_: Request) -> None:
    result = validated(request_)

    assert len(result.accepted) == len(request_.items) > 0
    assert result.rejected == []
    assert request_.url == "http://127.0.0.1:8080/event/batch"
    assert request_.headers["Authorization"].startswith("Bearer ")


def test_reply_of_the_quick_example_is_the_result_of_its_request() -> None:
    result = validated(HTTP.curl("/event/batch", TOKEN="t"))
    [shown] = [json.loads(block) for block in HTTP.blocks("json")]
    [item] = [item for item in shown["items"] if item["status"] == "rejected"]

    assert [(item.index, item.code, item.field, item.message_id) for item in result.rejected] == [
        (item["index"], item["code"], item["field"], item["messageId"])
    ]
    assert shown["accepted"] == len(result.accepted)


def validated(request: Request) -> Any:
    limits = Limits(2500, 32 * 1024)
    envelope = parse_envelope(request.body.encode(), limits=limits)
    return validate_items(envelope, project_id="dev", received_at=1_800_000_000_000_000, limits=limits)


# Kafka, operations, tests.


def test_topics_are_those_that_are_declared() -> None:
    declared = Topics().declare(partitions=4, items_retention_days=7, dedupe_window_days=7)

    assert [quoted(row[0])[0] for row in CONSUMERS.rows("Topics")] == [topic.name for topic in declared]


def test_codes_of_rejected_records_are_those_of_the_code() -> None:
    shown = {name for row in CONSUMERS.rows("Rejected items") for name in quoted(row[1])}

    assert shown == {code.value for code in RejectionCode}


def test_metrics_are_those_of_the_code() -> None:
    declared = [metric for metric in vars(gateway_metrics).values() if isinstance(metric, gateway_metrics.Metric)]

    assert [[quoted(row[0])[0], quoted(row[1]), row[2]] for row in OPERATIONS.rows("Metrics")] == [
        [metric.name, list(metric.labels), metric.about] for metric in declared
    ]


def test_metric_in_the_text_exists() -> None:
    declared = set(first_cells(OPERATIONS, "Metrics"))
    mentioned = {
        name.removesuffix("_total") for text in PAGES for name in re.findall(r"sequence_gateway_\w+", text.prose)
    }

    assert mentioned - {"sequence_gateway_refused_items"} == declared  # the CHANGELOG has the old name


def test_exit_codes_are_those_of_the_code() -> None:
    errors = [kind for kind in vars(engine_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {
        os.EX_OK,
        click.ClickException.exit_code,
        click.UsageError.exit_code,
        *(exit_code(kind()) for kind in errors),
    }

    assert [int(row[0]) for row in OPERATIONS.rows("Exit codes")] == sorted(codes)


def test_every_start_error_is_explained() -> None:
    assert_explained(messages.raised(START_ERRORS), "Errors at the start")


def test_every_fatal_error_is_explained() -> None:
    assert_explained(messages.raised(FATAL_ERRORS), "Fatal errors")


def test_every_log_message_above_info_is_explained() -> None:
    assert_explained(messages.logged(), "Log messages")


def assert_explained(found: list[messages.Message], title: str) -> None:
    """Each message contains a phrase of the table, and each phrase occurs in the product."""
    phrases = [name for row in OPERATIONS.rows(title) for name in quoted(row[0])]
    missing = [message for message in found if not any(phrase in message.text for phrase in phrases)]
    known = [*(message.text for message in found), *messages.strings()]
    stale = [phrase for phrase in phrases if not any(phrase in text for text in known)]

    assert (missing, stale) == ([], [])
    assert all(len(row) == 3 and row[1] and row[2] for row in OPERATIONS.rows(title))


def test_scenarios_are_those_of_the_suite() -> None:
    assert first_cells(FAULTS, "Scenarios") + first_cells(FAULTS, "Controls") == in_documented_order(NAMES)


def in_documented_order(names: list[str]) -> list[str]:
    """Return scenarios, measurements and controls in the order of the page."""
    controls = [control.name for control in CONTROLS]
    return [name for name in names if name not in controls] + controls


def test_comparisons_are_those_of_the_benchmark() -> None:
    assert first_cells(BENCHMARKS, "Comparisons") == list(COMPARISONS)


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
        path.relative_to(ROOT).as_posix()
        for package in messages.PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"}
    }

    assert [path for path in shown if not (ROOT / path).exists()] == []
    assert modules <= shown
