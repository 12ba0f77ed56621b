"""Harm that is done to processes: killed, paused, held down, told to end, added and taken away."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator

from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support.services import alive, eventually, kafka_answers
from tests.support.worker_process import Worker

WORKERS = ("dedupe", "persons", "sink")
SETTLE_SECONDS = 25.0
"""Within this time a late writer is found out and what it wrote is mended: two looks of the watchdog and a restart."""
ASLEEP_SECONDS = 12.0
"""Twice as long as the session of a worker."""
SLOW = {"SEQUENCE_WORKER_SESSION_SECONDS": "15"}
"""So that INSERTs of some seconds are well within a worker's lease."""
END_SECONDS = 30.0
"""Within this time a part ends that was told to, whatever is down: 20 s and a busy machine."""


def nothing(trial: Trial) -> None:
    """Do nothing."""
    del trial


def repeatedly(harm: Step, *, pause_seconds: float) -> Step:
    """Return *harm* as often as the scenario wants it, with *pause_seconds* after each."""

    def repeated(trial: Trial) -> None:
        for _ in range(trial.scenario.repetitions):
            harm(trial)
            time.sleep(pause_seconds)

    return repeated


def killing(*kinds: str, pause_seconds: float, whole_kind: bool = False) -> Step:
    """Return the harm of `kill -9` on a random part of *kinds*, or on all parts of one kind at once."""

    def kill(trial: Trial) -> None:
        parts = trial.stack.parts(trial.chance.choice(kinds))
        for part in parts if whole_kind else [trial.chance.choice(parts)]:
            trial.stack.kill(part)

    return repeatedly(kill, pause_seconds=pause_seconds)


def killing_broker(trial: Trial) -> None:
    """`kill -9` the broker, again and again when it has been back for some seconds: it takes some to start."""
    for _ in range(trial.scenario.repetitions):
        trial.stack.kill("kafka")
        eventually(lambda: kafka_answers(trial.stack.kafka.bootstrap_servers), "the broker is back", within_seconds=90)
        time.sleep(8)


def pausing(*kinds: str, seconds: float, between_seconds: float) -> Step:
    """Return the harm of SIGSTOP for *seconds* on a random part of *kinds*: it wakes when others have its work."""

    def pause(trial: Trial) -> None:
        part = trial.chance.choice(trial.stack.parts(trial.chance.choice(kinds)))
        pid = trial.stack.signal(part, signal.SIGSTOP)
        time.sleep(seconds)
        trial.stack.tell(pid, signal.SIGCONT)

    return repeatedly(pause, pause_seconds=between_seconds)


