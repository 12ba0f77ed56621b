"""Sends with Segment's unmodified library for Python; runs in the virtual environment of that library.

Reads a scenario from standard input: `host`, `key`, `user`, `calls`, and the options `gzip` and `timeoutSeconds`.
The calls in `leaving` follow once the library has sent `calls`, and nothing but its end sends them.
Prints what the library reported: `failed`, a line for each abandoned batch, and `notSent`, one for each rejected call.
"""

from __future__ import annotations

import enum
import json
import re
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from segment.analytics import Client


class Plan(enum.Enum):
    """An enum; the library sends the value of the member."""

    PRO = "pro"


VALUES: dict[str, Any] = {
    "whole": 42,
    "large": 2**53 + 1,
    "largest": 2**64 - 1,
    "negative": -(2**63),
    "fraction": 0.1,
    "small": 1e-7,
    "huge": 1e300,
    "decimal": Decimal("19.99"),
    "truth": True,
    "nothing": None,
    "day": date(2026, 1, 31),
    "moment": datetime(2026, 1, 31, 23, 59, 59, 123456, tzinfo=UTC),
    "there": datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "plan": Plan.PRO,
    "list": (1, 2.5, "three"),
    "text": 'Grüße 😀 \u2028 \\ "',
}


def values(user: str) -> list[Any]:
    """Return the calls with values that only this language has."""
    local = datetime(2026, 1, 31, 12, 30, 15, 678901, tzinfo=timezone(timedelta(hours=2)))
    return [
        ["track", {"userId": user, "event": "Values", "properties": VALUES, "timestamp": local}],
        ["track", {"userId": user, "event": "Too large", "properties": {"value": 2**64}}],
        ["track", {"userId": user, "event": "No number", "properties": {"value": float("nan")}}],
        ["track", {"userId": 7001, "event": "Number as user", "properties": {"user": user}}],
    ]


def main() -> None:
    """Run the scenario."""
    scenario = json.load(sys.stdin)
    failed: list[str] = []
    not_sent: list[str] = []

    def note(error: Any, _: Any) -> None:
        failed.append(f"{error.status} {error.code}" if hasattr(error, "status") else type(error).__name__)

    client = Client(
        scenario["key"],
        host=scenario["host"],
        on_error=note,
        gzip=scenario.get("gzip", False),
        timeout=scenario.get("timeoutSeconds", 15.0),
        upload_interval=0.2,
    )

    def call(calls: list[Any]) -> None:
        for method, fields in calls:
            arguments = {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): fields[name] for name in fields}
            try:
                getattr(client, method)(**arguments)
            except RuntimeError as error:
                not_sent.append(str(error.args[0]))

    call(scenario["calls"] or values(scenario["user"]))
    if leaving := scenario.get("leaving"):
        client.flush()
        call(leaving)
    client.shutdown()
    print(json.dumps({"failed": failed, "notSent": not_sent}))  # noqa: T201  # it is read by the test


if __name__ == "__main__":
    main()
