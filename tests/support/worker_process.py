"""Worker processes for tests, restarted after an exit as the supervisor of `sequence up` does."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psutil

from schemas.settings import KafkaSettings, environment
from tests.faults.worker import command
from tests.support.services import Service, eventually


class Worker:
    """One worker process. Only its first start has the variables in *faults*."""

    def __init__(
        self,
        kind: str,
        kafka: KafkaSettings,
        directory: Path,
        *,
        environ: Mapping[str, str] | None = None,
        faults: Mapping[str, str] | None = None,
    ) -> None:
        self.state = directory / "state"
        self._plain = {
            **environment(kafka),
            "SEQUENCE_WORKER_DIR": str(self.state),
            # The minimum of the broker: the partitions of a killed worker are idle for so long.
            "SEQUENCE_WORKER_SESSION_SECONDS": "6",
            **(environ or {}),
        }
        self._service = Service(
            kind,
            directory,
            kind,
            lambda: command(kind, self._service.environ),
            {**self._plain, **(faults or {})},
            lambda: True,
        )
        self.exits = 0
        """Number of exits that the test did not request."""
        self.codes: list[int] = []
        """Their codes, 128 more than its number for a signal."""

    def __enter__(self) -> Self:
        self._service.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.stop()

    @property
    def log(self) -> str:
        """Its output."""
        return (self._service.directory / "log").read_text()

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._service.process is not None and self._service.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP has stopped the process."""
        try:
            return bool(psutil.Process(self._service.pid).status() == psutil.STATUS_STOPPED)
        except (FileNotFoundError, psutil.NoSuchProcess):
            return False

    def resume(self) -> None:
        """Send SIGCONT."""
        self._service.send(signal.SIGCONT)

    def restart_if_exited(self) -> None:
        """Restart the process, without the faults, if it has exited."""
        process = self._service.process
        if process is not None and process.poll() is not None:
            self.exits += 1
            self.codes.append(process.returncode)
            self._service.stop()
            self._service.environ = self._plain
            self._service.start()

    def until(self, condition: Callable[[], bool], what: str, *, within_seconds: float = 60.0) -> None:
        """Restart the process after every exit until *condition* holds."""

        def holds() -> bool:
            self.restart_if_exited()
            return condition()

        eventually(holds, what, within_seconds=within_seconds, output=lambda: f"The worker printed: {self.log[-3000:]}")
