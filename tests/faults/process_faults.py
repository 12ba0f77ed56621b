"""Faults of processes: killed, suspended, unavailable, terminated, added and removed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator

from processors.settings import WORKERS
from tests.faults.log_lines import ASSIGNED, ASSIGNED_PARTITIONS, EXIT, REVOKED, SHUTDOWN_TIMED_OUT, SKIPPED_RECORDS
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support.services import alive, eventually, kafka_answers
from tests.support.worker_process import Worker

SETTLE_SECONDS = 25.0
"""Time in which a late writer is detected and its writes repaired: two watchdog checks and a restart."""
SUSPENDED_SECONDS = 12.0
"""Twice the session timeout of a worker."""
SLOW = {"SEQUENCE_WORKER_SESSION_SECONDS": "15"}
"""A session timeout that leaves slow INSERTs well within the lease."""
STOP_WITHIN_SECONDS = 30.0
"""Time in which a service must exit after SIGTERM during any outage: 20 s, and margin for a busy machine."""


def nothing(trial: Trial) -> None:
    """Inject no fault."""
    del trial


def repeatedly(inject: Step, *, pause_seconds: float) -> Step:
    """Repeat *inject* as often as the scenario says, with *pause_seconds* after each."""

    def repeated(trial: Trial) -> None:
        for _ in range(trial.scenario.repetitions):
            inject(trial)
            time.sleep(pause_seconds)

    return repeated


def killing(*kinds: str, pause_seconds: float, whole_kind: bool = False) -> Step:
    """`kill -9` a random service of *kinds*, or all services of one kind at once."""

    def kill(trial: Trial) -> None:
        services = trial.stack.services(trial.rng.choice(kinds))
        for service in services if whole_kind else [trial.rng.choice(services)]:
            trial.stack.kill(service)

    return repeatedly(kill, pause_seconds=pause_seconds)


def killing_broker(trial: Trial) -> None:
    """`kill -9` the broker repeatedly, each time some seconds after it is available again."""
    for _ in range(trial.scenario.repetitions):
        trial.stack.kill("kafka")
        eventually(
            lambda: kafka_answers(trial.stack.kafka.bootstrap_servers), "the broker is available", within_seconds=90
        )
        time.sleep(8)


def pausing(*kinds: str, seconds: float, between_seconds: float) -> Step:
    """Suspend a random service of *kinds* for *seconds*; it resumes after its partitions have moved."""

    def pause(trial: Trial) -> None:
        service = trial.rng.choice(trial.stack.services(trial.rng.choice(kinds)))
        pid = trial.stack.signal(service, signal.SIGSTOP)
        time.sleep(seconds)
        trial.stack.send_signal(pid, signal.SIGCONT)

    return repeatedly(pause, pause_seconds=between_seconds)


@contextlib.contextmanager
def outage(stack: Stack, service: str) -> Iterator[None]:
    """Keep *service* unavailable for the duration of the block, however often the supervisor restarts it."""
    over = threading.Event()

    def hold() -> None:
        while not over.is_set():
            stack.kill(service)
            over.wait(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join()


def outages(service: str, *, seconds: float) -> Step:
    """Make *service* unavailable for *seconds*; gateways must survive it and respond with 503 meanwhile."""

    def hold(trial: Trial) -> None:
        time.sleep(3)
        gateways = [trial.stack.pid(gateway) for gateway in trial.stack.services("gateway")]
        with outage(trial.stack, service):
            time.sleep(seconds)
        unavailable = trial.client.statuses[503]
        trial.notes.append(f"{unavailable} responses with 503")
        trial.violations["gateways that exited"] = sum(not alive(pid) for pid in gateways)
        trial.violations["outages without 503"] = int(service == "kafka" and unavailable == 0)

    return repeatedly(hold, pause_seconds=5)


def killing_at_failpoints(trial: Trial) -> None:
    """Wait until workers have been killed at their failpoint often enough."""
    due = trial.scenario.repetitions
    eventually(lambda: trial.stack.kills() >= due, "the workers were killed", within_seconds=600)


def losing_batches(trial: Trial) -> None:
    """Wait until workers have detected lost batches often enough."""
    due = trial.scenario.repetitions

    def detected() -> bool:
        return sum(SKIPPED_RECORDS in reason for reason in trial.stack.self_exits()) >= due

    eventually(detected, "lost batches are detected", within_seconds=600)


def resuming_late(trial: Trial) -> None:
    """Resume workers that suspend themselves before producing, each long after its partitions have moved.

    Resuming continues until the end of the scenario, because a worker may suspend itself at the last records.
    """
    resumed: list[int] = []
    threading.Thread(target=_resume, args=(trial.stack, resumed), daemon=True).start()
    due = trial.scenario.repetitions
    eventually(lambda: len(resumed) >= due, "workers were resumed late", within_seconds=600)


def _resume(stack: Stack, resumed: list[int]) -> None:
    since: dict[int, float] = {}
    while True:
        time.sleep(0.5)
        now = time.monotonic()
        since = {pid: since.get(pid, now) for pid in stack.stopped()}
        for pid in [pid for pid, began in since.items() if now - began > SUSPENDED_SECONDS]:
            stack.send_signal(pid, signal.SIGCONT)
            del since[pid]
            resumed.append(pid)


def scaling_out_and_in(trial: Trial) -> None:
    """Add a worker of a random kind and remove it again; each time the partitions of its kind are reassigned."""
    kind = trial.rng.choice(WORKERS)
    directory = trial.stack.state.parent / "extra" / f"{kind}-{trial.rng.random()}"
    with Worker(kind, trial.stack.kafka, directory, environ=trial.stack.sink_environ(trial.stack.clickhouse)):
        time.sleep(5)


def stopping_in_slow_inserts(trial: Trial) -> None:
    """Terminate two of three sink workers in succession while INSERTs are slow.

    The second rebalance then happens while the second worker is shutting down.
    """
    stack = trial.stack
    assert stack.proxy is not None
    directory = stack.state.parent / "extra"
    environ = {**SLOW, **stack.sink_environ(stack.proxy.address)}
    with Worker("sink", stack.kafka, directory, environ=environ) as extra:
        stack.proxy.delay_seconds = 4.0
        for _ in range(trial.scenario.repetitions):
            time.sleep(12)
            extra.restart_if_exited()
            for service in trial.rng.sample(stack.services("sink"), 2):
                pid = stack.signal(service, signal.SIGTERM)
                eventually(lambda pid=pid: not alive(pid), f"{service} exits")  # type: ignore[misc]
        stack.proxy.delay_seconds = 0.0
    logs = [*map(stack.log, stack.services("sink")), extra.log]
    trial.violations["shutdowns that timed out"] = sum(log.count(SHUTDOWN_TIMED_OUT) for log in logs)
    trial.violations["partitions owned by two workers"] = _owned_twice(logs)
    trial.violations["workers without a revocation in the log"] = sum(REVOKED not in log for log in logs)


def _owned_twice(logs: list[str]) -> int:
    """Count how often a worker processed a partition that another had not released, according to their logs."""
    telling = (ASSIGNED, REVOKED, EXIT, SHUTDOWN_TIMED_OUT)
    lines = sorted(
        (line, number)
        for number, log in enumerate(logs)
        for line in log.splitlines()
        if any(words in line for words in telling)
    )
    held: list[set[tuple[str, str]]] = [set() for _ in logs]
    count = 0
    for line, number in lines:
        begun = ASSIGNED_PARTITIONS.search(line)
        if begun is None:
            held[number].clear()
            continue
        partitions = {(begun[1], partition) for partition in begun[2].split(", ")}
        count += sum(len(partitions & other) for other in held if other is not held[number])
        held[number] |= partitions
    return count


def deleting_state(trial: Trial) -> None:
    """Delete the local state of a random dedupe or persons worker and kill it."""
    delete_state(trial.stack, [trial.rng.choice(trial.stack.services(trial.rng.choice(("dedupe", "persons"))))])


def delete_state(stack: Stack, services: list[str], keep: Callable[[str], None] | None = None) -> None:
    """Suspend *services*, call *keep* with each, delete their local state and kill them."""
    pids = [stack.signal(service, signal.SIGSTOP) for service in services]
    for service in services:
        if keep is not None:
            keep(service)
        shutil.rmtree(stack.state / "workers" / service, ignore_errors=True)
    for pid in pids:
        stack.send_signal(pid, signal.SIGKILL)


def stopping_in_outage(trial: Trial) -> None:
    """Make Kafka, then ClickHouse, unavailable and terminate the services that need it; they must exit in time."""
    for down in ("kafka", "clickhouse"):
        _stop_without(trial, down)
        time.sleep(15)


def _stop_without(trial: Trial, down: str) -> None:
    stack = trial.stack
    kinds = ("gateway", *WORKERS) if down == "kafka" else ("sink",)
    services = [service for kind in kinds for service in stack.services(kind)]
    eventually(
        lambda: all(stack.running(service) for service in services), "all services are running", within_seconds=120
    )
    with outage(stack, down):
        time.sleep(3)
        sent = _terminate(stack, services)
        since = time.monotonic()
        while any(alive(pid) for pid in sent.values()) and time.monotonic() < since + STOP_WITHIN_SECONDS:
            time.sleep(0.1)
        late = [service for service, pid in sent.items() if alive(pid)]
    kinds_terminated = {service.partition("-")[0] for service in sent}
    missing = len(set(kinds) - kinds_terminated)
    trial.violations["kinds without a running service"] = (
        trial.violations.get("kinds without a running service", 0) + missing
    )
    trial.notes.append(
        f"without {down}: exited after {time.monotonic() - since:.0f} s, late: {', '.join(late) or 'none'}"
    )
    _add(trial, "services that did not exit", len(late))


def _terminate(stack: Stack, services: list[str]) -> dict[str, int]:
    """Send SIGTERM to those of *services* that run, and return their process IDs."""
    sent = {service: pid for service in services if (pid := stack.running(service)) is not None}
    for pid in sent.values():
        stack.send_signal(pid, signal.SIGTERM)
    return sent


def _add(trial: Trial, violation: str, count: int) -> None:
    trial.violations[violation] = trial.violations.get(violation, 0) + count
