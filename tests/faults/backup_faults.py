"""Backups while events flow, and restores from them: both are killed on the way and repeated, and no row is lost."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import psutil

from tests.faults import armed
from tests.faults.row_deletions import keep_positions
from tests.faults.stack import Stack
from tests.faults.storage_faults import LOAD_SECONDS, write_more
from tests.faults.trial import Trial
from tests.support.services import eventually

STEPS = ("positions", "rows", "logs")
RESTORED_WITHIN_SECONDS = 120.0


def backing_up(trial: Trial) -> None:
    """Kill backups under load, complete one and an incremental one; wipe ClickHouse, and restore it."""
    stack, directory = trial.stack, _directory(trial.stack)
    write_more(stack)
    for point in ("saving", "saved-rows", "saved-logs"):
        armed.arm(stack, f"backup-{point}")
        # ClickHouse may still write what the one before has begun.
        eventually(lambda: _run(trial, "backup", "create", directory) < 0, "the backup is killed", every_seconds=1.0)
    eventually(lambda: _run(trial, "backup", "create", directory) == 0, "the backup is complete", every_seconds=1.0)
    noting_positions(trial)
    made = json.loads(stack.local_command("backup", "list", directory, "--json").stdout)
    trial.violations["backups beside the complete ones"] = len(made) - 2
    for each in made:
        trial.notes.append(
            f"backup of {each['rows']:,} rows: {each['bytes']:,} bytes in {each['seconds']:.1f} s, a small one"
        )
    write_more(stack)
    wiping_and_restoring(trial)


def noting_positions(trial: Trial) -> None:
    """Back up while an operator notes positions between any two statements of the backup."""
    stack = trial.stack
    armed.arm(stack, *(f"backup-saved-{step}" for step in STEPS), number=signal.SIGSTOP)
    with armed.start(stack, "backup", "create", _directory(stack)) as process:
        for later in reversed(range(len(STEPS))):
            _wait_until_stopped(stack, process.pid, later)
            write_more(stack)
            keep_positions(stack)
            stack.send_signal(process.pid, signal.SIGCONT)
        printed, _ = process.communicate(timeout=armed.COMMAND_SECONDS)
    assert process.returncode == 0, printed


def wiping_and_restoring(trial: Trial) -> None:
    """Delete the directory of ClickHouse, and restore the newest backup; the restore is killed at each of its steps."""
    stack = trial.stack
    with stack.held("clickhouse"):
        shutil.rmtree(stack.clickhouse_directory)
    stack.query("SELECT 1")
    restore(trial, ("restoring", "dropped", "moved"))
    time.sleep(LOAD_SECONDS)


def replacing(trial: Trial) -> None:
    """Replace the present tables by the newest backup, which lacks what came since; the restore is killed."""
    restore(trial, ("dropped",), "--replace", "--yes")
    time.sleep(LOAD_SECONDS)


def restore(trial: Trial, points: tuple[str, ...], *options: str) -> None:
    """Restore the newest backup; the command is killed at each of *points* first."""
    stack = trial.stack
    arguments = ("restore", _directory(stack), *options)
    for point in points:
        armed.arm(stack, f"restore-{point}")
        code, printed = armed.run(stack, *arguments)
        assert code < 0, f"the command was not killed: {printed}"
    began = time.monotonic()
    code, printed = armed.run(stack, *arguments)
    assert code == 0, printed
    trial.notes.append(f"restored in {time.monotonic() - began:.1f} s, its start included")
    sinks = stack.services("sink")
    eventually(lambda: all(map(stack.running, sinks)), "the sinks run", within_seconds=RESTORED_WITHIN_SECONDS)


def notes_during_backup(trial: Trial) -> None:
    """Back up while positions are noted, wipe ClickHouse and restore it: what a backup lacks is filled in."""
    noting_positions(trial)
    write_more(trial.stack)
    wiping_and_restoring(trial)


def adding_up(trial: Trial) -> None:
    """Let `sequence audit` add up topics and tables."""
    audited = trial.stack.local_command("audit", "--json")
    trial.violations["audit does not add up"] = int(audited.returncode != 0)
    trial.notes.append(f"audit: {json.loads(audited.stdout)['missing']} missing")


def _run(trial: Trial, *arguments: str) -> int:
    """Run a command, note what it printed if it failed, and return its exit code."""
    code, printed = armed.run(trial.stack, *arguments)
    if code > 0:
        trial.notes.append(printed.strip()[-150:])
    return code


def _wait_until_stopped(stack: Stack, pid: int, later: int) -> None:
    """Return when process *pid* is stopped and has *later* points to reach."""

    def is_stopped() -> bool:
        return len(armed.left(stack)) == later and bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)

    eventually(is_stopped, "the backup is between two statements")


def _directory(stack: Stack) -> str:
    return str(Path(stack.state.parent, "backups"))


BACKUPS = (
    ("backed up, wiped and restored", backing_up),
    ("replaced by a backup", replacing),
)
