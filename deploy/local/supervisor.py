"""Supervisor of the local stack: starts services as child processes, waits for readiness, restarts those that exit.

Every child runs under `deploy.local.parent_death`, so none outlives this process. Output goes to a log file for each
service; life-cycle events go to `say`, one line each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from deploy.errors import ServiceError, StateError
from deploy.failure import Cause, Failure, last_warning, python_cause, with_remedy
from deploy.local import restarts
from deploy.local.backoff import Backoff, describe_exit
from deploy.local.child_process import ChildProcess
from deploy.local.log_file import LogFile
from deploy.local.probes import Probe

Say = Callable[[str], None]

_POLL_SECONDS = 0.1
_KEPT_OUTPUT_BYTES = 128 * 1024
"""Output of a process that is kept to find why it ended; Kafka logs the cause before its many shutdown steps."""
_SHOWN_LINES = 20
WAITING_SECONDS = 30.0
"""Time between two starts of a service that waits for a person. Meanwhile its consumer group has no members."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the stack."""

    name: str
    command: Callable[[], Sequence[str]]
    """Returns the command line; called before every start."""
    environ: Mapping[str, str]
    probe: Probe
    address: str = ""
    """Shown in the status line."""
    directory: Path | None = None
    """Its working directory, by default that of the stack."""
    needs: tuple[str, ...] = ()
    """Services that must be ready before this one is restarted."""
    ready_timeout_seconds: float = 120.0
    stop_timeout_seconds: float = 25.0
    find_cause: Callable[[Sequence[str]], Cause | None] = python_cause
    """Finds in the lines of its output why it ended."""
    is_waiting: Callable[[Failure], bool] = lambda _: False
    """Returns whether a person can act on a failure while the rest of the stack runs."""
    waiting_seconds: float = WAITING_SECONDS
    """Least time before the next start of a service that waits for a person."""


@dataclass(frozen=True, slots=True)
class RuntimeDirs:
    """Directories of the services' log files and process ids."""

    logs: Path
    run: Path


