"""Runs the steps of a tool and prints a JSON object a line for each: its name, and what it showed or its error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any


def asked() -> dict[str, Any]:
    """Return the login and the queries of a run, which `tests/tools/runs.py` sends."""
    run: dict[str, Any] = json.load(sys.stdin)
    return run


def step(name: str, call: Callable[[], Any]) -> None:
    """Do *call* and print what it returns, or the error that it raises."""
    try:
        outcome = {"step": name, "shown": call()}
    except Exception as error:  # noqa: BLE001  # any error of a tool is an outcome
        outcome = {"step": name, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(outcome, default=str), flush=True)  # noqa: T201  # it is read by the matrix


def plain(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return *rows* as lists."""
    return [list(row) for row in rows]
