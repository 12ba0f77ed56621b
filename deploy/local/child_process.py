"""One process on a leash, seen from the supervisor: its exit, its output, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local import parent_death


class ChildProcess:
    """A process that was started; `finish` must be awaited in the end."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int, pump: asyncio.Task[None]) -> None:
        self._process = process
        self._lifeline = lifeline
        self._pump = pump

    @classmethod
    async def start(
        cls, command: Sequence[str], environ: Mapping[str, str], pid_file: Path, output: Callable[[bytes], None]
    ) -> ChildProcess:
        """Start *command*; what it prints goes to *output*.

        Both pipes are made here and not by asyncio, whose `wait` in some versions returns only when every process that
        holds an end of them is gone.
        """
        held, lifeline = os.pipe()
        readable, printed = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *parent_death.arguments(pid_file, command),
                stdin=held,
                stdout=printed,
                stderr=printed,
                env=dict(environ),
                start_new_session=True,
            )
        except BaseException:
            os.close(lifeline)
            os.close(readable)
            raise
        finally:
            os.close(held)
            os.close(printed)
        return cls(process, lifeline, asyncio.create_task(_pump(readable, output)))

    def terminate(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        # The leash leads the group; the number cannot have passed to another group while one of its members lives.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Return its exit code once it ended: -n or 128 + n for signal n."""
        return await self._process.wait()

    async def finish(self) -> None:
        """End what is left of it and take the rest of its output."""
        self.kill()
        os.close(self._lifeline)
        await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pump, 5)


async def _pump(readable: int, output: Callable[[bytes], None]) -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb", buffering=0)
    )
    try:
        while data := await reader.read(65536):
            output(data)
    finally:
        transport.close()
