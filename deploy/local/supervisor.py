"""Runs the parts of the local stack as processes: starts them, waits until they are ready, starts again what dies.

Each part is on a leash (`deploy.local.parent_death`), so that none outlives this process. What a part prints goes to its own
log file; what happens to it, one line each, goes to `say`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from deploy.errors import ServiceError
from deploy.local.backoff import Backoff, cause
from deploy.local.child_process import ChildProcess
from deploy.local.log_file import LogFile
from deploy.local.probes import IsReady

Say = Callable[[str], None]

_PROBE_EVERY_SECONDS = 0.1
_SHOWN_LINES = 20


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the stack."""

    name: str
    command: Callable[[], Sequence[str]]
    """Gives the command line, asked for anew at every start."""
    environ: Mapping[str, str]
    readiness: Callable[[], Awaitable[IsReady]]
    """Gives the question whether the part is ready, anew before every start."""
    address: str = ""
    needs: tuple[str, ...] = ()
    """Parts that must be ready before this one starts again."""
    ready_within_seconds: float = 120.0
    stop_within_seconds: float = 25.0


@dataclass(frozen=True, slots=True)
class RuntimeDirs:
    """Directories for what the parts print and for their process ids."""

    logs: Path
    run: Path


class SupervisedService:
    """A part that is kept running."""

    def __init__(self, part: Service, places: RuntimeDirs, say: Say) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self.keeper: asyncio.Task[None] | None = None
        self._say = say
        self._log_path = places.logs / f"{part.name}.log"
        self._pid_file = places.run / f"{part.name}.pid"
        self._log = LogFile(self._log_path)
        self._log_fails = False
        self._process: ChildProcess | None = None
        self._stopping = False

    async def start(self, others: Mapping[str, SupervisedService]) -> None:
        """Start it and return when it is ready; raise `ServiceError` with the end of its log when that takes too long."""
        began = monotonic()
        self.keeper = asyncio.create_task(self._keep(others), name=self.part.name)
        ready = asyncio.create_task(self.ready.wait())
        try:
            await asyncio.wait(
                {ready, self.keeper}, timeout=self.part.ready_within_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if self.keeper.done():
            self.keeper.result()
        if not self.ready.is_set():
            raise ServiceError(f"{self.part.name} was not ready within {monotonic() - began:.0f} s. {self._tail()}")
        self._say(ready_line(self.part.name, self.part.address, monotonic() - began))

    async def stop(self) -> None:
        """End it in order, by force when that takes too long. Nothing of it is left when this returns."""
        self._stopping = True
        if self._process is not None:
            self._process.terminate()
        if self.keeper is not None and not self.keeper.done():
            done, _ = await asyncio.wait({self.keeper}, timeout=self.part.stop_within_seconds)
            if not done:
                self._say(f"{self.part.name} did not end within {self.part.stop_within_seconds:g} s and is killed.")
                self.kill()
                await asyncio.wait({self.keeper})
        self._log.close()

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    async def _keep(self, others: Mapping[str, SupervisedService]) -> None:
        restarts = Backoff()
        has_been_ready = False
        while not self._stopping:
            began = monotonic()
            how = await self._run_once(again=has_been_ready)
            has_been_ready |= self.ready.is_set()
            self.ready.clear()
            if self._stopping:
                return
            restarts = restarts.after_death(monotonic() - began)
            if restarts.is_hopeless and not has_been_ready:
                raise ServiceError(f"{self.part.name} {how} again and again. {self._tail()}")
            self._say(f"{self.part.name} {how}; it starts again in {restarts.delay_seconds:g} s.")
            if restarts.keeps_dying:
                self._say(self._tail())
            await self._pause(restarts.delay_seconds, others)

    async def _pause(self, seconds: float, others: Mapping[str, SupervisedService]) -> None:
        """Wait *seconds*, and then for the parts that this one needs; end early when it is to stop."""
        deadline = monotonic() + seconds
        while not self._stopping and (  # noqa: ASYNC110  # a clock and several events: one loop says it plainly
            monotonic() < deadline or not all(others[name].ready.is_set() for name in self.part.needs)
        ):
            await asyncio.sleep(_PROBE_EVERY_SECONDS)

    async def _run_once(self, *, again: bool) -> str:
        """Run the process to its end and return in words how it ended."""
        try:
            is_ready = await self.part.readiness()
            command = self.part.command()
            process = await ChildProcess.start(command, self.part.environ, self._pid_file, self._print)
        except OSError as error:
            return f"could not be started ({error})"
        self._process = process
        if self._stopping:
            process.terminate()
        probe = asyncio.create_task(self._probe(is_ready, again=again))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({ended, probe}, return_when=asyncio.FIRST_COMPLETED)
            if probe.done():
                probe.result()
            return cause(await ended)
        finally:
            self._process = None
            probe.cancel()
            await process.finish()
            self._pid_file.unlink(missing_ok=True)

    async def _probe(self, is_ready: IsReady, *, again: bool) -> None:
        began = monotonic()
        while not await is_ready():  # noqa: ASYNC110  # nothing tells when a server answers but asking
            await asyncio.sleep(_PROBE_EVERY_SECONDS)
        self.ready.set()
        if again:
            self._say(f"{self.part.name} is back after {monotonic() - began:.1f} s.")

    def _print(self, data: bytes) -> None:
        """Keep what the part prints; a disk that is full must not stop the part."""
        try:
            self._log.write(data)
        except OSError as error:
            if not self._log_fails:
                self._say(f"The log of {self.part.name} cannot be written: {error.strerror}.")
            self._log_fails = True

    def _tail(self) -> str:
        lines = self._log.last_lines(_SHOWN_LINES) or ["(nothing)"]
        return "\n".join([f"The end of {self._log_path}:", *(f"    {line}" for line in lines)])


class Supervisor:
    """The parts that run, in the order in which they were started."""

    def __init__(self, places: RuntimeDirs, say: Say) -> None:
        places.logs.mkdir(parents=True, exist_ok=True)
        places.run.mkdir(parents=True, exist_ok=True)
        for left_over in places.run.glob("*.pid"):
            left_over.unlink()
        self.failed = asyncio.Event()
        """Set when a part cannot be kept running; `stop` then raises why."""
        self._places = places
        self._say = say
        self._running: dict[str, SupervisedService] = {}

    async def start(self, *parts: Service) -> None:
        """Start *parts* side by side, and return when all are ready; raise `ServiceError` when one cannot be."""
        runners = [SupervisedService(part, self._places, self._say) for part in parts]
        self._running.update({runner.part.name: runner for runner in runners})
        try:
            async with asyncio.TaskGroup() as starts:
                for runner in runners:
                    starts.create_task(runner.start(self._running))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        for runner in runners:
            if runner.keeper is not None:
                runner.keeper.add_done_callback(self._watch)

    async def stop(self, *order: Sequence[str]) -> None:
        """End the parts, group by group in *order* and then the rest; a group is named by how its parts' names begin.

        Raises what kept a part from running, if anything did.
        """
        left = dict(self._running)
        for group in (*order, ("",)):
            ending = [left.pop(name) for name in list(left) if name.startswith(tuple(group))]
            await asyncio.gather(*(runner.stop() for runner in ending))
        for runner in self._running.values():
            if runner.keeper is not None and self.failed.is_set():
                runner.keeper.result()

    def kill(self) -> None:
        """End every part at once."""
        for runner in self._running.values():
            runner.kill()

    def _watch(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and keeper.exception() is not None:
            self.failed.set()


def ready_line(name: str, address: str, seconds: float) -> str:
    """Return the status line of a part that became ready."""
    return f"  {name:<12} ready  {address:<28} {seconds:5.1f} s"
