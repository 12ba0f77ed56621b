"""What `sequence status` says about the processes of a local stack."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from deploy.operate import status_processes
from deploy.operate.status_result import Process
from tests.unit.deploy.operate.test_status import judged, status


@pytest.mark.parametrize(
    ("count", "at", "expected"),
    [
        (1, "2026-01-01T00:09:00Z", []),
        (2, "2026-01-01T00:09:00Z", ["warning"]),
        (7, "2026-01-01T00:07:59Z", []),
    ],
)
def test_process_that_ended_repeatedly_is_a_warning_until_it_is_stable(
    count: int, at: str, expected: list[str]
) -> None:
    first = "2026-01-01T00:05:00Z"
    process = Process(
        name="sink-1",
        pid=7,
        started_at=at,
        restarts=20,
        restarted_at=at,
        restarted_because="exited with code 70.",
        recent_restarts=count,
        first_of_recent=first,
    )
    found = judged(status(processes=[process]))

    assert [each.level for each in found] == expected
    assert all(f"sink-1 was restarted {count} times of late. It last ended at {at}: it" in each.what for each in found)
    assert all(each.since == first for each in found)


@pytest.mark.parametrize(
    ("state", "started_at", "expected"),
    [
        ("ready", "2026-01-01T00:00:00Z", []),
        (None, "2026-01-01T00:00:00Z", []),
        ("suspended", "2026-01-01T00:00:00Z", ["error"]),
        ("no answer", "2026-01-01T00:00:00Z", ["error"]),
        ("no answer", "2026-01-01T00:09:50Z", []),
        ("stalled", "2026-01-01T00:00:00Z", ["warning"]),
        ("recovering", "2026-01-01T00:09:50Z", []),
    ],
)
def test_process_that_hangs_or_is_not_ready_is_reported(
    state: str | None, started_at: str, expected: list[str]
) -> None:
    process = Process(name="sink-1", pid=7, started_at=started_at, state=state, about="A batch takes long.", log="l")
    found = judged(status(processes=[process]))

    assert [each.level for each in found] == expected
    assert all("sink-1" in each.what for each in found)


def test_suspended_process_is_recognised() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        process = Process(name="sink-1", pid=child.pid, started_at=None)
        asyncio.run(status_processes.ask([process], {}))
        assert process.state == "suspended"
    finally:
        child.kill()
        child.wait()


def test_workers_are_on_consecutive_ports() -> None:
    environ = {"SEQUENCE_LOCAL_METRICS_PORT": "9000", "SEQUENCE_LOCAL_WORKERS": "2"}

    assert list(status_processes.workers(environ).items())[2] == ("persons-1", "http://127.0.0.1:9002")
    assert status_processes.workers({"SEQUENCE_LOCAL_METRICS_PORT": "0"}) == {}
