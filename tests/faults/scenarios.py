"""The scenarios: each does its harm to a stack under load and leaves it running."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.records import Record
from schemas.topics import Topics
from tests import logs
from tests.faults.client import Client
from tests.faults.stack import Stack
from tests.services import eventually
from tests.workers import Worker

WORKERS = ("dedupe", "persons", "events")
POINTS = {
    "decided": ("dedupe", "persons"),
    "produced": ("dedupe", "persons"),
    "applied": ("dedupe", "persons"),
    "inserted": ("events",),
    "processed": WORKERS,
}

Harm = Callable[[Stack, Client, "Scenario"], int]
"""Does the harm while the client sends, and returns how often."""


@dataclass(frozen=True)
class Scenario:
    """One way in which things go wrong."""

    name: str
    repetitions: int
    harm: Harm
    items: int = 30_000
    rate: float = 400.0
    """Items a second: the load lasts as long as the harm."""
    environ: dict[str, str] = field(default_factory=dict)
    idle_within_seconds: float = 180.0


def nothing(stack: Stack, client: Client, scenario: Scenario) -> int:
    """Do nothing."""
    del stack, client, scenario
    return 0


def killing(*kinds: str, pause_seconds: float, whole_kind: bool = False) -> Harm:
    """Return the harm of `kill -9` on a random part of *kinds*, or on all parts of one kind at once."""

    def harm(stack: Stack, client: Client, scenario: Scenario) -> int:
        chance = random.Random(scenario.name)

        def kill() -> None:
            parts = stack.parts(chance.choice(kinds))
            for part in parts if whole_kind else [chance.choice(parts)]:
                stack.kill(part)

        return client.while_sending(kill, times=scenario.repetitions, pause_seconds=pause_seconds)

    return harm


def pausing(*kinds: str, seconds: float, between_seconds: float) -> Harm:
    """Return the harm of SIGSTOP for *seconds* on a random part of *kinds*: it wakes when others have its work."""

    def harm(stack: Stack, client: Client, scenario: Scenario) -> int:
        chance = random.Random(scenario.name)

        def pause() -> None:
            part = chance.choice(stack.parts(chance.choice(kinds)))
            pid = stack.signal(part, signal.SIGSTOP)
            time.sleep(seconds)
            stack.resume(pid)

        return client.while_sending(pause, times=scenario.repetitions, pause_seconds=between_seconds)

    return harm


def holding_down(part: str, *, seconds: float) -> Harm:
    """Return the harm of *part* being away for *seconds*, however often the supervisor starts it."""

    def harm(stack: Stack, client: Client, scenario: Scenario) -> int:
        def hold() -> None:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                stack.kill(part)
                time.sleep(0.2)

        return client.while_sending(hold, times=scenario.repetitions, pause_seconds=5)

    return harm


def dying_at_points(stack: Stack, client: Client, scenario: Scenario) -> int:
    """Count the deaths of workers that kill themselves at a point of the code, again and again."""
    while client.sending and stack.restarts() < scenario.repetitions:
        time.sleep(0.5)
    return stack.restarts()


def coming_and_going(stack: Stack, client: Client, scenario: Scenario) -> int:
    """Add a worker of a random kind and take it away again: every time all partitions of its kind move."""
    chance = random.Random(scenario.name)
    directory = stack.state.parent / "guests"

    def visit() -> None:
        kind = chance.choice(WORKERS)
        environ = {"SEQUENCE_CLICKHOUSE_URL": stack.clickhouse, "SEQUENCE_WORKER_SESSION_SECONDS": "6"}
        with Worker(kind, stack.kafka, directory / f"{kind}-{chance.random()}", environ=environ):
            time.sleep(5)

    return client.while_sending(visit, times=scenario.repetitions, pause_seconds=5)


def wiping(stack: Stack, client: Client, scenario: Scenario) -> int:
    """Delete the local state of a worker with a table, under its feet, and kill it."""
    chance = random.Random(scenario.name)

    def wipe() -> None:
        kind = chance.choice(("dedupe", "persons"))
        part = chance.choice(stack.parts(kind))
        pid = stack.signal(part, signal.SIGSTOP)
        shutil.rmtree(stack.state / "workers" / part, ignore_errors=True)
        stack.end(pid)

    return client.while_sending(wipe, times=scenario.repetitions, pause_seconds=10)


def resetting_offsets(stack: Stack, client: Client, scenario: Scenario) -> int:
    """Set every group back to the first offset while its workers are held down."""
    topics = Topics(stack.kafka.topic_prefix)
    read = {"dedupe": [topics.items], "persons": [topics.events, topics.identifies], "events": [topics.events]}

    def reset() -> None:
        for kind, names in read.items():
            parts = stack.parts(kind)

            def held_down(kind: str = kind, parts: list[str] = parts, names: list[str] = names) -> bool:
                for part in parts:
                    stack.kill(part)
                return logs.reset(stack.kafka, f"{topics.prefix}-{kind}", names)

            eventually(held_down, f"the offsets of {kind} are reset", within_seconds=60)

    return client.while_sending(reset, times=scenario.repetitions, pause_seconds=10)


def poisoning(stack: Stack, client: Client, scenario: Scenario) -> int:
    """Write what is no item straight to `items.v1`."""
    topics = Topics(stack.kafka.topic_prefix)
    poison = [Record(b"dev/poison", b"{not json"), Record(b"dev/large", b'{"text":"' + b"x" * 1_000_000 + b'"}')]
    return client.while_sending(
        lambda: logs.write(stack.kafka, topics.items, poison), times=scenario.repetitions, pause_seconds=1
    )


def _points() -> list[Scenario]:
    return [
        Scenario(
            f"killed-at-{point}",
            20,
            dying_at_points,
            items=60_000,
            rate=300,
            environ={"SEQUENCE_TEST_KILL_AT": f"{point}:40"},
            idle_within_seconds=300,
        )
        for point in POINTS
    ]


SCENARIOS = [
    Scenario("calm", 0, nothing, items=50_000, rate=0),
    Scenario("worker-killed", 30, killing(*WORKERS, pause_seconds=4), items=60_000),
    Scenario("both-killed", 10, killing(*WORKERS, pause_seconds=12, whole_kind=True), items=50_000),
    Scenario("gateway-killed", 20, killing("gateway", pause_seconds=2.5), items=30_000),
    Scenario("broker-killed", 10, killing("kafka", pause_seconds=12), items=40_000),
    Scenario("clickhouse-killed", 20, killing("clickhouse", pause_seconds=4), items=40_000),
    *_points(),
    Scenario("broker-down-60s", 1, holding_down("kafka", seconds=60), items=30_000),
    Scenario("worker-paused-90s", 5, pausing(*WORKERS, seconds=90, between_seconds=12), items=150_000, rate=300),
    Scenario("broker-paused-30s", 5, pausing("kafka", seconds=30, between_seconds=10), items=50_000, rate=300),
    Scenario("workers-come-and-go", 20, coming_and_going, items=90_000),
    Scenario("clickhouse-down-5m", 1, holding_down("clickhouse", seconds=300), items=100_000, rate=300),
    Scenario("state-wiped", 3, wiping, items=20_000),
    Scenario("offsets-reset", 1, resetting_offsets, items=20_000),
    Scenario("poison", 10, poisoning, items=10_000),
]
