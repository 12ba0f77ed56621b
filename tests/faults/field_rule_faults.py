"""Field rules are set and changed under load while gateways are killed: no private value is stored from then on.

A private value names its field and the time at which it was sent, so that each one that is found tells whether a rule
was in force.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import orjson

from schemas.topics import Topics
from tests.faults.erased_users import PROJECT
from tests.faults.invariants import wait_until_idle
from tests.faults.stack import Stack
from tests.faults.trial import Trial
from tests.support import logs

FOLLOW_SECONDS = 3.0
"""Gateways apply a change within a second; more on a loaded machine."""
SENDING_SECONDS = 10.0
"""How long private values are sent after each change, with two kills."""
PAUSE_SECONDS = 0.1
FIELDS = ("card", "email", "phone", "ip")
PRIVATE = re.compile(rf"({'|'.join(FIELDS)})~(\d{{13}})~(\d+)")
"""Field, milliseconds since 1970, number."""
STORED = "private values stored"
UNSEEN = "private values without a rule not found"


class Value(NamedTuple):
    """A private value."""

    field: str
    sent_ms: int
    number: int


class Phase(NamedTuple):
    """Rules between two changes, in milliseconds since 1970."""

    began_ms: int
    """Before the command."""
    acknowledged_ms: int
    private: frozenset[str]
    """Fields whose values must not be stored."""


def on(action: str, *names: str, of: str = "") -> list[str]:
    """Return the options that set a rule for a property and a trait of each name."""
    return [word for name in names for kind in ("properties", "traits") for word in (action, f"{kind}.{name}{of}")]


CHANGES = (
    (
        [*on("--drop", "card"), *on("--hash", "email"), *on("--truncate", "phone", of="=6"), "--drop", "context.ip"],
        frozenset(FIELDS),
    ),
    (
        [*on("--hash", "card"), *on("--truncate", "email", of="=6"), *on("--drop", "phone"), "--hash", "context.ip"],
        frozenset(FIELDS),
    ),
    ([*on("--remove", "card"), "--truncate", "context.ip=4"], frozenset(FIELDS) - {"card"}),
)
"""Options of `sequence project rules`, and the fields whose values are private then."""


def changing_rules(trial: Trial) -> None:
    """Change the rules while gateways are killed, and search every topic and table for private values."""
    numbers = count()
    phases = [Phase(0, 0, frozenset())]
    sent = _send(trial, numbers, kills=0)
    for options, private in CHANGES:
        first, second = trial.stack.services("gateway")
        trial.stack.kill(first)
        began_ms = _now_ms()
        done = trial.stack.command("project", "rules", PROJECT, *options)
        assert done.returncode == 0, done.stderr
        phases.append(Phase(began_ms, _now_ms(), private))
        trial.stack.kill(second)
        sent += _send(trial, numbers, kills=2)
    _judge(trial, phases, sent)


def is_private(value: Value, phases: Sequence[Phase]) -> bool:
    """Return whether every phase that can have been in force when *value* was sent forbids to store it."""
    ends = [phase.acknowledged_ms + 1000 * FOLLOW_SECONDS for phase in phases[1:]]
    possible = [
        phase for phase, end in zip(phases, [*ends, float("inf")], strict=True) if phase.began_ms <= value.sent_ms < end
    ]
    return all(value.field in phase.private for phase in possible)


def _judge(trial: Trial, phases: Sequence[Phase], sent: Sequence[Value]) -> None:
    trial.client.stop()
    wait_until_idle(trial.stack)
    stored = _stored(trial.stack)
    late = [value.sent_ms - phases[1].acknowledged_ms for value in stored if value.field != "card"]
    private = [value for value in sent if is_private(value, phases)]
    for number, phase in enumerate(phases[1:], start=1):
        trial.violations[f"change {number}: no private value sent"] = int(
            not any(value.sent_ms > phase.acknowledged_ms for value in private)
        )
    trial.violations[STORED] = sum(is_private(value, phases) for value in stored)
    trial.violations[UNSEEN] = sum(
        not any(value.field == field and value.sent_ms < phases[1].began_ms for value in stored) for field in FIELDS
    ) + (not any(value.field == "card" and value.sent_ms > phases[-1].acknowledged_ms for value in stored))
    trial.violations["private values in logs"] = len(
        _values(path.read_text(errors="replace") for path in (trial.stack.state / "logs").iterdir())
    )
    trial.notes.append(
        f"{len(sent)} values sent, {len(private)} of them under a rule; {len(stored)} stored. The last one that a rule"
        f" missed was sent {max(late) / 1000:.1f} s after the acknowledgement"
    )


def _send(trial: Trial, numbers: Iterator[int], *, kills: int) -> list[Value]:
    """Send private values for a while, and kill gateways in turn; return the values."""
    gateways = trial.stack.services("gateway")
    sent: list[Value] = []
    for kill in range(kills + 1):
        until = time.monotonic() + SENDING_SECONDS / (kills + 1)
        while time.monotonic() < until:
            # The second one is a duplicate.
            number = next(numbers)
            items = _items(number, sent_ms := _now_ms())
            trial.client.send(items)
            sent += (Value(field, sent_ms, number) for field in FIELDS)
            trial.client.send(items[:1])
            time.sleep(PAUSE_SECONDS)
        if kill < kills:
            trial.stack.kill(gateways[kill % len(gateways)])
    return sent


def _items(number: int, sent_ms: int) -> list[dict[str, Any]]:
    """Return items with private values of each field: a track, an identify, and one that is rejected."""
    values = {field: f"{field}~{sent_ms}~{number}" for field in FIELDS}
    context = {"ip": values.pop("ip")}
    common = {"userId": f"user-{number % 50}", "timestamp": "2026-01-01T00:00:00.000Z", "context": context}
    track = {"type": "track", "event": "Paid", "messageId": f"private-{number}", "properties": values, **common}
    return [
        track,
        {"type": "identify", "messageId": f"private-{number}-person", "traits": values, **common},
        track | {"messageId": f"private-{number}-rejected", "event": ""},
    ]


def _stored(stack: Stack) -> set[Value]:
    """Return the private values that a topic or a table has."""
    topics = Topics(stack.kafka.topic_prefix).every
    records = [record for topic in topics for record in logs.read(stack.kafka, topic)]
    found = _values(f"{record.key} {record.value} {record.headers}" for record in records)
    tables = stack.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree')"
    )
    for table in tables:
        rows = stack.query(f"SELECT * FROM {table['name']}")  # noqa: S608  # our own tables
        found |= _values(orjson.dumps(row).decode() for row in rows)
    return found


def _values(texts: Iterable[str]) -> set[Value]:
    found = (match.groups() for text in texts for match in PRIVATE.finditer(text))
    return {Value(field, int(sent), int(number)) for field, sent, number in found}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
