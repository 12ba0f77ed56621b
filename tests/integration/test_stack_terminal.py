"""The local stack and its terminal: `nohup`, a terminal that is closed, standard streams that are closed or broken."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.services import eventually

PROGRAM = """
import asyncio, sys
from pathlib import Path
from deploy.local.stack import _say, _stop_on_signals
from deploy.local.supervisor import Supervisor
from deploy.open_files import open_standard_streams
from tests.integration.test_stack_supervisor import runtime_dirs, service

async def main(directory):
    supervisor = Supervisor(runtime_dirs(directory), _say)
    stop = _stop_on_signals(supervisor)
    await supervisor.start(service("one", directory))
    (directory / "ready").touch()
    await stop.wait()
    _say("Stopping.")
    await supervisor.stop()
    (directory / "stopped").touch()

open_standard_streams()
asyncio.run(main(Path(sys.argv[1])))
"""
NOHUP = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
"""What `nohup` does before it runs a command."""


@contextmanager
def host(
    directory: Path, first: str = "", *, stdin: int | None = None, output: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program, after the statement *first*, until it is ready."""
    launcher = f"import fcntl, os, signal, sys, termios; {first or 'pass'}; os.execv(sys.executable, sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", launcher, sys.executable, "-c", PROGRAM, str(directory)],
        start_new_session=True,
        stdin=stdin,
        stdout=output,
        stderr=output,
    ) as process:
        try:
            eventually((directory / "ready").exists, "the program is ready")
            yield process
        finally:
            process.kill()


def assert_stops(process: subprocess.Popen[bytes], directory: Path) -> None:
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert (directory / "stopped").exists()


@contextmanager
def closed_terminal(directory: Path, first: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program in a terminal, and close the terminal when it is ready."""
    terminal, stream = pty.openpty()
    controlling = f"fcntl.ioctl(0, {termios.TIOCSCTTY}, 0); {first or 'pass'}"
    with host(directory, controlling, stdin=stream, output=stream) as process:
        os.close(stream)
        os.close(terminal)
        yield process


def test_stack_under_nohup_stays_when_its_terminal_is_closed(tmp_path: Path) -> None:
    with closed_terminal(tmp_path, NOHUP) as process:
        # Another SIGHUP arrives after the one of the terminal.
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)

        assert_stops(process, tmp_path)


def test_stack_stops_in_order_when_its_terminal_is_closed(tmp_path: Path) -> None:
    # The tests themselves may run under `nohup`, which children inherit.
    with closed_terminal(tmp_path, "signal.signal(signal.SIGHUP, signal.SIG_DFL)") as process:
        assert process.wait(30) == 0
        assert (tmp_path / "stopped").exists()


def test_stack_whose_output_nobody_reads_any_more_stays(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with host(tmp_path, output=write) as process:
        os.close(write)
        assert_stops(process, tmp_path)


@pytest.mark.parametrize("closed", ["0", "1", "2", "0, 1, 2"])
def test_closed_standard_streams_are_no_other_files(tmp_path: Path, closed: str) -> None:
    with host(tmp_path, f"[os.close(number) for number in ({closed},)]") as process:
        streams = Path(f"/proc/{process.pid}/fd")
        if streams.exists():
            for number in closed.split(", "):
                assert (streams / number).readlink() == Path(os.devnull)
        assert_stops(process, tmp_path)