@contextlib.contextmanager
def held_down(stack: Stack, part: str) -> Iterator[None]:
    """Keep *part* away for the block, however often the supervisor starts it."""
    over = threading.Event()

    def hold() -> None:
        while not over.is_set():
            stack.kill(part)
            over.wait(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join()


def holding_down(part: str, *, seconds: float) -> Step:
    """Return the harm of *part* being away for *seconds*; gateways have to live through it, and say 503 meanwhile."""

    def hold(trial: Trial) -> None:
        time.sleep(3)
        gateways = [trial.stack.pid(gateway) for gateway in trial.stack.parts("gateway")]
        with held_down(trial.stack, part):
            time.sleep(seconds)
        refused = trial.client.statuses[503]
        trial.notes.append(f"503 answered {refused} times")
        trial.faults["gateways that ended"] = sum(not alive(pid) for pid in gateways)
        trial.faults["outages without 503"] = int(part == "kafka" and refused == 0)

    return repeatedly(hold, pause_seconds=5)


def dying_at_points(trial: Trial) -> None:
    """Wait until workers that kill themselves at a point of the code have died often enough."""
    due = trial.scenario.repetitions
    eventually(lambda: trial.stack.kills() >= due, "the workers have died", within_seconds=600)


def losing_runs(trial: Trial) -> None:
    """Wait until workers have noticed often enough that records were lost on their way to the stage."""
    due = trial.scenario.repetitions

    def noticed() -> bool:
        return sum("SkippedRecordsError" in reason for reason in trial.stack.own_ends()) >= due

    eventually(noticed, "lost records are noticed", within_seconds=600)


def waking_late(trial: Trial) -> None:
    """Wake workers that stop themselves with outputs in hand, each when its partitions have long moved.

    The waking goes on to the end of the scenario: a worker may stop at the very last records.
    """
    woken: list[int] = []
    threading.Thread(target=_wake, args=(trial.stack, woken), daemon=True).start()
    due = trial.scenario.repetitions
    eventually(lambda: len(woken) >= due, "workers have woken late", within_seconds=600)


def _wake(stack: Stack, woken: list[int]) -> None:
    since: dict[int, float] = {}
    while True:
        time.sleep(0.5)
        now = time.monotonic()
        since = {pid: since.get(pid, now) for pid in stack.stopped()}
        for pid in [pid for pid, began in since.items() if now - began > ASLEEP_SECONDS]:
            stack.tell(pid, signal.SIGCONT)
            del since[pid]
            woken.append(pid)


def coming_and_going(trial: Trial) -> None:
    """Add a worker of a random kind and take it away again: every time all partitions of its kind move."""
    kind = trial.chance.choice(WORKERS)
    directory = trial.stack.state.parent / "guests" / f"{kind}-{trial.chance.random()}"
    with Worker(kind, trial.stack.kafka, directory, environ={"SEQUENCE_CLICKHOUSE_URL": trial.stack.clickhouse}):
        time.sleep(5)


def ending_in_slow_inserts(trial: Trial) -> None:
    """Tell one of three workers to end, and another as soon as it has, while INSERTs take long.

    So the group shares its partitions out again in the middle of the second one's farewell.
    """
    stack = trial.stack
    assert stack.proxy is not None
    directory = stack.state.parent / "guest"
    environ = {**SLOW, "SEQUENCE_CLICKHOUSE_URL": stack.proxy.address}
    with Worker("sink", stack.kafka, directory, environ=environ) as guest:
        stack.proxy.delay_seconds = 4.0
        for _ in range(trial.scenario.repetitions):
            time.sleep(12)
            guest.revive()
            for part in trial.chance.sample(stack.parts("sink"), 2):
                pid = stack.signal(part, signal.SIGTERM)
                eventually(lambda pid=pid: not alive(pid), f"{part} ends")  # type: ignore[misc]
        stack.proxy.delay_seconds = 0.0
    logs = [*map(stack.log, stack.parts("sink")), guest.log]
    trial.faults["farewells cut short"] = sum(log.count("not done after") for log in logs)
    trial.faults["partitions held by two"] = _held_by_two(logs)
    trial.faults["workers that nothing is told of"] = sum("let go of" not in log for log in logs)


def _held_by_two(logs: list[str]) -> int:
    """Count how often a worker was at work on a partition that another had not let go, by what they printed."""
    telling = ("at work on partitions", "let go of", "ending the process", "not done after")
    lines = sorted(
        (line, number)
        for number, log in enumerate(logs)
        for line in log.splitlines()
        if any(words in line for words in telling)
    )
    held: list[set[tuple[str, str]]] = [set() for _ in logs]
    count = 0
    for line, number in lines:
        begun = re.search(r"(\S+): at work on partitions (.+)", line)
        if begun is None:
            held[number].clear()
            continue
        partitions = {(begun[1], partition) for partition in begun[2].split(", ")}
        count += sum(len(partitions & other) for other in held if other is not held[number])
        held[number] |= partitions
    return count


def wiping(trial: Trial) -> None:
    """Delete the local state of a worker with a table, under its feet, and kill it."""
    wipe(trial.stack, [trial.chance.choice(trial.stack.parts(trial.chance.choice(("dedupe", "persons"))))])


def wipe(stack: Stack, parts: list[str], keep: Callable[[str], None] | None = None) -> None:
    """Stop *parts*, hand each to *keep*, delete their local state and kill them."""
    pids = [stack.signal(part, signal.SIGSTOP) for part in parts]
    for part in parts:
        if keep is not None:
            keep(part)
        shutil.rmtree(stack.state / "workers" / part, ignore_errors=True)
    for pid in pids:
        stack.tell(pid, signal.SIGKILL)


def ending_in_outage(trial: Trial) -> None:
    """Take Kafka and then ClickHouse away and tell who needs it to end: it has to, in time."""
    for down in ("kafka", "clickhouse"):
        _end_without(trial, down)
        time.sleep(15)


def _end_without(trial: Trial, down: str) -> None:
    stack = trial.stack
    kinds = ("gateway", *WORKERS) if down == "kafka" else ("sink",)
    parts = [part for kind in kinds for part in stack.parts(kind)]
    eventually(lambda: all(stack.running(part) for part in parts), "everything runs", within_seconds=120)
    with held_down(stack, down):
        time.sleep(3)
        told = _tell_to_end(stack, parts)
        since = time.monotonic()
        while any(alive(pid) for pid in told.values()) and time.monotonic() < since + END_SECONDS:
            time.sleep(0.1)
        late = [part for part, pid in told.items() if alive(pid)]
    kinds_told = {part.partition("-")[0] for part in told}
    missing = len(set(kinds) - kinds_told)
    trial.faults["kinds that nobody could tell"] = trial.faults.get("kinds that nobody could tell", 0) + missing
    trial.notes.append(
        f"without {down} ended after {time.monotonic() - since:.0f} s, late: {', '.join(late) or 'none'}"
    )
    trial.faults["parts that did not end"] = trial.faults.get("parts that did not end", 0) + len(late)


def _tell_to_end(stack: Stack, parts: list[str]) -> dict[str, int]:
    """Send SIGTERM to those of *parts* that run and return their process ids; one that has ended waits for Kafka."""
    told = {part: pid for part in parts if (pid := stack.running(part)) is not None}
    for pid in told.values():
        stack.tell(pid, signal.SIGTERM)
    return told
