"""Faults of a cluster of three brokers: lost with their data, two down, restarted in turn, slow, leaders moved.

A request counts as answered when its first response is final. Elections last some seconds after a broker has gone: they
are reported with the rest, and left out where the latency outside of them is meant.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import Topics
from tests.faults import networks
from tests.faults.client import Request
from tests.faults.elections import elect_preferred, reassign
from tests.faults.invariants import wait_until_idle
from tests.faults.log_lines import ASSIGNED_PARTITIONS
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support.services import alive, eventually
from tests.support.worker_process import Worker

BROKERS = {"SEQUENCE_LOCAL_BROKERS": "3"}
LOST_SECONDS = 60.0
ELECTION_SECONDS = 10.0
"""Session timeout of a broker (3 s), election, and the retries of clients."""
AVAILABILITY = 0.99
"""Least share of requests that are answered with one broker lost."""
P99_SECONDS = 2.0
"""Longest latency of 99 of 100 answered requests, outside of elections."""


@contextlib.contextmanager
def measured(trial: Trial, name: str, *, is_bound: bool) -> Iterator[list[float]]:
    """Report availability and latency of the requests of the block, whose faults add their times to the result."""
    faults: list[float] = []
    began, first = time.monotonic(), len(trial.client.requests)
    yield faults
    requests = [each for each in trial.client.requests[first:] if each.began >= began]
    answered = [each for each in requests if each.status in {200, 400}]
    share = len(answered) / max(1, len(requests))
    quiet = [each for each in answered if not any(0 <= each.began - at < ELECTION_SECONDS for at in faults)]
    trial.notes.append(
        f"{name}: {len(requests)} requests, {share:.2%} answered, p99 {p99(answered):.2f} s, outside of elections "
        f"{p99(quiet):.2f} s, longest {max((each.seconds for each in answered), default=0.0):.1f} s"
    )
    if is_bound:
        trial.violations[f"{name}: availability below 99 %"] = int(share < AVAILABILITY)
        trial.violations[f"{name}: p99 above 2 s outside of elections"] = int(p99(quiet) > P99_SECONDS)


def p99(requests: Sequence[Request]) -> float:
    """Return the latency that 99 of 100 of *requests* do not exceed."""
    seconds = [each.seconds for each in requests]
    return statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else 0.0


def wiping(trial: Trial) -> None:
    """Kill a broker, delete its data, and start it again a minute later."""
    stack = trial.stack
    broker = trial.rng.choice(stack.services("kafka"))
    with measured(trial, "one broker lost", is_bound=True) as faults:
        faults.append(time.monotonic())
        with stack.held(broker):
            shutil.rmtree(stack.state / broker)
            time.sleep(LOST_SECONDS)
        faults.append(time.monotonic())
        _wait_until_in_sync(stack)


def wiping_node(trial: Trial) -> None:
    """Kill a broker, a gateway and a worker of each kind, delete all of their data, and start them a minute later."""
    stack = trial.stack
    number = trial.rng.choice((1, 2))
    names = [f"{kind}-{number}" for kind in ("kafka", "gateway", "dedupe", "persons", "sink")]
    held = [name for name in names if not name.startswith("gateway")]
    with measured(trial, "one node lost", is_bound=False) as faults:
        faults.append(time.monotonic())
        stack.kill(f"gateway-{number}")
        with stack.held(*held):
            for name in held:
                shutil.rmtree(stack.state / name, ignore_errors=True)
                shutil.rmtree(stack.state / "workers" / name, ignore_errors=True)
            time.sleep(LOST_SECONDS)
        faults.append(time.monotonic())
        _wait_until_in_sync(stack)


def two_down(trial: Trial) -> None:
    """Keep two of three brokers from running: no item may be acknowledged, and the gateways answer 503."""
    stack, client = trial.stack, trial.client
    with stack.held(*trial.rng.sample(stack.services("kafka"), 2)):
        # What was sent before may still be acknowledged by both.
        time.sleep(ELECTION_SECONDS)
        first, since = len(client.requests), time.monotonic()
        time.sleep(30)
        during = [each for each in client.requests[first:] if each.began >= since]
        gateways = [stack.pid(gateway) for gateway in stack.services("gateway")]
    trial.violations["acknowledged by one broker of three"] = sum(each.status == 200 for each in during)
    trial.violations["two brokers down without 503"] = int(not any(each.status == 503 for each in during))
    trial.violations["gateways that exited"] = sum(not alive(pid) for pid in gateways)
    _wait_until_in_sync(stack)


def restarting_in_turn(trial: Trial) -> None:
    """Terminate each broker as an upgrade does, the next one once all replicas are in sync again."""
    stack = trial.stack
    with measured(trial, "rolling restart", is_bound=True) as faults:
        for broker in stack.services("kafka"):
            pid = stack.signal(broker, signal.SIGTERM)
            faults.append(time.monotonic())
            eventually(lambda: not alive(pid), f"{broker} has stopped", within_seconds=60)  # noqa: B023  # called at once
            faults.append(time.monotonic())
            _wait_until_in_sync(stack)


def slowing(trial: Trial) -> None:
    """Let a broker run a fifth of the time, for a minute: it stays in the cluster and answers late."""
    stack = trial.stack
    pid = stack.pid(trial.rng.choice(stack.services("kafka")))
    with measured(trial, "one broker slow", is_bound=False):
        until = time.monotonic() + LOST_SECONDS
        try:
            while time.monotonic() < until:
                stack.send_signal(pid, signal.SIGSTOP)
                time.sleep(0.4)
                stack.send_signal(pid, signal.SIGCONT)
                time.sleep(0.1)
        finally:
            stack.send_signal(pid, signal.SIGCONT)
    _wait_until_in_sync(stack)


def moving_leaders(trial: Trial) -> None:
    """Give every partition another leader, by another order of its replicas and an election, three times."""
    with measured(trial, "leaders moved", is_bound=True) as faults:
        for turn in (1, 2, 3):
            faults.append(time.monotonic())
            moved = asyncio.run(_move_leaders(trial.stack, turn))
            trial.violations[f"leaders not moved in turn {turn}"] = int(not moved)
            time.sleep(15)


def cutting_off(trial: Trial) -> None:
    """Cut each broker off from the others in turn, for half a minute; clients still reach it."""
    stack = trial.stack
    with measured(trial, "one broker cut off", is_bound=False) as faults:
        for node in networks.NODES:
            faults.append(time.monotonic())
            with networks.cut_off(node):
                time.sleep(30)
            faults.append(time.monotonic())
            _wait_until_in_sync(stack)


FAULTS: tuple[tuple[str, Step], ...] = (
    ("broker wiped", wiping),
    ("two down", two_down),
    ("restarted in turn", restarting_in_turn),
    ("leaders moved", moving_leaders),
    ("slow", slowing),
    ("node wiped", wiping_node),
)


def cutting_off_coordinator(trial: Trial) -> None:
    """Cut off the coordinator of the sinks, which still accepts heartbeats, and let another sink join the new one.

    Without load no sink commits, so that nothing else tells them. Then all of them have something to write.
    """
    stack, client = trial.stack, trial.client
    client.stop()
    wait_until_idle(stack)
    node = asyncio.run(_coordinator(stack))
    others = replace(stack.kafka, bootstrap_servers=_servers_without(stack, node))
    environ = stack.sink_environ(stack.clickhouse)
    with networks.cut_off(node), Worker("sink", others, stack.state.parent / "extra", environ=environ) as extra:
        eventually(lambda: ASSIGNED_PARTITIONS.search(extra.log) is not None, "it has partitions", within_seconds=90)
        client.start(rate=trial.scenario.rate)
        time.sleep(20)
    client.stop()
    trial.notes.append(f"broker {node} was the coordinator")
    _wait_until_in_sync(stack)
    client.start(rate=trial.scenario.rate)


CUT_OFF: tuple[tuple[str, Step], ...] = (("cut off", cutting_off), ("coordinator cut off", cutting_off_coordinator))


def with_networks(stack: Stack) -> None:
    """Give each broker an address of its own, before the stack starts."""
    networks.create()
    atexit.register(networks.remove)
    stack.set_environ({networks.NETWORKS: "1"})


async def _move_leaders(stack: Stack, turn: int) -> bool:
    """Make broker *turn* the leader of every partition; return whether it is."""
    orders = {1: [1, 2, 3], 2: [2, 3, 1], 3: [3, 1, 2]}
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.bootstrap_servers)
    await admin.start()
    try:
        found = await _partitions(admin, stack)
        numbers = {topic: [each["partition"] for each in partitions] for topic, partitions in found.items()}
        await reassign(admin, numbers, orders[turn])
        await asyncio.sleep(2)
        await elect_preferred(admin, numbers)
        await asyncio.sleep(3)
        leaders = [each["leader"] for partitions in (await _partitions(admin, stack)).values() for each in partitions]
    finally:
        await admin.close()
    return all(leader == turn for leader in leaders)


def _wait_until_in_sync(stack: Stack) -> None:
    """Wait until every replica of every partition is in sync."""
    eventually(
        lambda: asyncio.run(_is_in_sync(stack)), "all replicas are in sync", within_seconds=180, every_seconds=1.0
    )


async def _coordinator(stack: Stack) -> int:
    """Return the broker that coordinates the group of the sinks."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.bootstrap_servers)
    await admin.start()
    try:
        node: int = await admin.find_coordinator(f"{stack.kafka.topic_prefix}-sink")
    finally:
        await admin.close()
    return node


def _servers_without(stack: Stack, node: int) -> str:
    return ",".join(
        server
        for server in stack.kafka.bootstrap_servers.split(",")
        if not server.startswith(f"{networks.address(node)}:")
    )


async def _is_in_sync(stack: Stack) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.bootstrap_servers, request_timeout_ms=5_000)
    try:
        await admin.start()
        found = await _partitions(admin, stack)
    except Exception:  # noqa: BLE001  # a broker that is starting
        return False
    finally:
        await admin.close()
    return all(len(each["isr"]) == len(each["replicas"]) for of_topic in found.values() for each in of_topic)


async def _partitions(admin: AIOKafkaAdminClient, stack: Stack) -> dict[str, list[dict[str, Any]]]:
    topics = Topics(stack.kafka.topic_prefix).every
    return {each["topic"]: each["partitions"] for each in await admin.describe_topics([*topics, "__consumer_offsets"])}
