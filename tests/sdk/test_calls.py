"""What stock libraries send is where it belongs: in ClickHouse, in `persons`, or refused with its reason."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pytest

from tests.faults.stack import Stack
from tests.sdk.conftest import Sent
from tests.sdk.orders import CALLS, LARGE, PROPERTIES, REFUSED, TRAITS

pytestmark = pytest.mark.timeout(420)
SENT = dict[tuple[str, str], Sent]
REJECTED = dict[str, dict[str, Any]]
EACH = pytest.mark.parametrize("sdk", ["python", "node"])
ALL_CALLS = pytest.mark.parametrize(("sdk", "order"), [("python", "calls"), ("python", "zipped"), ("node", "calls")])


def events(stack: Stack, user: str) -> list[dict[str, Any]]:
    """Return the rows of *user*, by event."""
    columns = "*, toString(original_timestamp) AS at"
    return stack.query(f"SELECT {columns} FROM events WHERE user_id = '{user}' ORDER BY event")  # noqa: S608  # our own


@ALL_CALLS
def test_tracks_are_rows(pipeline: Stack, sent: SENT, sdk: str, order: str) -> None:
    user = sent[sdk, order].user

    bare, both, ordered = events(pipeline, user)

    assert [row["message_id"] for row in (bare, both, ordered)] == [f"{user}-{n}" for n in ("bare", "both", "track")]
    assert (bare["properties"], both["anonymous_id"]) == ({}, f"{user}-a")
    assert ordered["properties"] == PROPERTIES
    assert json.loads(str(ordered["context"]))["library"]["name"].startswith("analytics-" if sdk == "python" else "@")


@ALL_CALLS
def test_an_identify_is_a_person(pipeline: Stack, sent: SENT, sdk: str, order: str) -> None:
    user = sent[sdk, order].user

    (row,) = pipeline.query(f"SELECT traits FROM persons WHERE user_id = '{user}'")  # noqa: S608

    assert row["traits"] == TRAITS


@ALL_CALLS
def test_the_rest_is_refused_with_its_reason_and_kept(sent: SENT, rejected: REJECTED, sdk: str, order: str) -> None:
    user = sent[sdk, order].user

    found = {name: entry for name, entry in rejected.items() if name.startswith(f"{user}-")}

    assert {name.removeprefix(f"{user}-"): entry["code"] for name, entry in found.items()} == REFUSED
    assert all(json.loads(entry["content"])["messageId"] == name for name, entry in found.items())


@ALL_CALLS
def test_a_batch_of_good_and_refused_items_is_a_success_to_the_library(sent: SENT, sdk: str, order: str) -> None:
    done = sent[sdk, order]

    assert done.told.failed == done.told.not_sent == []
    assert done.front.seen == ["200"] * len(done.front.seen)
    assert done.front.headers["Content-Encoding: gzip"] == (len(done.front.seen) if order == "zipped" else 0)


@EACH
def test_a_wrong_token_is_told_once_and_stores_nothing(pipeline: Stack, sent: SENT, sdk: str) -> None:
    done = sent[sdk, "wrong-token"]

    assert done.front.seen == ["401"]
    assert done.told.failed == {"python": ["401 unauthorized"], "node": ["[401] Unauthorized"]}[sdk]
    assert events(pipeline, done.user) == []


def test_python_keeps_an_item_that_is_too_large_to_itself(pipeline: Stack, sent: SENT, rejected: REJECTED) -> None:
    done = sent["python", "large"]

    assert len(done.told.not_sent) == 1
    assert [row["event"] for row in events(pipeline, done.user)] == ["Small"]
    assert f"{done.user}-large" not in rejected


def test_node_sends_an_item_that_is_too_large_and_it_alone_is_refused(
    pipeline: Stack, sent: SENT, rejected: REJECTED
) -> None:
    done = sent["node", "large"]

    assert done.told.failed == done.told.not_sent == []
    assert [row["event"] for row in events(pipeline, done.user)] == ["Small"]
    refused = rejected[f"{done.user}-large"]
    assert refused["code"] == "item_too_large"
    assert LARGE in refused["content"]


def test_values_of_python_arrive_as_it_writes_them(pipeline: Stack, sent: SENT, rejected: REJECTED) -> None:
    done = sent["python", "values"]

    (row,) = events(pipeline, done.user)

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
    codes = {json.loads(entry["content"])["event"]: entry["code"] for entry in mine(rejected, done)}
    assert codes == {"Too large": "invalid_number", "No number": "invalid_number"}
    (numbered,) = events(pipeline, "7001")
    assert numbered["properties"] == {"user": done.user}


def test_values_of_node_arrive_as_it_writes_them(pipeline: Stack, sent: SENT, rejected: REJECTED) -> None:
    done = sent["node", "values"]

    rows = {row["event"]: row for row in events(pipeline, done.user)}

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
    assert [entry["code"] for entry in mine(rejected, done)] == ["invalid_unicode"]
    assert rows == {}


def mine(rejected: REJECTED, done: Sent) -> list[dict[str, Any]]:
    return [entry for entry in rejected.values() if done.user in entry["content"]]


@EACH
def test_the_clock_of_the_library_is_nearly_ours(pipeline: Stack, sent: SENT, sdk: str) -> None:
    row = events(pipeline, sent[sdk, "calls"].user)[0]
    corrected, original, received = (
        datetime.fromisoformat(str(row[name])) for name in ("timestamp", "original_timestamp", "received_at")
    )

    assert abs((corrected - original).total_seconds()) < 5
    assert corrected <= received
    assert len(CALLS) == 3 + 1 + len(REFUSED)
    assert math.isclose((received - datetime.fromisoformat(str(row["sent_at"]))).total_seconds(), 0, abs_tol=5)
