"""Faults of content: thousands of property names from one project, and a request that costs ClickHouse gigabytes.

Another project sends one event a second meanwhile. Its events must be visible soon, and no sink may be restarted.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import requests

from gateway.projects.admin import create_project, create_token
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial

MIB = 1024 * 1024
VISIBLE_WITHIN_SECONDS = 2.0
FEW_NAMES, MANY_NAMES = 3_000, 60_000
ENGINE_LIMIT_BYTES = 2048 * MIB
HEAVY_TRACKS, HEAVY_ARRAYS, HEAVY_KEYS = 150, 11, 250
MAY_TAKE_SECONDS = 240.0
"""Time in which a heavy request must be stored or rejected, and all that is behind it stored."""


def many_names(seconds: float) -> Step:
    """Send *seconds* of items with 3,000 names, then of items with 60,000, while another project sends a few."""

    def send(trial: Trial) -> None:
        stack = trial.stack
        trial.ledger.names = FEW_NAMES
        with clean_project(trial, "3,000 names"):
            time.sleep(seconds)
        trial.ledger.names = MANY_NAMES
        with clean_project(trial, "60,000 names"):
            time.sleep(seconds)
        trial.violations["workers that exited"] = len(stack.self_exits())

    return send


@contextmanager
def clean_project(trial: Trial, title: str) -> Iterator[None]:
    """Send an event of another project each second; note how long the slowest took to be visible."""
    stack = trial.stack
    token = asyncio.run(_token(stack, f"clean-{int(time.time() * 1000)}"))
    over = threading.Event()
    waits: list[float] = []
    watching = threading.Thread(target=_watch, args=(trial, token, over, waits))
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    ordered = sorted(waits)
    late = sum(wait > VISIBLE_WITHIN_SECONDS for wait in waits)
    trial.violations[f"{title}: clean events visible late"] = late if trial.scenario.alone else 0
    trial.violations[f"{title}: clean events never visible"] = sum(wait == float("inf") for wait in waits)
    trial.violations[f"{title}: no clean event"] = int(not waits)
    if ordered:
        trial.notes.append(
            f"{title}: clean events visible after {ordered[len(ordered) // 2]:.1f} s, at most {ordered[-1]:.1f} s"
        )


async def _token(stack: Stack, project: str) -> str:
    await create_project(stack.kafka, project, project)
    return await create_token(stack.kafka, project)


def _watch(trial: Trial, token: str, over: threading.Event, waits: list[float]) -> None:
    stack = trial.stack
    headers = {"Authorization": f"Bearer {token}"}
    for number in itertools.count():
        if over.wait(1.0):
            return
        name = f"{token[-8:]}-{number}"
        item: dict[str, Any] = {"type": "track", "messageId": name, "userId": "ada", "event": "Clean", "properties": {}}
        began = time.monotonic()
        response = requests.post(
            f"{stack.gateways[0]}/event/batch", json={"batch": [item]}, headers=headers, timeout=30
        )
        if response.status_code != 200:  # a token is known to each gateway within a second
            continue
        trial.ledger.settle(trial.ledger.add([item]), {0: "acknowledged"})
        waits.append(_seconds_until_visible(stack, name, began))


def _seconds_until_visible(stack: Stack, message_id: str, began: float) -> float:
    statement = f"SELECT count() AS rows FROM events WHERE message_id = '{message_id}'"  # noqa: S608  # our own
    while time.monotonic() < began + MAY_TAKE_SECONDS:
        if stack.query(statement)[0]["rows"] in {1, "1"}:
            return time.monotonic() - began
        time.sleep(0.05)
    return float("inf")


def heavy_request(trial: Trial) -> None:
    """Send one request of objects in arrays, while ClickHouse is killed whenever it uses more than 2 GiB."""
    keys = {f"k{number}": 1 for number in range(HEAVY_KEYS)}
    heavy: list[dict[str, Any]] = [
        {
            "type": "track",
            "messageId": f"heavy-{number}",
            "userId": "ada",
            "event": "Heavy",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "properties": {f"a{number}_{each}": [keys] for each in range(HEAVY_ARRAYS)},
        }
        for number in range(HEAVY_TRACKS)
    ]
    trial.ledger.may_be_rejected.update(item["messageId"] for item in heavy)
    with out_of_memory_killer(trial), clean_project(trial, "heavy request"):
        trial.client.send(heavy)
        time.sleep(60)
    accepted = sum(trial.ledger.entries[item["messageId"]].outcome == "acknowledged" for item in heavy)
    trial.violations["heavy request: tracks that the gateway rejected"] = len(heavy) - accepted


@contextmanager
def out_of_memory_killer(trial: Trial) -> Iterator[None]:
    """`kill -9` ClickHouse whenever it uses more than `ENGINE_LIMIT_BYTES`, for the block."""
    over = threading.Event()
    kills: list[int] = []
    peak = [0]

    def watch() -> None:
        while not over.wait(0.02):
            pid = trial.stack.running("clickhouse")
            try:
                used = psutil.Process(pid).memory_info().rss if pid else 0
            except psutil.NoSuchProcess:
                continue
            peak[0] = max(peak[0], used)
            if used > ENGINE_LIMIT_BYTES:
                trial.stack.kill("clickhouse")
                kills.append(used)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
        trial.notes.append(f"ClickHouse was killed {len(kills)} times and used up to {peak[0] // MIB} MiB")
