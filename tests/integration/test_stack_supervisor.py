"""The supervisor with real processes: small ones in place of the broker and its neighbours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from deploy.errors import AlreadyRunningError, ServiceError, StateError
from deploy.local import state_lock
from deploy.local.ports import is_port_free
from deploy.local.probes import always
from deploy.local.supervisor import RuntimeDirs, Service, Supervisor
from tests.support.services import alive, eventually, free_port

SERVE = """
import signal, subprocess, sys, time
def end(*_):
    print("ended in order", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
child = subprocess.Popen(["sleep", "600"])
print("serving, child", child.pid, flush=True)
while True:
    time.sleep(600)
"""
DEAF = SERVE.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")

HOST = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_stack_supervisor import part, places
from deploy.local.supervisor import Supervisor
async def main():
    directory = Path(sys.argv[1])
    await Supervisor(places(directory), print).start(part("one", directory), part("two", directory))
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""

ORPHAN = """
import asyncio, os, sys
from deploy.local.stack import set_when_orphaned
async def main():
    stop = asyncio.Event()
    print(os.getpid(), flush=True)
    await asyncio.gather(set_when_orphaned(stop, int(sys.argv[1])), stop.wait())
asyncio.run(main())
"""
PARENT = "import os, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())])"


def places(directory: Path) -> RuntimeDirs:
    return RuntimeDirs(directory / "logs", directory / "run")


def part(name: str, directory: Path, code: str = SERVE, **changes: float) -> Service:
    async def is_ready() -> bool:
        log = directory / "logs" / f"{name}.log"
        return log.exists() and "serving" in log.read_text() and (directory / "run" / f"{name}.pid").exists()

    return Service(name, lambda: [sys.executable, "-c", code], os.environ, always(is_ready), **changes)  # type: ignore[arg-type]  # only numbers are changed here


def pid_of(name: str, directory: Path) -> int:
    return int((directory / "run" / f"{name}.pid").read_text())


def children_in(log: Path) -> list[int]:
    return [int(line.split()[-1]) for line in log.read_text().splitlines() if line.startswith("serving")]


async def soon(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(eventually, condition, what, within_seconds=20)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, said: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(places(tmp_path), said.append)
    yield supervisor
    supervisor.kill()
    with contextlib.suppress(ServiceError):
        await supervisor.stop()


async def test_a_part_that_is_killed_is_started_again(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    await supervisor.start(part("one", tmp_path))
    first = pid_of("one", tmp_path)

    os.kill(first, signal.SIGKILL)
    await soon(lambda: any("is back" in line for line in said), "the part is back")

    assert pid_of("one", tmp_path) != first
    assert "one was ended by signal 9; it starts again in 0.5 s." in said


async def test_what_a_killed_part_had_started_is_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(part("one", tmp_path))
    (grandchild,) = children_in(tmp_path / "logs" / "one.log")
    assert alive(grandchild)

    os.kill(pid_of("one", tmp_path), signal.SIGKILL)

    await soon(lambda: not alive(grandchild), "what the part had started is gone")


async def test_a_part_does_not_outlive_its_leash(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    await supervisor.start(part("one", tmp_path))
    first = pid_of("one", tmp_path)
    leash = psutil.Process(first).ppid()

    os.kill(leash, signal.SIGKILL)

    await soon(lambda: any("is back" in line for line in said), "the part is back")
    assert not alive(first)


async def test_stopping_lets_each_part_end_in_order(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(part("one", tmp_path), part("two", tmp_path))
    pids = [pid_of(name, tmp_path) for name in ("one", "two")]

    await supervisor.stop(("two",), ("one",))

    assert not any(alive(pid) for pid in pids)
    assert "ended in order" in (tmp_path / "logs" / "one.log").read_text()
    assert not list((tmp_path / "run").iterdir())


async def test_a_part_that_does_not_end_is_killed(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    await supervisor.start(part("deaf", tmp_path, DEAF, stop_within_seconds=0.5))
    pid = pid_of("deaf", tmp_path)

    await supervisor.stop()

    assert not alive(pid)
    assert "deaf did not end within 0.5 s and is killed." in said


async def test_a_part_that_never_comes_up_is_given_up_with_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    broken = part("broken", tmp_path, "raise SystemExit('no such directory')", ready_within_seconds=60)

    with pytest.raises(ServiceError, match=r"broken exited with code 1 again and again(.|\n)*no such directory"):
        await supervisor.start(broken)


async def test_a_part_that_is_slow_to_come_up_is_given_up_in_time(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="slow was not ready within"):
        await supervisor.start(part("slow", tmp_path, "import time; time.sleep(600)", ready_within_seconds=0.5))


async def test_a_part_waits_for_the_ones_it_needs_before_it_starts_again(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    needed = part("needed", tmp_path)
    needing = part("needing", tmp_path)
    await supervisor.start(
        needed, Service("needing", needing.command, os.environ, needing.readiness, needs=("needed",))
    )

    for name in ("needed", "needing"):
        os.kill(pid_of(name, tmp_path), signal.SIGKILL)
    await soon(lambda: sum("is back" in line for line in said) == 2, "both are back")

    back = [line.split()[0] for line in said if "is back" in line]
    assert back == ["needed", "needing"]


def test_no_part_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
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


def test_a_stack_that_ends_with_its_parent_notices_when_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, ORPHAN], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)

    parent.kill()
    parent.wait()

    eventually(lambda: not alive(pid), "it ended", within_seconds=10)
    parent.stdout.close()


def test_a_state_directory_belongs_to_one_stack_at_a_time(tmp_path: Path) -> None:
    with (
        state_lock.held(tmp_path),
        pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}") as caught,
        state_lock.held(tmp_path),
    ):
        pass

    assert "SEQUENCE_STATE_DIR" in str(caught.value)
    with state_lock.held(tmp_path):
        pass


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StateError, match="SEQUENCE_STATE_DIR"), state_lock.held(tmp_path / "file" / "state"):
        pass


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_port_free(server.getsockname()[1])
    assert is_port_free(free_port())