class SupervisedService:
    """A service that is restarted whenever it exits, until `stop`."""

    def __init__(self, service: Service, dirs: RuntimeDirs, say: Say) -> None:
        self.service = service
        self.ready = asyncio.Event()
        self.waiting = asyncio.Event()
        """Set once the service waits for a person."""
        self.task: asyncio.Task[None] | None = None
        """Runs while the service is supervised; raises `ServiceError` when the service is given up."""
        self._say = say
        self._log_path = dirs.logs / f"{service.name}.log"
        self._pid_file = dirs.run / f"{service.name}.pid"
        try:
            self._log = LogFile(self._log_path)
        except OSError as error:
            raise StateError(with_remedy(f"Cannot write {self._log_path}: {error.strerror}")) from error
        self._log_failed = False
        self._output = bytearray()
        """The end of what the present process wrote."""
        self._process: ChildProcess | None = None
        self._stopping = False

    async def start(self, others: Mapping[str, SupervisedService]) -> None:
        """Start the service and return when it is ready, or waits for a person.

        Raises `ServiceError` with the cause when it is not ready in time, exits too often, or needs a person.
        """
        began = monotonic()
        self.task = asyncio.create_task(self._supervise(others), name=self.service.name)
        events = [asyncio.create_task(event.wait()) for event in (self.ready, self.waiting)]
        try:
            await asyncio.wait(
                {*events, self.task}, timeout=self.service.ready_timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for event in events:
                event.cancel()
        if self.task.done():
            self.task.result()
        if self.waiting.is_set():
            return
        seconds = monotonic() - began
        if not self.ready.is_set():
            running = Failure("", cause=self._find_cause() or last_warning(self._lines()))
            raise ServiceError(f"{self.service.name} was not ready after {seconds:.0f} s. {self._why(running)}")
        self._say(ready_line(self.service.name, self.service.address, seconds))

    async def stop(self) -> None:
        """Terminate the service, and kill it when it exceeds its stop timeout. No process of it remains on return."""
        self._stopping = True
        if self._process is not None:
            self._process.terminate()
        if self.task is not None and not self.task.done():
            done, _ = await asyncio.wait({self.task}, timeout=self.service.stop_timeout_seconds)
            if not done:
                timeout = self.service.stop_timeout_seconds
                self._say(f"{self.service.name} did not stop within {timeout:g} s; killing it")
                self.kill()
                await asyncio.wait({self.task})
        self._log.close()

    def kill(self) -> None:
        """Kill the service and everything that it started."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    async def _supervise(self, others: Mapping[str, SupervisedService]) -> None:
        name = self.service.name
        backoff = Backoff()
        was_ready = False
        cause: Cause | None = None
        while not self._stopping:
            began = monotonic()
            failure = await self._run_once(restarted=was_ready or self.waiting.is_set())
            was_ready |= self.ready.is_set()
            self.ready.clear()
            if self._stopping:
                return
            backoff = backoff.after_exit(monotonic() - began)
            delay_seconds = backoff.delay_seconds
            if self.service.is_waiting(failure):
                self.waiting.set()
                delay_seconds = max(delay_seconds, self.service.waiting_seconds)
            elif not was_ready and (failure.is_final or backoff.exceeds_start_limit):
                times = f" {backoff.failures} times" if backoff.failures > 1 else ""
                raise ServiceError(f"{name} failed to start{times} ({failure.ending}). {self._why(failure)}")
            # The same cause again is not repeated.
            reason = f": {failure.reason}" if failure.cause not in {None, cause} else ""
            cause = failure.cause
            restarts.note(self._pid_file.parent, name, f"{failure.ending}. {failure.reason}".rstrip())
            self._say(f"{name} {failure.ending}; restarting in {delay_seconds:g} s{reason}")
            await self._wait_to_restart(delay_seconds, others)

    async def _wait_to_restart(self, seconds: float, others: Mapping[str, SupervisedService]) -> None:
        """Wait *seconds*, then for the services that this one needs; return early when it is to stop."""
        deadline = monotonic() + seconds
        while not self._stopping and (  # noqa: ASYNC110  # a clock and several events, in one condition
            monotonic() < deadline or not all(others[name].ready.is_set() for name in self.service.needs)
        ):
            await asyncio.sleep(_POLL_SECONDS)

    async def _run_once(self, *, restarted: bool) -> Failure:
        """Run the process until it exits and return how it ended."""
        self._output.clear()
        try:
            await self.service.probe.prepare()
            command = self.service.command()
            process = await ChildProcess.start(
                command, self.service.environ, self._pid_file, self._write_log, directory=self.service.directory
            )
        except OSError as error:
            return Failure("could not be started", cause=Cause(with_remedy(str(error))))
        self._process = process
        if self._stopping:
            process.terminate()
        probing = asyncio.create_task(self._wait_until_ready(restarted=restarted))
        exited = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({exited, probing}, return_when=asyncio.FIRST_COMPLETED)
            if probing.done():
                probing.result()
            code = await exited
        finally:
            self._process = None
            probing.cancel()
            await process.finish()
            self._pid_file.unlink(missing_ok=True)
        # A signal leaves no cause in the output.
        return Failure(describe_exit(code), code, self._find_cause() if 0 < code <= 128 else None)

    async def _wait_until_ready(self, *, restarted: bool) -> None:
        began = monotonic()
        while not await self.service.probe.ready():  # noqa: ASYNC110  # a server can only be polled
            await asyncio.sleep(_POLL_SECONDS)
        self.ready.set()
        if restarted:
            self._say(f"{self.service.name} is ready again after {monotonic() - began:.1f} s")

    def _write_log(self, data: bytes) -> None:
        """Append the service's output to its log; a full disk must not stop the service."""
        self._output += data
        del self._output[:-_KEPT_OUTPUT_BYTES]
        try:
            self._log.write(data)
        except OSError as error:
            if not self._log_failed:
                self._say(f"Cannot write the log of {self.service.name}: {error.strerror}")
            self._log_failed = True

    def _lines(self) -> list[str]:
        return self._output.decode(errors="replace").splitlines()

    def _find_cause(self) -> Cause | None:
        return self.service.find_cause(self._lines())

    def _why(self, failure: Failure) -> str:
        """Return the cause and the place of the log, or the end of the log if no cause was found."""
        if failure.reason:
            return f"{failure.reason} Log: {self._log_path}"
        lines = self._lines()[-_SHOWN_LINES:] or ["(empty)"]
        return "\n".join([f"Last lines of {self._log_path}:", *(f"    {line}" for line in lines)])


class Supervisor:
    """Supervises the services of one stack."""

    def __init__(self, dirs: RuntimeDirs, say: Say) -> None:
        try:
            dirs.logs.mkdir(parents=True, exist_ok=True)
            dirs.run.mkdir(parents=True, exist_ok=True)
            for stale in (*dirs.run.glob("*.pid"), *dirs.run.glob(f"*{restarts.SUFFIX}")):
                stale.unlink()
        except OSError as error:
            raise StateError(with_remedy(f"Cannot write {error.filename}: {error.strerror}")) from error
        self.failed = asyncio.Event()
        """Set when a service was given up; `stop` then raises its error."""
        self._dirs = dirs
        self._say = say
        self._services: dict[str, SupervisedService] = {}

    async def start(self, *services: Service) -> None:
        """Start *services* concurrently and return when all are ready; raise the first `ServiceError`."""
        supervised = [SupervisedService(service, self._dirs, self._say) for service in services]
        self._services.update({one.service.name: one for one in supervised})
        try:
            async with asyncio.TaskGroup() as starts:
                for one in supervised:
                    starts.create_task(one.start(self._services))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        for one in supervised:
            if one.task is not None:
                one.task.add_done_callback(self._on_task_done)

    def unready(self) -> list[str]:
        """Return the names of the services that are not ready now."""
        return [name for name, one in self._services.items() if not one.ready.is_set()]

    async def until_ready(self) -> None:
        """Return when every service is ready at the same time."""
        while self.unready():  # noqa: ASYNC110  # several events, each of which may be cleared again
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, *order: Sequence[str]) -> None:
        """Stop the services group by group; each group lists prefixes of names. The rest is stopped last.

        Raises the `ServiceError` of a service that was given up.
        """
        for prefixes in (*order, ("",)):
            await self.stop_some(*prefixes)
        for one in self._services.values():
            if one.task is not None and self.failed.is_set():
                one.task.result()

    async def stop_some(self, *prefixes: str) -> None:
        """Stop the services whose names begin with one of *prefixes*. They can be started again."""
        named = [one for name, one in self._services.items() if name.startswith(prefixes)]
        await asyncio.gather(*(one.stop() for one in named))

    def kill(self) -> None:
        """Kill every service."""
        for one in self._services.values():
            one.kill()

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.failed.set()


def ready_line(name: str, address: str, seconds: float) -> str:
    """Return the status line of a service that became ready."""
    return f"  {name:<12} ready  {address:<28} {seconds:5.1f} s"
