"""Faults that an alert, `sequence status` and `sequence doctor` must report: each is a block that ends the fault."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import requests

from tests.faults import merges, shifted_clocks, small_machine
from tests.faults.trial import Trial
from tests.support.services import eventually

SUSPENDED_SECONDS, RUNNING_SECONDS = 6.0, 0.7
"""How long a slow ClickHouse stands still, and how long it works."""
AHEAD_SECONDS = 30
OF_ONE_PROJECT = 2.0
"""Items a second of the project that is rejected."""
PROJECT = "shop"
STUCK_PARTITION = 1

Fault = Callable[[Trial], AbstractContextManager[None]]


@dataclass(frozen=True)
class Reported:
    """A fault, and who must report it."""

    name: str
    inject: Fault
    alerts: frozenset[str]
    """Of these, one must fire."""
    says: str
    """What `sequence status` or `sequence doctor` must say: a regular expression."""
    asks_audit: bool = False
    """Whether `sequence audit` is asked as well."""


def suspended(service: str) -> Fault:
    """Suspend *service* with SIGSTOP."""

    @contextlib.contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        pid = trial.stack.signal(service, signal.SIGSTOP)
        try:
            yield
        finally:
            trial.stack.send_signal(pid, signal.SIGCONT)

    return inject


@contextlib.contextmanager
def killed_sinks(trial: Trial) -> Iterator[None]:
    """Kill every sink and keep it from running."""
    with trial.stack.held(*trial.stack.services("sink")):
        yield


@contextlib.contextmanager
def slow_clickhouse(trial: Trial) -> Iterator[None]:
    """Let ClickHouse work for a tenth of the time: each statement takes seconds, and none fails at once."""
    pid, over = trial.stack.pid("clickhouse"), threading.Event()

    def alternate() -> None:
        while not over.is_set():
            trial.stack.send_signal(pid, signal.SIGSTOP)
            over.wait(SUSPENDED_SECONDS)
            trial.stack.send_signal(pid, signal.SIGCONT)
            over.wait(RUNNING_SECONDS)

    thread = threading.Thread(target=alternate)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def rejected_project(trial: Trial) -> Iterator[None]:
    """Let another project send items without an event name, which the gateway rejects, beside the normal load."""
    token = _token_of(trial, PROJECT)
    over = threading.Event()

    def send() -> None:
        number = 0
        while not over.wait(1 / OF_ONE_PROJECT):
            number += 1
            items = [{"type": "track", "userId": "ada", "messageId": f"unnamed-{number}"}]
            with contextlib.suppress(requests.RequestException):
                requests.post(
                    f"{trial.stack.gateways[0]}/event/batch",
                    json={"batch": items},
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=10,
                )

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _token_of(trial: Trial, project: str) -> str:
    """Return a new token of *project*, which is created; the gateways know it."""
    trial.stack.local_command("project", "create", project)
    created = trial.stack.local_command("token", "create", project)
    assert created.returncode == 0, created.stderr
    token = created.stdout.split()[-1]

    def known() -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        replies = [
            requests.post(f"{gateway}/event/batch", json={"batch": []}, headers=headers, timeout=10)
            for gateway in trial.stack.gateways
        ]
        return all(reply.status_code != requests.codes.unauthorized for reply in replies)

    eventually(known, "the gateways know the token")
    return token


@contextlib.contextmanager
def clock_ahead(trial: Trial) -> Iterator[None]:
    """Let the clock of a gateway be ahead, of all that it does."""
    directory = shifted_clocks.directory_of(trial.stack.state)
    small_machine.shift_clock(directory, AHEAD_SECONDS)
    try:
        yield
    finally:
        small_machine.shift_clock(directory, 0)


@contextlib.contextmanager
def nearly_full_disk(trial: Trial) -> Iterator[None]:
    """Fill the disk of the state directory but for a few percent."""
    ballast = trial.stack.state / "ballast"
    with ballast.open("wb") as file:
        free = os.statvfs(trial.stack.state).f_bavail * os.statvfs(trial.stack.state).f_frsize
        os.posix_fallocate(file.fileno(), 0, free - small_machine.LEFT_BYTES)
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def stuck_partition(trial: Trial) -> Iterator[None]:
    """Let dedupe not finish the batches of one partition."""
    file = small_machine.stuck_file(trial.stack.state)
    file.write_text(str(STUCK_PARTITION))
    try:
        yield
    finally:
        file.unlink()


@contextlib.contextmanager
def deleted_row(trial: Trial) -> Iterator[None]:
    """Delete one row of the last minutes by hand, and write it again from the topic."""
    stack = trial.stack
    rows = stack.query(
        "SELECT message_id, _partition, _origin FROM events"
        " WHERE received_at BETWEEN now() - INTERVAL 5 MINUTE AND now() - INTERVAL 1 MINUTE ORDER BY _origin LIMIT 500"
    )
    row = random.Random(trial.scenario.name).choice(rows)
    merges.merge(stack)
    stack.query(f"DELETE FROM events WHERE _partition = {row['_partition']} AND _origin = {row['_origin']}")  # noqa: S608  # numbers
    try:
        yield
    finally:
        stack.local_command("audit", "--refill")


SERVERS = (
    Reported(
        "a sink stopped (SIGSTOP)",
        suspended("sink-1"),
        frozenset({"SequenceProcessDown"}),
        r"sink-1",
    ),
    Reported(
        "all sinks killed for good",
        killed_sinks,
        frozenset({"SequenceProcessDown", "SequenceLag"}),
        r"No worker sink",
    ),
    Reported(
        "ClickHouse stopped (SIGSTOP)",
        suspended("clickhouse"),
        frozenset({"SequenceSinkWaiting", "SequenceLag"}),
        r"ClickHouse at \S+ is unreachable",
    ),
    Reported(
        "ClickHouse slow",
        slow_clickhouse,
        frozenset({"SequenceVisibleLate", "SequenceSinkWaiting", "SequenceLag"}),
        r"ClickHouse at \S+ (answered|took|is unreachable)",
    ),
    Reported(
        "broker stopped (SIGSTOP)",
        suspended("kafka"),
        frozenset({"SequenceLagUnknown", "SequenceRequestsFail"}),
        r"Kafka at \S+ (is unreachable|did not answer)",
    ),
)
MACHINE = (
    Reported(
        "one partition stuck",
        stuck_partition,
        frozenset({"SequenceLag"}),
        r"dedupe.*partition",
    ),
    Reported(
        "a gateway's clock 30 s ahead",
        clock_ahead,
        frozenset({"SequenceClockOffset"}),
        r"clock of .*gateway",
    ),
    Reported(
        "disk 96 % full",
        nearly_full_disk,
        frozenset({"SequenceDiskFull"}),
        r"state directory: .* free",
    ),
    Reported(
        "one row deleted",
        deleted_row,
        frozenset({"SequenceAuditDiffers"}),
        r"events, partition \d: 1 missing",
        asks_audit=True,
    ),
    Reported(
        "one project rejected",
        rejected_project,
        frozenset({"SequenceProjectRejected"}),
        rf"project {PROJECT}",
    ),
)
