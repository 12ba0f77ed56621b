"""The scenarios: each does its harm to a stack under load and leaves it running."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from schemas.records import Record
from schemas.topics import Topics
from tests import logs
from tests.faults.stack import Stack
from tests.services import eventually
from tests.workers import Worker

WORKERS = ("dedupe", "persons", "events")
Harm = Callable[[Stack, "Scenario"], None]
"""Does the harm, as often as the scenario says, while a client sends."""


@dataclass(frozen=True)
class Scenario:
    """One way in which things go wrong."""

    name: str
    repetitions: int
    harm: Harm
    rate: float = 400.0
    """Items a second, for as long as the harm goes on."""
    items: int | None = None
    """How many items to send where that does not follow from the harm."""
    environ: dict[str, str] = field(default_factory=dict)
    idle_within_seconds: float = 180.0


def nothing(stack: Stack, scenario: Scenario) -> None:
    """Do nothing."""


def repeatedly(harm: Callable[[Stack, random.Random], None], *, pause_seconds: float) -> Harm:
    """Return *harm* as often as the scenario wants it, with *pause_seconds* after each; the same chances every time."""

    def repeated(stack: Stack, scenario: Scenario) -> None:
        chance = random.Random(scenario.name)
        for _ in range(scenario.repetitions):
            harm(stack, chance)
            time.sleep(pause_seconds)

    return repeated


def killing(*kinds: str, pause_seconds: float, whole_kind: bool = False) -> Harm:
    """Return the harm of `kill -9` on a random part of *kinds*, or on all parts of one kind at once."""

    def kill(stack: Stack, chance: random.Random) -> None:
        parts = stack.parts(chance.choice(kinds))
        for part in parts if whole_kind else [chance.choice(parts)]:
            stack.kill(part)

    return repeatedly(kill, pause_seconds=pause_seconds)


def pausing(*kinds: str, seconds: float, between_seconds: float) -> Harm:
    """Return the harm of SIGSTOP for *seconds* on a random part of *kinds*: it wakes when others have its work."""

    def pause(stack: Stack, chance: random.Random) -> None:
        pid = stack.signal(chance.choice(stack.parts(chance.choice(kinds))), signal.SIGSTOP)
        time.sleep(seconds)
        stack.resume(pid)

    return repeatedly(pause, pause_seconds=between_seconds)


def holding_down(part: str, *, seconds: float) -> Harm:
    """Return the harm of *part* being away for *seconds*, however often the supervisor starts it."""

    def hold(stack: Stack, chance: random.Random) -> None:
        del chance
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            stack.kill(part)
            time.sleep(0.2)

    return repeatedly(hold, pause_seconds=5)


def dying_at_points(stack: Stack, scenario: Scenario) -> None:
    """Wait until workers that kill themselves at a point of the code have died often enough."""
    eventually(lambda: stack.restarts() >= scenario.repetitions, "the workers have died", within_seconds=600)


def coming_and_going(stack: Stack, chance: random.Random) -> None:
    """Add a worker of a random kind and take it away again: every time all partitions of its kind move."""
    kind = chance.choice(WORKERS)
    directory = stack.state.parent / "guests" / f"{kind}-{chance.random()}"
    with Worker(kind, stack.kafka, directory, environ={"SEQUENCE_CLICKHOUSE_URL": stack.clickhouse}):
        time.sleep(5)


def wiping(stack: Stack, chance: random.Random) -> None:
    """Delete the local state of a worker with a table, under its feet, and kill it."""
    part = chance.choice(stack.parts(chance.choice(("dedupe", "persons"))))
    pid = stack.signal(part, signal.SIGSTOP)
    shutil.rmtree(stack.state / "workers" / part, ignore_errors=True)
    stack.end(pid)


def resetting_offsets(stack: Stack, chance: random.Random) -> None:
    """Set every group back to the first offset while its workers are held down."""
    del chance
    topics = Topics(stack.kafka.topic_prefix)
    read = {"dedupe": [topics.items], "persons": [topics.events, topics.identifies], "events": [topics.events]}
    for kind, names in read.items():
        eventually(partial(_reset_while_held_down, stack, kind, names), f"{kind} is reset", within_seconds=60)


def poisoning(stack: Stack, chance: random.Random) -> None:
    """Write what is no item straight to `items.v1`."""
    del chance
    poison = [Record(b"dev/poison", b"{not json"), Record(b"dev/large", b'{"text":"' + b"x" * 1_000_000 + b'"}')]
    logs.write(stack.kafka, Topics(stack.kafka.topic_prefix).items, poison)


def _reset_while_held_down(stack: Stack, kind: str, names: list[str]) -> bool:
    for part in stack.parts(kind):
        stack.kill(part)
    return logs.reset(stack.kafka, f"{stack.kafka.topic_prefix}-{kind}", names)


def _dying_at(point: str) -> Scenario:
    return Scenario(
        f"killed-at-{point}",
        20,
        dying_at_points,
        environ={"SEQUENCE_TEST_KILL_AT": f"{point}:40"},
        idle_within_seconds=300,
    )


SCENARIOS = [
    Scenario("calm", 0, nothing, rate=2_000, items=50_000),
    Scenario("worker-killed", 30, killing(*WORKERS, pause_seconds=4)),
    Scenario("both-killed", 10, killing(*WORKERS, pause_seconds=12, whole_kind=True)),
    Scenario("gateway-killed", 20, killing("gateway", pause_seconds=2.5)),
    Scenario("broker-killed", 10, killing("kafka", pause_seconds=12)),
    Scenario("clickhouse-killed", 20, killing("clickhouse", pause_seconds=4)),
    *(_dying_at(point) for point in ("decided", "produced", "applied", "inserted", "processed")),
    Scenario("broker-down-60s", 1, holding_down("kafka", seconds=60)),
    Scenario("worker-paused-90s", 5, pausing(*WORKERS, seconds=90, between_seconds=12), rate=200),
    Scenario("broker-paused-30s", 5, pausing("kafka", seconds=30, between_seconds=10)),
    Scenario("workers-come-and-go", 20, repeatedly(coming_and_going, pause_seconds=5)),
    Scenario("clickhouse-down-5m", 1, holding_down("clickhouse", seconds=300), rate=200),
    Scenario("state-wiped", 3, repeatedly(wiping, pause_seconds=10)),
    Scenario("offsets-reset", 1, repeatedly(resetting_offsets, pause_seconds=10)),
    Scenario("poison", 10, repeatedly(poisoning, pause_seconds=1)),
]
