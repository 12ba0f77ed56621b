"""Checks of this machine: the disk of the local stack, and the open files of its processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from deploy.operate.doctor_result import Check, disk
from deploy.operate.finding import Finding
from deploy.operate.status_result import Process

_ALMOST = 0.8
_PROC = Path("/proc")


def disk_of_state(state: Path) -> Check:
    """Return the check of the disk that has the state directory."""
    usage = shutil.disk_usage(state)
    about, findings = disk("state directory", str(state), usage.free, usage.total)
    return Check(name="disk", about=about, findings=findings)


def open_files(processes: Iterable[Process]) -> Check:
    """Return the check of the open files of *processes*, where the system tells them."""
    shares = {}
    for process in processes:
        if process.pid is not None and (used := _files(process.pid)) is not None:
            shares[process.name] = used
    if not shares:
        return Check(name="open files", about="this system does not tell", findings=[])
    name, (count, limit) = max(shares.items(), key=lambda item: item[1][0] / item[1][1])
    about = f"at most {count} of {limit} are used, by {name}"
    return Check(name="open files", about=about, findings=list(judge_files(shares.items())))


def judge_files(used: Iterable[tuple[str, tuple[int, int]]]) -> Iterator[Finding]:
    """Yield a finding for each process that has nearly as many files open as it may."""
    for name, (count, limit) in used:
        if count > _ALMOST * limit:
            yield Finding(
                level="error" if count >= limit - 10 else "warning",
                check="open files",
                what=f"{name} has {count} files open; its limit is {limit}.",
                why="Without file handles a process accepts no connections and writes nothing.",
                remedy="Raise the limit: `ulimit -n 65536` before `sequence up`, or LimitNOFILE of systemd.",
            )


def _files(pid: int) -> tuple[int, int] | None:
    """Return the open files of a process and its limit, None if the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        count = sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
        for line in (_PROC / str(pid) / "limits").read_text().splitlines():
            if line.startswith("Max open files"):
                return count, int(line.split()[3])
    return None
