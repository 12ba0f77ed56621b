"""The local stack runs no sink while `sequence restore` holds its lock. Small programs stand in for the services."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.errors import OperateError
from deploy.local import restoring
from deploy.local.probes import Probe
from deploy.local.supervisor import Supervisor
from tests.integration.test_stack_supervisor import pid_of, runtime_dirs, service
from tests.support.services import alive, eventually

HOLDER = """
import sys, time
from pathlib import Path
from deploy.local import restoring
with restoring.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.asynccontextmanager
async def stack(state: Path, *, watches: bool = True, probe: Probe | None = None) -> AsyncIterator[None]:
    """Run a gateway and a sink, which stops for a restore if the stack *watches* and is ready when *probe* says."""
    supervisor = Supervisor(runtime_dirs(state), lambda _: None)
    sink = service("sink-1", state)
    if probe is not None:
        sink = replace(sink, probe=probe)
    await supervisor.start(service("gateway-1", state), sink)
    watching = asyncio.create_task(restoring.stop_during_restore(state, supervisor, [sink], lambda _: None))
    if not watches:
        watching.cancel()
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await supervisor.stop()


def runs(state: Path) -> list[str]:
    """Return the services that run."""
    found = []
    for file in sorted((state / "run").glob("*.pid")):
        with contextlib.suppress(OSError, ValueError):
            if alive(pid_of(file.stem, state)):
                found.append(file.stem)
    return found


async def until_all_run(state: Path) -> None:
    await asyncio.to_thread(eventually, lambda: runs(state) == ["gateway-1", "sink-1"], "every service runs")


def runs_during_restore(state: Path) -> list[str]:
    with restoring.held(state):
        return runs(state)


async def test_sink_stops_for_a_restore_and_starts_again(tmp_path: Path) -> None:
    async with stack(tmp_path):
        assert await asyncio.to_thread(runs_during_restore, tmp_path) == ["gateway-1"]
        await until_all_run(tmp_path)
        assert await asyncio.to_thread(runs_during_restore, tmp_path) == ["gateway-1"]


class WithTables:
    """A sink is ready while it has tables."""

    has_tables = True

    async def prepare(self) -> None: ...

    async def ready(self) -> bool:
        return self.has_tables


async def test_interrupted_restore_is_repeated_although_the_sink_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted restore leaves a database without tables."""
    monkeypatch.setattr(restoring, "_STOP_SECONDS", 5.0)
    probe = WithTables()
    async with stack(tmp_path, probe=probe):
        probe.has_tables = False
        assert await asyncio.to_thread(runs_during_restore, tmp_path) == ["gateway-1"]
        await until_all_run(tmp_path)
        assert await asyncio.to_thread(runs_during_restore, tmp_path) == ["gateway-1"]
        await until_all_run(tmp_path)


async def test_control_restore_is_refused_while_a_sink_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_STOP_SECONDS", 0.2)
    async with stack(tmp_path, watches=False):
        with pytest.raises(OperateError, match="did not stop"):
            await asyncio.to_thread(runs_during_restore, tmp_path)
        assert runs(tmp_path) == ["gateway-1", "sink-1"]


async def test_killed_restore_lets_the_sink_start_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_LOCK_SECONDS", 0.2)
    async with stack(tmp_path):
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        assert runs(tmp_path) == ["gateway-1"]
        with pytest.raises(OperateError, match="Another sequence restore runs"):
            await asyncio.to_thread(runs_during_restore, tmp_path)
        holder.kill()
        await holder.wait()
        await until_all_run(tmp_path)
