"""Points at which this process is killed or stopped once, because a scenario has armed them: see `tests.faults.armed`.

The process that reaches a point removes its file and sends itself the signal that the file names, so that its next
start passes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from deploy.operate import backup, backup_runs, erase, restore_tables
from processors.engine import failpoints


def install(directory: Path, arguments: Sequence[str], patch: Callable[[object, str, Any], None]) -> None:
    """Let this process, which runs `sequence` with *arguments*, stop at the points in *directory*."""
    kind = arguments[1] if arguments[0] == "worker" else arguments[0]
    passed = failpoints.hit

    def hit(name: str) -> None:
        passed(name)
        file = directory / f"{kind}-{name}"
        try:
            number = signal.Signals[file.read_text()]
            file.unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), number)

    patch(failpoints, "hit", hit)
    if kind == "erase":
        patch(erase, "_tell_persons", _telling(erase._tell_persons, hit))
    elif kind == "backup":
        patch(backup._Backup, "_read", _saving(backup._Backup._read, hit))
        patch(backup_runs.Runs, "_state", _before(backup_runs.Runs._state, hit, "saving"))
    elif kind == "restore":
        patch(backup_runs.Runs, "_state", _before(backup_runs.Runs._state, hit, "restoring"))
        patch(restore_tables.Restorer, "_move", _after(restore_tables.Restorer._move, hit, "moved"))
        patch(restore_tables.Restorer, "_drop_present", _after(restore_tables.Restorer._drop_present, hit, "dropped"))


def _telling(tell: Callable[..., Awaitable[Any]], hit: Callable[[str], None]) -> Callable[..., Awaitable[Any]]:
    """The erasure is on `projects.v1`, then the records for the persons stage are written."""

    async def tells(*arguments: Any) -> Any:
        hit("requested")
        told = await tell(*arguments)
        hit("told")
        return told

    return tells


def _saving(read: Callable[..., None], hit: Callable[[str], None]) -> Callable[..., None]:
    """A step of the backup, such as `rows`, is saved."""

    def reads(self: Any, tables: Sequence[str], saved: Any) -> None:
        read(self, tables, saved)
        hit(f"saved-{list(saved.steps)[-1]}")

    return reads


def _before(work: Callable[..., Any], hit: Callable[[str], None], name: str) -> Callable[..., Any]:
    def works(*arguments: Any) -> Any:
        hit(name)
        return work(*arguments)

    return works


def _after(work: Callable[..., Any], hit: Callable[[str], None], name: str) -> Callable[..., Any]:
    def works(*arguments: Any) -> Any:
        done = work(*arguments)
        hit(name)
        return done

    return works
