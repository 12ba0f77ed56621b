"""A held service: the supervisor starts it, but its command runs only once the file is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults import held


def test_command_runs_once_the_file_is_gone(tmp_path: Path) -> None:
    hold, ran = tmp_path / "hold", tmp_path / "ran"
    hold.touch()
    command = [sys.executable, "-c", f"open({str(ran)!r}, 'w')"]
    with subprocess.Popen(held.arguments(hold, command)) as process:
        with_timeout(process, 0.5)
        assert not ran.exists()
        hold.unlink()
        assert process.wait(20) == 0
    assert ran.exists()


def test_limit_of_open_files_is_that_of_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"]
    done = subprocess.run(
        held.arguments(tmp_path / "hold", command), env={held.FILES: "777"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(777, 777)"


def with_timeout(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait *seconds*, in which *process* must not end."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise AssertionError("the process ended")
