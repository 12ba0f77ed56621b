"""The supervisor with real child processes: small Python programs in place of Kafka and ClickHouse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.errors import ServiceError, StateError
from deploy.local import parent_death
from deploy.local.supervisor import RuntimeDirs, Service, Supervisor
from tests.support.services import alive, eventually

SERVE = """
import signal, subprocess, sys, time
def stop(*_):
    print("stopped gracefully", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
child = subprocess.Popen(["sleep", "600"])
print("serving, child", child.pid, flush=True)
while True:
    time.sleep(600)
"""
IGNORES_SIGTERM = SERVE.replace("signal.signal(signal.SIGTERM, stop)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")

HOST = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_stack_supervisor import runtime_dirs, service
from deploy.local.supervisor import Supervisor
async def main():
    directory = Path(sys.argv[1])
    await Supervisor(runtime_dirs(directory), print).start(service("one", directory), service("two", directory))
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""

ORPHAN = """
import os, sys, threading
from deploy.local.parent_death import call_when_orphaned
orphaned = threading.Event()
call_when_orphaned(int(sys.argv[1]), orphaned.set)
print(os.getpid(), flush=True)
orphaned.wait()
"""
PARENT = "import os, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())])"


class ServingProbe:
    """Ready when the service has logged that it serves and its process id is known."""

    def __init__(self, name: str, directory: Path) -> None:
        self._log = directory / "logs" / f"{name}.log"
        self._pid_file = directory / "run" / f"{name}.pid"

    async def prepare(self) -> None: ...

    async def ready(self) -> bool:
        return self._log.exists() and "serving" in self._log.read_text() and self._pid_file.exists()


def runtime_dirs(directory: Path) -> RuntimeDirs:
    return RuntimeDirs(directory / "logs", directory / "run")


def service(name: str, directory: Path, code: str = SERVE, **changes: Any) -> Service:
    command = [sys.executable, "-c", code]
    return Service(name, lambda: command, os.environ, ServingProbe(name, directory), **changes)


def pid_of(name: str, directory: Path) -> int:
    return int((directory / "run" / f"{name}.pid").read_text())


def children_in(log: Path) -> list[int]:
    return [int(line.split()[-1]) for line in log.read_text().splitlines() if line.startswith("serving")]


async def wait_for(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(eventually, condition, what, within_seconds=20)


def is_ready_again(name: str, said: list[str]) -> bool:
    return any(line.startswith(f"{name} is ready again") for line in said)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, said: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(runtime_dirs(tmp_path), said.append)
    yield supervisor
    supervisor.kill()
    with contextlib.suppress(ServiceError):
        await supervisor.stop()


async def test_killed_service_is_restarted(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    await supervisor.start(service("one", tmp_path))
    first = pid_of("one", tmp_path)

    os.kill(first, signal.SIGKILL)
    await wait_for(lambda: is_ready_again("one", said), "the service is ready again")

    assert pid_of("one", tmp_path) != first
    assert "one was killed by signal 9; restarting in 0.5 s" in said


async def test_children_of_a_killed_service_are_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(service("one", tmp_path))
    (child,) = children_in(tmp_path / "logs" / "one.log")
    assert alive(child)

    os.kill(pid_of("one", tmp_path), signal.SIGKILL)

    await wait_for(lambda: not alive(child), "the child is gone")


async def test_service_does_not_outlive_its_watchdog(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    await supervisor.start(service("one", tmp_path))
    first = pid_of("one", tmp_path)
    watchdog = psutil.Process(first).ppid()

    os.kill(watchdog, signal.SIGKILL)

    await wait_for(lambda: is_ready_again("one", said), "the service is ready again")
    assert not alive(first)


async def test_stop_lets_each_service_shut_down_gracefully(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(service("one", tmp_path), service("two", tmp_path))
    pids = [pid_of(name, tmp_path) for name in ("one", "two")]

    await supervisor.stop(("two",), ("one",))

    assert not any(alive(pid) for pid in pids)
    assert "stopped gracefully" in (tmp_path / "logs" / "one.log").read_text()
    assert not list((tmp_path / "run").iterdir())


async def test_service_that_exceeds_its_stop_timeout_is_killed(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    await supervisor.start(service("deaf", tmp_path, IGNORES_SIGTERM, stop_timeout_seconds=0.5))
    pid = pid_of("deaf", tmp_path)

    await supervisor.stop()

    assert not alive(pid)
    assert "deaf did not stop within 0.5 s; killing it" in said


async def test_service_that_fails_to_start_is_given_up_with_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    broken = service("broken", tmp_path, "raise SystemExit('no such directory')", ready_timeout_seconds=60)

    with pytest.raises(
        ServiceError, match=r"broken failed to start 4 times \(exited with code 1\)(.|\n)*no such directory"
    ):
        await supervisor.start(broken)


async def test_error_that_a_service_ends_with_is_the_last_sentence(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    code = "import sys; print('Traceback'); sys.stderr.write('Error: Topics missing: a. Run x.\\n'); sys.exit(1)"

    with pytest.raises(ServiceError) as caught:
        await supervisor.start(service("broken", tmp_path, code))

    assert str(caught.value) == (
        "broken failed to start 4 times (exited with code 1). Topics missing: a. Run x. "
        f"Log: {tmp_path / 'logs' / 'broken.log'}"
    )
    assert [line.partition(": ")[2] for line in said] == ["Topics missing: a. Run x.", "", ""]


@pytest.mark.parametrize("exit_code", [2, os.EX_CONFIG])
async def test_service_that_a_restart_does_not_help_is_given_up_at_once(
    supervisor: Supervisor, tmp_path: Path, said: list[str], exit_code: int
) -> None:
    code = f"import sys; print('Error: SEQUENCE_X: no. Set another.'); sys.exit({exit_code})"

    with pytest.raises(ServiceError, match=rf"^broken failed to start \(exited with code {exit_code}\)\. SEQUENCE_X"):
        await supervisor.start(service("broken", tmp_path, code))

    assert said == []


async def test_restart_of_a_service_that_was_ready_is_one_line_with_the_cause(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    dying = SERVE.replace("sys.exit(0)", "print('Error: The disk is full.', flush=True); sys.exit(78)")
    await supervisor.start(service("one", tmp_path, dying))

    os.kill(pid_of("one", tmp_path), signal.SIGTERM)
    await wait_for(lambda: is_ready_again("one", said), "the service is ready again")

    assert "one exited with code 78; restarting in 0.5 s: The disk is full." in said


async def test_service_that_waits_for_a_person_does_not_end_the_stack(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    allowed = tmp_path / "allowed"
    unless = f"import os, sys\nif not os.path.exists({str(allowed)!r}):"
    refusing = f"{unless}\n    print('Error: Accept it.')\n    sys.exit(78)\n{SERVE}"
    waiting = service(
        "one", tmp_path, refusing, waiting_seconds=0.7, is_waiting=lambda failure: failure.reason == "Accept it."
    )

    await supervisor.start(waiting, service("two", tmp_path))
    assert supervisor.unready() == ["one"]
    await wait_for(lambda: "one exited with code 78; restarting in 1 s" in said, "it is tried again")
    allowed.touch()
    await asyncio.wait_for(supervisor.until_ready(), 20)

    assert is_ready_again("one", said)
    assert supervisor.unready() == []
    assert "one exited with code 78; restarting in 0.7 s: Accept it." in said
    assert not supervisor.failed.is_set()


async def test_log_that_cannot_be_created_is_reported(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "logs" / "one.log").mkdir()

    with pytest.raises(StateError, match=r"^Cannot write .*one\.log: Is a directory\.$"):
        await supervisor.start(service("one", tmp_path))


async def test_service_that_exceeds_its_ready_timeout_is_given_up(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="slow was not ready after"):
        await supervisor.start(service("slow", tmp_path, "import time; time.sleep(600)", ready_timeout_seconds=0.5))


async def test_restart_waits_for_the_services_it_needs(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    await supervisor.start(service("needed", tmp_path), service("needing", tmp_path, needs=("needed",)))

    for name in ("needed", "needing"):
        os.kill(pid_of(name, tmp_path), signal.SIGKILL)
    await wait_for(lambda: all(is_ready_again(name, said) for name in ("needed", "needing")), "both are ready again")

    restarted = [line.split()[0] for line in said if "is ready again" in line]
    assert restarted == ["needed", "needing"]


def test_services_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert any(line == "ready\n" for line in host.stdout)
    pids = [pid_of(name, tmp_path) for name in ("one", "two")]
    pids += [pid for name in ("one", "two") for pid in children_in(tmp_path / "logs" / f"{name}.log")]
    assert len(pids) == 4
    assert all(alive(pid) for pid in pids)

    host.kill()
    host.wait()
    host.stdout.close()

    eventually(lambda: not any(alive(pid) for pid in pids), "every process is gone", within_seconds=10)


def test_orphaned_process_notices_that_its_parent_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, ORPHAN], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)

    parent.kill()
    parent.wait()

    eventually(lambda: not alive(pid), "it ended", within_seconds=10)
    parent.stdout.close()


def test_parent_that_has_already_ended_is_noticed() -> None:
    orphaned = threading.Event()

    parent_death.call_when_orphaned(os.getppid() + 1, orphaned.set)

    assert orphaned.wait(10)
