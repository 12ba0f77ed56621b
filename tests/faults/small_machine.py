"""A machine of a stack under test with a disk and a clock of its own: a file system in a file, and libfaketime.

Both need root, and libfaketime Debian's package of the same name. The clock is that of the first gateway:
the system reports another time of day to this process.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import shifted_clocks
from tests.faults.worker import STUCK

if TYPE_CHECKING:
    from tests.faults.stack import Stack  # which starts services with this module

DISK_BYTES = 30 * 1024**3
"""Size of the disk; the file has holes, so that it takes what is written."""
LEFT_BYTES = 1200 * 1024**2
"""Space that `nearly_full_disk` leaves."""
PRELOADED = "SEQUENCE_TEST_FAKETIME"
"""File with the seconds by which the clock of the first gateway is ahead."""
_CLOCK = "process"


def with_disk_and_clock(stack: Stack) -> None:
    """Prepare the disk of the state directory of *stack*, and the clock of its first gateway."""
    shift_clock(shifted_clocks.directory_of(stack.state), 0)
    clock = shifted_clocks.directory_of(stack.state) / _CLOCK
    stack.set_environ({PRELOADED: str(clock), STUCK: str(stuck_file(stack.state))})
    image = stack.state.parent / "disk"
    stack.state.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    for command in (
        ["mkfs.ext4", "-q", "-F", "-m", "0", str(image)],
        ["mount", "-o", "loop", str(image), str(stack.state)],
    ):
        subprocess.run(command, check=True)
    (stack.state / "lost+found").rmdir()
    stack.state.chmod(0o700)


def shift_clock(directory: Path, seconds: int) -> None:
    """Let the clock be *seconds* ahead; the process notices within a second."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{_CLOCK}.new").write_text(f"{seconds:+d}\n", encoding="ascii")
    (directory / f"{_CLOCK}.new").replace(directory / _CLOCK)


def stuck_file(state: Path) -> Path:
    """Return the file with the number of the partition that is stuck in dedupe, while it exists."""
    return state.parent / "stuck"


def preloaded(file: str) -> dict[str, str]:
    """Return the variables with which a process has the clock in *file*."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "libfaketime is missing: install Debian's package `faketime`"
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": file,
        "FAKETIME_CACHE_DURATION": "1",
        # Timers and timeouts go on.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
