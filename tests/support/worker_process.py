"""Worker processes for tests: real ones, started again when they end, as the supervisor would."""

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
    """One worker process. *faults* are variables that only its first start gets."""

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
            # The shortest that brokers allow: a killed worker's partitions stand still for it.
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
        self.ends = 0
        """How often it ended without being told to."""

    def __enter__(self) -> Self:
        self._service.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.stop()

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self._service.directory / "log").read_text()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._service.process is not None and self._service.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether it stands still after SIGSTOP."""
        try:
            return bool(psutil.Process(self._service.pid).status() == psutil.STATUS_STOPPED)
        except (FileNotFoundError, psutil.NoSuchProcess):
            return False

    def resume(self) -> None:
        """Let it go on after SIGSTOP."""
        self._service.send(signal.SIGCONT)

    def revive(self) -> None:
        """Start it again if it has ended."""
        process = self._service.process
        if process is not None and process.poll() is not None:
            self.ends += 1
            self._service.stop()
            self._service.environ = self._plain
            self._service.start()

    def until(self, condition: Callable[[], bool], what: str, *, within_seconds: float = 60.0) -> None:
        """Keep it running until *condition* holds."""

        def holds() -> bool:
            self.revive()
            return condition()

        eventually(holds, f"{what}; the worker printed: {self.log[-1500:]}", within_seconds=within_seconds)
