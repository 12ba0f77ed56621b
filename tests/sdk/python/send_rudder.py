"""Sends with RudderStack's unmodified library for Python. Input and output are those of `send.py`."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from rudderstack.analytics import Client


def main() -> None:
    """Run the scenario."""
    scenario = json.load(sys.stdin)
    failed: list[str] = []

    def note(error: Any, _: Any) -> None:
        failed.append(str(error))

    client = Client(scenario["key"], host=scenario["host"], on_error=note)
    for method, fields in scenario["calls"]:
        getattr(client, method)(**arguments(fields))
    client.flush()
    for method, fields in scenario["leaving"]:
        getattr(client, method)(**arguments(fields))
    client.shutdown()
    print(json.dumps({"failed": failed, "notSent": []}))  # noqa: T201  # it is read by the test


def arguments(fields: dict[str, Any]) -> dict[str, Any]:
    """Return *fields* as keyword arguments of the library's calls."""
    return {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): fields[name] for name in fields}


if __name__ == "__main__":
    main()
