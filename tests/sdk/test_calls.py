"""Calls of unmodified libraries end in `events`, in `persons`, or rejected with their code."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pytest

from tests.faults.stack import Stack
from tests.sdk.conftest import Run
from tests.sdk.scenarios import CALLS, LARGE, PROPERTIES, REJECTED_CODES, TRAITS

pytestmark = pytest.mark.timeout(900)
RUNS = dict[tuple[str, str], Run]
REJECTED = dict[str, dict[str, Any]]
EACH = pytest.mark.parametrize("sdk", ["python", "node"])
ALL_CALLS = pytest.mark.parametrize(
    ("sdk", "scenario"), [("python", "calls"), ("python", "compressed"), ("node", "calls")]
)


def events(stack: Stack, user: str) -> list[dict[str, Any]]:
    """Return the rows of *user*, by event."""
    columns = "*, toString(original_timestamp) AS at"
    return stack.query(f"SELECT {columns} FROM events WHERE user_id = '{user}' ORDER BY event")  # noqa: S608  # our own


@ALL_CALLS
def test_track_is_a_row(pipeline: Stack, sent: RUNS, sdk: str, scenario: str) -> None:
    user = sent[sdk, scenario].user

    bare, both, ordered = events(pipeline, user)

    assert [row["message_id"] for row in (bare, both, ordered)] == [f"{user}-{n}" for n in ("bare", "both", "track")]
    assert (bare["properties"], both["anonymous_id"]) == ({}, f"{user}-a")
    assert ordered["properties"] == PROPERTIES
    assert json.loads(str(ordered["context"]))["library"]["name"].startswith("analytics-" if sdk == "python" else "@")


@ALL_CALLS
def test_identify_is_a_person(pipeline: Stack, sent: RUNS, sdk: str, scenario: str) -> None:
    user = sent[sdk, scenario].user

    (row,) = pipeline.query(f"SELECT traits FROM persons WHERE user_id = '{user}'")  # noqa: S608

    assert row["traits"] == TRAITS


@ALL_CALLS
def test_other_calls_are_rejected_with_code_and_content(
    sent: RUNS, rejected: REJECTED, sdk: str, scenario: str
) -> None:
    user = sent[sdk, scenario].user

    found = {name: entry for name, entry in rejected.items() if name.startswith(f"{user}-")}

    assert {name.removeprefix(f"{user}-"): entry["code"] for name, entry in found.items()} == REJECTED_CODES
    assert all(json.loads(entry["content"])["messageId"] == name for name, entry in found.items())


@ALL_CALLS
def test_batch_with_rejected_items_is_a_success_to_the_library(sent: RUNS, sdk: str, scenario: str) -> None:
    run = sent[sdk, scenario]

    assert run.report.failed == run.report.not_sent == []
    assert run.proxy.outcomes == ["200"] * len(run.proxy.outcomes)
    assert run.proxy.headers["Content-Encoding: gzip"] == (len(run.proxy.outcomes) if scenario == "compressed" else 0)


@EACH
def test_invalid_token_is_reported_once_and_stores_nothing(pipeline: Stack, sent: RUNS, sdk: str) -> None:
    run = sent[sdk, "wrong-token"]

    assert run.proxy.outcomes == ["401"]
    assert run.report.failed == {"python": ["401 unauthorized"], "node": ["[401] Unauthorized"]}[sdk]
    assert events(pipeline, run.user) == []


def test_python_library_does_not_send_an_item_that_is_too_large(
    pipeline: Stack, sent: RUNS, rejected: REJECTED
) -> None:
    run = sent["python", "large"]

    assert len(run.report.not_sent) == 1
    assert [row["event"] for row in events(pipeline, run.user)] == ["Small"]
    assert f"{run.user}-large" not in rejected


def test_node_library_sends_an_item_that_is_too_large_and_only_it_is_rejected(
    pipeline: Stack, sent: RUNS, rejected: REJECTED
) -> None:
    run = sent["node", "large"]

    assert run.report.failed == run.report.not_sent == []
    assert [row["event"] for row in events(pipeline, run.user)] == ["Small"]
    rejection = rejected[f"{run.user}-large"]
    assert rejection["code"] == "item_too_large"
    assert LARGE in rejection["content"]


def test_python_values_are_stored_as_the_library_encodes_them(pipeline: Stack, sent: RUNS, rejected: REJECTED) -> None:
    run = sent["python", "values"]

    rows = {row["event"]: row for row in events(pipeline, run.user)}

    row = rows.pop("Values")
    assert row["properties"] == {
        "whole": 42,
        "large": 2**53 + 1,
        "largest": 2**64 - 1,
        "negative": -(2**63),
        "fraction": 0.1,
        "small": 1e-7,
        "huge": 1e300,
        "decimal": 19.99,
        "truth": True,
        "day": "2026-01-31",
        "moment": "2026-01-31T23:59:59.123456+00:00",
        "there": "2026-01-31T23:59:59+05:30",
        "plan": "pro",
        "list": [1, 2.5, "three"],
        "text": 'Grüße 😀 \u2028 \\ "',
    }
    assert row["at"] == "2026-01-31 10:30:15.678000"
    assert mine(rejected, run) == []
    repaired = {name: (row["properties"], row["properties_null_keys"]) for name, row in rows.items()}
    assert repaired == {"Too large": ({"value": str(2**64)}, []), "No number": ({}, ["value"])}
    (numbered,) = events(pipeline, "7001")
    assert numbered["properties"] == {"user": run.user}


def test_node_values_are_stored_as_the_library_encodes_them(pipeline: Stack, sent: RUNS, rejected: REJECTED) -> None:
    run = sent["node", "values"]

    rows = {row["event"]: row for row in events(pipeline, run.user)}

    values = rows.pop("Values")
    assert values["properties"] == {
        "whole": 42,
        "large": 2**53,
        "fraction": 0.1,
        "small": 1e-7,
        "huge": 1e300,
        "beyond": 1e21,
        "minusZero": 0,
        "truth": True,
        "moment": "2026-01-31T23:59:59.123Z",
        "list": [1, 2.5, "three", None],
        "text": 'Grüße 😀 \u2028 \\ "',
    }
    assert values["at"] == "2026-01-31 10:30:15.678000"
    assert mine(rejected, run) == []
    assert {name: row["properties"] for name, row in rows.items()} == {"Half a pair": {"value": "x\ufffdy"}}


def mine(rejected: REJECTED, run: Run) -> list[dict[str, Any]]:
    return [entry for entry in rejected.values() if run.user in entry["content"]]


@EACH
def test_clock_of_the_library_is_corrected_to_ours(pipeline: Stack, sent: RUNS, sdk: str) -> None:
    row = events(pipeline, sent[sdk, "calls"].user)[0]
    corrected, original, received = (
        datetime.fromisoformat(str(row[name])) for name in ("timestamp", "original_timestamp", "received_at")
    )

    assert abs((corrected - original).total_seconds()) < 5
    assert corrected <= received
    assert len(CALLS) == 3 + 1 + len(REJECTED_CODES)
    assert math.isclose((received - datetime.fromisoformat(str(row["sent_at"]))).total_seconds(), 0, abs_tol=5)
