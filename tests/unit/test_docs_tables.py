"""The tables of the documentation have what the code has: codes, limits, topics, metrics, messages, scenarios."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from types import ModuleType
from typing import Any

import click
import pytest

from deploy import errors as deploy_errors
from deploy.commands import doctor
from gateway import errors as gateway_errors
from gateway.ingest.envelope import Limits, parse_envelope
from gateway.ingest.rejections import Code
from gateway.ingest.validate import validate_items
from gateway.settings import GatewaySettings
from processors.clickhouse.errors import MigrationError
from processors.engine import errors as engine_errors
from processors.engine.exit import exit_code
from processors.rejected import RejectionCode
from schemas.settings import declarations
from schemas.topics import Topics
from tests.benchmarks.command import COMPARISONS
from tests.faults.controls import CONTROLS
from tests.faults.invariants import COUNTS, Figures
from tests.faults.run import NAMES
from tests.support import messages, metrics_page
from tests.support.documents import PAGES, README, ROOT, Request, page, quoted
from tests.support.exported_metrics import PROCESSES

HTTP, CONSUMERS, OPERATIONS = page("docs/http.md"), page("docs/consumers.md"), page("docs/operations.md")
FAULTS, BENCHMARKS = page("docs/faults.md"), page("docs/benchmarks.md")
CONTRACT = json.loads((ROOT / "schemas" / "openapi.json").read_text())


def errors_of(module: ModuleType, root: type[Exception]) -> set[type[Exception]]:
    """Return every exception of *module* that is a *root*."""
    return {kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, root)}


ENGINE_ERRORS = errors_of(engine_errors, engine_errors.EngineError)
REFUSALS = errors_of(engine_errors, engine_errors.RefusedStartError)
"""Exceptions with which a worker exits with code 78."""
START_ERRORS = errors_of(deploy_errors, deploy_errors.DeployError) | {
    engine_errors.KafkaUnavailableError,
    engine_errors.MetricsPortError,
    engine_errors.WorkerDirectoryError,
    gateway_errors.StartError,
    MigrationError,
}
"""Other exceptions with which a process ends before it processes anything."""
FATAL_ERRORS = ENGINE_ERRORS - REFUSALS - START_ERRORS
"""Exceptions with which a worker exits with code 70 while it runs."""


# HTTP.


def test_paths_are_those_of_the_contract() -> None:
    assert sorted(HTTP.names("Paths")) == sorted(CONTRACT["paths"])


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
    shown = {*HTTP.names("Error codes"), *HTTP.names("Error codes", 1)}

    assert set(Code) <= shown
    assert set(HTTP.names("Error codes", 1)) <= set(Code)


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
    shown = json.loads(HTTP.blocks("json")[0])
    [item] = [item for item in shown["items"] if item["status"] == "rejected"]

    assert [(item.index, item.code, item.field, item.message_id) for item in result.rejected] == [
        (item["index"], item["code"], item["field"], item["messageId"])
    ]
    assert shown["accepted"] == len(result.accepted)


def validated(request: Request) -> Any:
    limits = Limits(2500, 32 * 1024)
    envelope = parse_envelope(request.body.encode(), limits=limits)
    return validate_items(envelope, project_id="dev", received_at=1_800_000_000_000_000, limits=limits)


def test_topics_are_those_that_are_declared() -> None:
    declared = Topics().declare(partitions=4, items_retention_days=7, dedupe_window_days=7)

    assert [quoted(row[0])[0] for row in CONSUMERS.rows("Topics")] == [topic.name for topic in declared]


def test_codes_of_rejected_records_are_those_of_the_code() -> None:
    shown = {name for row in CONSUMERS.rows("Rejected items") for name in quoted(row[1])}

    assert shown == {code.value for code in RejectionCode}


def test_page_of_the_metrics_is_made_from_the_declarations() -> None:
    assert metrics_page.PAGE.read_text(encoding="utf-8") == metrics_page.page(), f"run {metrics_page.COMMAND}"


def test_metric_in_the_text_exists() -> None:
    declared = {metric.name for of_process in PROCESSES.values() for metric in of_process}
    pages = [document for document in PAGES if str(document) != "CHANGELOG.md"]
    names = {
        name
        for document in pages
        for name in re.findall(r"`(sequence_(?:gateway|worker|sink|audit|console)_\w+)", document.prose)
    }

    assert names == declared


def test_exit_codes_are_those_of_the_code() -> None:
    codes = {
        os.EX_OK,
        click.ClickException.exit_code,
        click.UsageError.exit_code,
        doctor.ERRORS_EXIT_CODE,
        *(exit_code(kind()) for kind in ENGINE_ERRORS),
    }

    assert [int(row[0]) for row in OPERATIONS.rows("Exit codes")] == sorted(codes)


def test_every_error_with_exit_code_78_is_explained() -> None:
    assert {exit_code(kind()) for kind in REFUSALS} == {os.EX_CONFIG}
    assert_explained(refusals(), "Exit code 78")


def test_every_start_error_is_explained() -> None:
    refused = refusals()
    other = [message for message in raised(START_ERRORS) if message not in refused]

    assert_explained(other, "Errors at the start")


def test_every_fatal_error_is_explained() -> None:
    assert_explained(raised(FATAL_ERRORS), "Fatal errors")


def test_every_log_message_above_info_is_explained() -> None:
    assert_explained(messages.logged(), "Log messages")


def refusals() -> list[messages.Message]:
    """Return the messages of workers with exit code 78; `deploy` has an error of the same name as one of them."""
    return [message for message in raised(REFUSALS) if message.place.startswith("processors/")]


def raised(kinds: set[type[Exception]]) -> list[messages.Message]:
    """Return the messages of the exceptions *kinds*."""
    return messages.raised(frozenset(kind.__name__ for kind in kinds))


def assert_explained(found: list[messages.Message], title: str) -> None:
    """Each message contains a phrase of the table, and each phrase occurs in the product."""
    phrases = [name for row in OPERATIONS.rows(title) for name in quoted(row[0])]
    missing = [message for message in found if not any(phrase in message.text for phrase in phrases)]
    known = [*(message.text for message in found), *messages.strings()]
    stale = [phrase for phrase in phrases if not any(phrase in text for text in known)]

    assert (missing, stale) == ([], [])
    assert all(len(row) == 3 and row[1] and row[2] for row in OPERATIONS.rows(title))


def test_figures_are_those_of_the_check() -> None:
    assert FAULTS.names("What is checked") == [field.name for field in fields(Figures) if field.name not in COUNTS]


def test_scenarios_are_those_of_the_suite() -> None:
    assert FAULTS.names("Scenarios") + FAULTS.names("Controls") == in_documented_order(NAMES)


def in_documented_order(names: list[str]) -> list[str]:
    """Return scenarios, measurements and controls in the order of the page."""
    controls = [control.name for control in CONTROLS]
    return [name for name in names if name not in controls] + controls


def test_comparisons_are_those_of_the_benchmark() -> None:
    assert BENCHMARKS.names("Comparisons") == list(COMPARISONS)
