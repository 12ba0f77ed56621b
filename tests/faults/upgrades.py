"""A rolling upgrade from the previous release under load, part by part as docs/operations.md says, and the way back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import requests

from processors.settings import WORKERS
from tests.faults import previous_release
from tests.faults.broker_faults import measured
from tests.faults.previous_release import PREVIOUS, is_previous, upgraded
from tests.faults.stack import Stack
from tests.faults.trial import Trial
from tests.faults.worker import COPY_SECONDS
from tests.support.services import alive, eventually

ORDER = ("sink", "persons", "dedupe", "gateway")
"""Readers before writers: a part reads what the older version of the one before it writes, and nothing newer."""
BESIDE_SECONDS = 4.0
"""How long both versions of a part run side by side, before and after one has the partitions of the other."""
TAKEN_OVER_SECONDS = 9.0
"""Time in which a worker takes over the partitions of another: its session ends after 6 seconds."""
COPYING = {COPY_SECONDS: "4"}
"""Rows arrive while each table is copied."""


def with_previous_release(stack: Stack) -> None:
    """Let gateways and workers run from the previous release at first."""
    stack.set_environ({PREVIOUS: str(previous_release.install())})


def upgrading(trial: Trial) -> None:
    """Replace the previous release by this version."""
    time.sleep(BESIDE_SECONDS)
    _count_wrong(trial, [name for kind in ORDER for name in trial.stack.services(kind)], is_new=False)
    migrating(trial)
    _replace(trial, is_new=True)


def returning(trial: Trial) -> None:
    """Return to the previous release, after this version has written topics, tables and local state."""
    migrating(trial)
    _restart(trial.stack, [name for kind in ORDER for name in trial.stack.services(kind)], is_new=True)
    time.sleep(2 * BESIDE_SECONDS)
    _replace(trial, is_new=False)


def migrating(trial: Trial) -> None:
    """Bring topics and tables to this version while gateways and workers of the previous release run."""
    stack = trial.stack
    rows = _rows(stack)
    for arguments in (("topics", "apply"), ("tables", "migrate")):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.worker", *arguments],
            env={**stack.environ(), **COPYING, **trial.scenario.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        trial.violations[f"{' '.join(arguments)} failed"] = done.returncode
        trial.notes.append(f"{' '.join(arguments)}: {time.monotonic() - began:.0f} s")
        if done.returncode:
            trial.notes.append(f"{done.stdout[-500:]} {done.stderr[-500:]}")
    _say(trial.notes[-1])
    # They continue in the new tables.
    eventually(lambda: _rows(stack) > rows, "the sinks of the previous release write", within_seconds=120)
    time.sleep(BESIDE_SECONDS)


def _replace(trial: Trial, *, is_new: bool) -> None:
    """Replace all services by the other release, one of each kind before the rest.

    While both releases run, each takes over all partitions from the other.
    """
    stack = trial.stack
    kinds = ORDER if is_new else tuple(reversed(ORDER))
    first = [stack.services(kind)[0] for kind in kinds]
    rest = [service for kind in kinds for service in stack.services(kind)[1:]]
    with measured(trial, "replaced", is_bound=False):
        _restart(stack, first, is_new=is_new)
        _say("one of each kind is replaced")
        time.sleep(BESIDE_SECONDS)
        _count_wrong(trial, first, is_new=is_new)
        _count_wrong(trial, rest, is_new=not is_new)
        for services in (first, rest):
            workers = [service for service in services if not service.startswith("gateway")]
            with stack.held(*workers):
                time.sleep(TAKEN_OVER_SECONDS)
            _wait_until_ready(stack, workers)
            _say(f"{', '.join(workers)} run again")
        _restart(stack, rest, is_new=is_new)
        _say("all are replaced")
    _count_wrong(trial, [*first, *rest], is_new=is_new)


def _restart(stack: Stack, services: Sequence[str], *, is_new: bool) -> None:
    """Terminate *services* in order, as a deployment does, and wait until those of the other release are ready."""
    for service in services:
        file = upgraded(stack.state, service)
        file.parent.mkdir(exist_ok=True)
        file.touch() if is_new else file.unlink()
        pid = stack.signal(service, signal.SIGTERM)
        eventually(lambda: not alive(pid), f"{service} has stopped", within_seconds=60)  # noqa: B023  # called at once
    _wait_until_ready(stack, services)


def _wait_until_ready(stack: Stack, services: Sequence[str]) -> None:
    eventually(
        lambda: all(_is_ready(stack, service) for service in services),
        f"{services} are ready",
        within_seconds=180,
        every_seconds=0.5,
    )


def _count_wrong(trial: Trial, services: Iterable[str], *, is_new: bool) -> None:
    """Count those of *services* that run from the other release."""
    stack, name = trial.stack, "services of the wrong release"
    python = stack.local_environ[PREVIOUS]
    wrong = sum(is_previous(stack.pid(service), python) is is_new for service in services)
    trial.violations[name] = trial.violations.get(name, 0) + wrong


def _is_ready(stack: Stack, service: str) -> bool:
    kinds = ("gateway", *WORKERS)
    names = [name for kind in kinds for name in stack.services(kind)]
    port = dict(zip(names, stack.metrics_ports, strict=True))[service]
    with suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).ok
    return False


def _rows(stack: Stack) -> int:
    return int(str(stack.query("SELECT count() AS rows FROM events")[0]["rows"]))


def _say(line: str) -> None:
    """Print how far a run is that may be ended before its report."""
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.stdout.flush()
