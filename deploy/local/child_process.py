"""One child process under the parent-death watchdog: start, output, signals, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local import parent_death

_OUTPUT_TIMEOUT_SECONDS = 5


class ChildProcess:
    """A started process. `finish` must be awaited once."""

    def __init__(self, process: asyncio.subprocess.Process, parent_pipe: int, reading: asyncio.Task[None]) -> None:
        self._process = process
        self._parent_pipe = parent_pipe
        self._reading = reading

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environ: Mapping[str, str],
        pid_file: Path,
        output: Callable[[bytes], None],
        *,
        directory: Path | None = None,
    ) -> ChildProcess:
        """Start *command* in *directory* and pass its output, both streams, to *output*.

        Both pipes are created here. With asyncio's own pipes, `wait` returns in some Python versions only after every
        process that inherited an end has exited.
        """
        stdin_read, parent_pipe = os.pipe()
        output_read, output_write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *parent_death.arguments(pid_file, command),
                stdin=stdin_read,
                stdout=output_write,
                stderr=output_write,
                env=dict(environ),
                cwd=directory,
                start_new_session=True,
            )
        except BaseException:
            os.close(parent_pipe)
            os.close(output_read)
            raise
        finally:
            os.close(stdin_read)
            os.close(output_write)
        return cls(process, parent_pipe, asyncio.create_task(_read(output_read, output)))

    def terminate(self) -> None:
        """Send SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process and everything that it started."""
        # The watchdog leads the group. The group's id is not reused while a member is alive.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Return the exit code when the process has exited: -n or 128 + n for signal n."""
        return await self._process.wait()

    async def finish(self) -> None:
        """Kill what remains of the process group and read the rest of the output."""
        self.kill()
        os.close(self._parent_pipe)
        await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reading, _OUTPUT_TIMEOUT_SECONDS)


async def _read(pipe: int, output: Callable[[bytes], None]) -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
    )
    try:
        while data := await reader.read(65536):
            output(data)
    finally:
        transport.close()
