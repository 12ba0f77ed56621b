"""Faults of content: thousands of property names from one project, and a request that costs ClickHouse gigabytes.

Another project sends one event a second meanwhile. Its events must be visible soon, and no sink may be restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import psutil
import requests

from deploy.local.quickstart import PROJECT
from gateway.projects.admin import create_project, create_token
from schemas.records import item_key, partition_for
from schemas.topics import Topics
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support import logs
from tests.support.services import eventually

MIB = 1024 * 1024
VISIBLE_WITHIN_SECONDS = 2.0
FEW_NAMES, MANY_NAMES = 3_000, 60_000
ENGINE_LIMIT_BYTES = 2048 * MIB
HEAVY_TRACKS, HEAVY_ARRAYS, HEAVY_KEYS = 150, 11, 250
ODD_TRACKS = 4
REJECTED_WITHIN_SECONDS = 90.0


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
def clean_project(trial: Trial, title: str, give_up_seconds: float = 240.0) -> Iterator[None]:
    """Send an event of another project each second; note how long the slowest took to be visible.

    One that is not visible after *give_up_seconds* counts as never visible.
    """
    stack = trial.stack
    token = asyncio.run(_token(stack, f"clean-{int(time.time() * 1000)}"))
    over = threading.Event()
    waits: list[float] = []
    watching = threading.Thread(target=_watch, args=(trial, token, over, waits, give_up_seconds))
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


def _watch(trial: Trial, token: str, over: threading.Event, waits: list[float], give_up_seconds: float) -> None:
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
        waits.append(_seconds_until_visible(stack, name, began, give_up_seconds))


def _seconds_until_visible(stack: Stack, message_id: str, began: float, give_up_seconds: float) -> float:
    statement = f"SELECT count() AS rows FROM events WHERE message_id = '{message_id}'"  # noqa: S608  # our own
    while time.monotonic() < began + give_up_seconds:
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


def unstorable_rows(trial: Trial) -> None:
    """Send a few rows that make every INSERT with them fail, by an expression that an operator added to the table.

    They must be found, and rejected as rows that the engine cannot store; all others are stored meanwhile. They are in
    all partitions but one: rows that are written show that the table takes rows.
    """
    stack, title = trial.stack, "unstorable rows"
    odd: list[dict[str, Any]] = [
        {
            "type": "track",
            "messageId": name,
            "userId": "ada",
            "event": "Odd",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "properties": {},
        }
        for name in _odd_names(stack)
    ]
    trial.ledger.may_be_rejected.update(item["messageId"] for item in odd)
    stack.query("ALTER TABLE events ADD COLUMN odd UInt8 MATERIALIZED throwIf(event = 'Odd', 'an odd event')")
    try:
        with clean_project(trial, title, give_up_seconds=60):
            trial.client.send(odd)
            with contextlib.suppress(AssertionError):
                eventually(
                    lambda: _unstorable(stack) == ODD_TRACKS,
                    "the rows are rejected",
                    within_seconds=REJECTED_WITHIN_SECONDS,
                    every_seconds=2.0,
                )
        trial.violations[f"{title}: not rejected"] = ODD_TRACKS - _unstorable(stack)
    finally:
        stack.query("ALTER TABLE events DROP COLUMN odd")


def _odd_names(stack: Stack) -> list[str]:
    """Return messageIds of the development project in all partitions but the first one."""
    partitions = len(logs.ends(stack.kafka, Topics(stack.kafka.topic_prefix).items))
    names = (f"odd-{number}" for number in itertools.count())
    elsewhere = (name for name in names if partition_for(item_key(PROJECT, name), partitions) != 0)
    return list(itertools.islice(elsewhere, ODD_TRACKS))


def _unstorable(stack: Stack) -> int:
    """Return the number of messageIds that the sink rejected as rows that the engine cannot store."""
    records = [
        orjson.loads(record.value) for record in logs.read(stack.kafka, Topics(stack.kafka.topic_prefix).rejected)
    ]
    return len({record["content"] for record in records if record.get("code") == "engine_cannot_store"})


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


HEAVY = (("heavy request", heavy_request), ("unstorable rows", unstorable_rows))
