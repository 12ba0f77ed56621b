"""Faults of materialized views on `events`: one throws once, one always, one has no target any more.

A fault of a view costs that view its rows and nothing else. A healthy view beside it must have each event exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from schemas.topics import Topics
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support import logs
from tests.support.services import eventually

NAMED_WITHIN_SECONDS = 150.0
"""Each view is tried once a minute."""
ONCE = "throwIf(toString(properties.price) = 'abc', 'not a price')"
ALWAYS = "throwIf(1, 'never')"


def throwing(name: str, expression: str, *, is_named: bool = True) -> Step:
    """Let a view throw under load: *expression* on each row. Among 200 more tracks one has the price `abc`.

    *is_named* tells whether the sink must name the view in its log.
    """

    def inject(trial: Trial) -> None:
        with _views(trial, name, expression):
            trial.client.send(_tracks(name))
            time.sleep(5)
            if is_named:
                _require_named(trial, name)

    return inject


def without_target(trial: Trial) -> None:
    """Drop the target of a view under load."""
    name = "orphan"
    with _views(trial, name, "1"):
        trial.stack.query(f"DROP TABLE {name}_target SYNC")
        trial.client.send(_tracks(name))
        time.sleep(5)
        _require_named(trial, name)


@contextmanager
def _views(trial: Trial, name: str, expression: str) -> Iterator[None]:
    """Create the faulty view *name* between two healthy ones for the block, and compare those with `events`."""
    stack = trial.stack
    trial.client.stop()
    _wait_for_sink(stack)
    before = _count(stack, "events")
    healthy = (f"a_healthy_{name}", f"z_healthy_{name}")
    for view, result in ((healthy[0], "0"), (name, expression), (healthy[1], "0")):
        stack.query(f"CREATE TABLE {view}_target (result Int64, message_id String) ENGINE = MergeTree ORDER BY ()")
        stack.query(
            f"CREATE MATERIALIZED VIEW {view} TO {view}_target AS SELECT {result} AS result, message_id FROM events"  # noqa: S608
        )
    trial.client.start(rate=trial.scenario.rate)
    try:
        yield
        trial.client.stop()
        _wait_for_sink(stack)
        added = _count(stack, "events") - before
        for view in healthy:
            seen, unique = (_count(stack, f"{view}_target", what) for what in ("count()", "uniqExact(message_id)"))
            _add(trial, f"{name}: rows of a healthy view lost", max(0, added - unique))
            _add(trial, f"{name}: rows of a healthy view doubled", seen - unique)
        trial.violations[f"{name}: rejected by the sink"] = _rejections(stack)
        trial.notes.append(f"{name}: {added} events in `events` and in each healthy view")
    finally:
        for view in (name, *healthy):
            stack.query(f"DROP VIEW IF EXISTS {view} SYNC")
            stack.query(f"DROP TABLE IF EXISTS {view}_target SYNC")
        if not trial.client.sending:
            trial.client.start(rate=trial.scenario.rate)


def _add(trial: Trial, violation: str, count: int) -> None:
    trial.violations[violation] = trial.violations.get(violation, 0) + count


def _tracks(name: str) -> list[dict[str, Any]]:
    time_text = "2026-01-01T00:00:00.000Z"
    return [
        {
            "type": "track",
            "messageId": f"{name}-{number}",
            "userId": "ada",
            "event": "Order Completed",
            "timestamp": time_text,
            "properties": {"price": "abc" if number == 57 else number},
        }
        for number in range(200)
    ]


def _require_named(trial: Trial, name: str) -> None:
    """Wait until the log of a sink names the view at WARNING or above."""

    def named() -> bool:
        lines = [line for sink in trial.stack.services("sink") for line in trial.stack.log(sink).splitlines()]
        return any(name in line and "healthy" not in line and _is_severe(line) for line in lines)

    eventually(named, f"the view {name} is named in the log", within_seconds=NAMED_WITHIN_SECONDS, every_seconds=1.0)


def _is_severe(line: str) -> bool:
    return any(level in line for level in (" WARNING ", " ERROR ", " CRITICAL "))


def _wait_for_sink(stack: Stack) -> None:
    """Wait until the sinks have written what is on `events.v1`; failing that, the figures show it."""
    topics = Topics(stack.kafka.topic_prefix)
    counts: list[int] = []

    def still() -> bool:
        counts.append(sum(logs.ends(stack.kafka, topics.events).values()) * 1_000_000 + _count(stack, "events"))
        return len(counts) > 3 and len(set(counts[-3:])) == 1

    eventually(still, "the sinks have written every event", within_seconds=120, every_seconds=1.0)


def _rejections(stack: Stack) -> int:
    records = logs.read(stack.kafka, Topics(stack.kafka.topic_prefix).rejected)
    return sum(orjson.loads(record.value).get("stage") == "sink" for record in records)


def _count(stack: Stack, table: str, what: str = "count()") -> int:
    return int(str(stack.query(f"SELECT {what} AS number FROM {table}")[0]["number"]))  # noqa: S608  # our own


VIEWS = (
    ("view throws once", throwing("throws_once", ONCE)),
    ("view throws always", throwing("throws_always", ALWAYS)),
    ("view without target", without_target),
)
